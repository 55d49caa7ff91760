"""From what an owner wants to a command in a shard's inbox.

PostgreSQL gives the epoch, the inbox gives the slot, and only then the caller hears of success.
If the hub dies in between, the wanted state stands and a chore of the pool pushes it again.
"""

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from adapters.db import agent_edits, agents, plans, repeatable
from adapters.db.agent_edits import AgentMoved, Edit
from adapters.db.agents import Agent, NewAgent
from adapters.db.errors import NoSuchUser, TooManyAgents, TooManyPlans
from adapters.db.plans import Plan
from adapters.db.repeatable import Answered, RequestKey
from adapters.errors import ShardFull
from adapters.live_table import SYMBOLS_MAX
from adapters.plan_directory import publish_plans
from adapters.recovery import recover_shard
from adapters.redis_client import away_as_error
from adapters.shard_records import Pushed
from adapters.wanted import payload_of, schema_needed
from api.agent_bodies import AgentConfiguration
from api.auth import unauthorized
from api.errors import Problem, away, not_found
from api.hub import Hub
from api.status_words import row_of
from engine.rows import RowStatus
from strategies import catalog

EDIT_TRIES = 5


async def create_agent(hub: Hub, user_id: UUID, wanted: AgentConfiguration) -> Agent:
    """Makes the agent and hands it to the pool.

    Redis is asked before PostgreSQL is written, so that a Redis that is away leaves no agent.
    """
    new, plan = await planned_agent(hub, user_id, wanted)
    try:
        agent = await hub.desk.create(new, plan)
    except NoSuchUser as error:
        raise unauthorized("the account is gone") from error
    except TooManyAgents as error:
        raise too_many_agents(error.quota) from error
    await send_command(hub, agent)
    return agent


async def create_agent_once(
    hub: Hub,
    request: RequestKey,
    wanted: AgentConfiguration,
    answer_of: Callable[[Agent], bytes],
) -> Answered:
    """The same, and a repeated request gets the answer of the first one.

    Raises:
        OtherBody: the key stands for another request.
    """
    new = await new_agent(hub, request.user_id, wanted)
    try:
        quota = hub.settings.agents_per_user
        answered = await repeatable.create_agent_once(hub.database, request, new, answer_of, quota)
    except NoSuchUser as error:
        raise unauthorized("the account is gone") from error
    except TooManyAgents as error:
        raise too_many_agents(error.quota) from error
    # the first one may have got no further than its commit
    agent = answered.agent or await agents.get_agent(
        hub.database, request.user_id, answered.agent_id
    )
    if agent is not None and agent.applied_epoch < agent.epoch:
        await send_command(hub, agent)
    return answered


async def edit_agent(
    hub: Hub,
    agent: Agent,
    configuration_of: Callable[[Agent], AgentConfiguration],
    state: agents.Wanted | None,
) -> Agent:
    """Changes what the agent is to do; the next tick uses it. Changing nothing sends nothing.

    configuration_of says what an agent as it is now is to become; it is asked again when somebody
    else has changed the agent meanwhile. state is asked for with it; None leaves it as it is.

    Raises:
        Problem: 409 for another symbol or leverage while a position is open.
    """
    for _ in range(EDIT_TRIES):
        wanted = configuration_of(agent)
        row = await read_row(hub, agent)
        if row is not None and row["side"]:
            _check_open_position(agent, wanted)
        edit = await _edit(hub, agent.user_id, wanted)
        if state is None and _is_same(agent, edit):
            return await _same_again(hub, agent, _is_pending(row, agent))
        try:
            edited = await agent_edits.edit_agent(hub.database, agent, edit, state)
        except AgentMoved:
            edited = await agents.get_agent(hub.database, agent.user_id, agent.id)
            if edited is None:
                raise not_found("agent") from None
            agent = edited
            continue
        if edited is None:
            raise not_found("agent")
        await send_command(hub, edited)
        return edited
    raise Problem(409, "the agent is being changed by others at the same time, try again")


async def start_agent(hub: Hub, agent: Agent) -> Agent:
    """Wants the agent running; one that runs already is left as it is."""
    row = await read_row(hub, agent)
    if agent.wanted == "running" and (
        not _has_met(row, agent) or row_status(row) == RowStatus.RUNNING
    ):
        return await _same_again(hub, agent, _is_pending(row, agent))
    return await _change(hub, agent, "running", close_position=True)


async def stop_agent(hub: Hub, agent: Agent, close_position: bool) -> Agent:
    """Wants the agent stopped; one that is stopped already is left as it is.

    One with an open position takes the newest close_position, stopped or not.
    """
    row = await read_row(hub, agent)
    asked_before = agent.wanted == "stopped" and agent.close_position == close_position
    stands = _has_met(row, agent) and row_status(row) == RowStatus.STOPPED
    if stands and row is not None and not row["side"]:
        return await _same_again(hub, agent, _is_pending(row, agent))
    if asked_before and (stands or not _has_met(row, agent)):
        return await _same_again(hub, agent, _is_pending(row, agent))
    return await _change(hub, agent, "stopped", close_position)


async def delete_agent(hub: Hub, user_id: UUID, agent_id: UUID) -> None:
    """Wants the agent gone, its position closed. Safe to repeat until its record is gone."""
    agent = await agents.delete(hub.database, user_id, agent_id)
    if agent is None:
        raise not_found("agent")
    await send_command(hub, agent)


async def send_command(hub: Hub, agent: Agent) -> Pushed:
    """Puts the wanted state into the shard's inbox and wakes its tick.

    A shard without a head is new, or its Redis was lost: it is recovered first, which lays every
    wanted state of PostgreSQL; pushing once more then does no harm, since epochs count.
    """
    pushed = await hub.desk.hand_over(agent)
    if pushed is not None:
        return pushed
    payload = payload_of(agent)
    try:
        async with away_as_error():
            pushed = await hub.shards.push(agent.shard, payload)
            if pushed is None:
                await recover_shard(hub.database, hub.shards, agent.shard)
                pushed = await hub.shards.push(agent.shard, payload)
    except ShardFull as error:
        raise away("the shard's inbox") from error
    if pushed is None:
        raise away("the shard")
    await hub.desk.wake([(agent.shard, pushed)])
    return pushed


async def read_row(hub: Hub, agent: Agent) -> np.void | None:
    """The agent's row as the pool has it now."""
    async with away_as_error():
        found = await hub.shards.read_row(agent.shard, agent.row)
    return None if found is None else row_of(agent, found[1])


def row_status(row: np.void | None) -> int:
    """RowStatus of a row, FREE for none."""
    return int(RowStatus.FREE) if row is None else int(row["status"])


def too_many_agents(quota: int) -> Problem:
    """409 with what the limit is."""
    return Problem(
        409, f"the account has its {quota} agents: delete some, or ask the operator for more"
    )


async def new_agent(hub: Hub, user_id: UUID, wanted: AgentConfiguration) -> NewAgent:
    """The record of an agent that is to be made; its plan is where workers find it."""
    new, plan = await planned_agent(hub, user_id, wanted)
    await publish(hub, [plan])
    return new


async def planned_agent(
    hub: Hub, user_id: UUID, wanted: AgentConfiguration
) -> tuple[NewAgent, Plan]:
    """The agent to be made, and its plan, which is on record by then. Problem 409."""
    _check_schema(hub, wanted)
    _check_room(hub, wanted)
    plan = await _plan(hub, user_id, wanted)
    new = NewAgent(
        user_id=user_id,
        name=wanted.name,
        symbol=wanted.symbol,
        timeframe=wanted.timeframe,
        strategy_name=wanted.strategy_name,
        strategy_params=wanted.strategy_params,
        interval_seconds=wanted.interval_seconds,
        risk_params=msgspec.to_builtins(wanted.risk_params),
        plan_id=plan.id,
        wanted="running" if wanted.auto_start else "stopped",
    )
    return new, plan


async def _edit(hub: Hub, user_id: UUID, wanted: AgentConfiguration) -> Edit:
    _check_schema(hub, wanted)
    _check_room(hub, wanted)
    plan = await _plan(hub, user_id, wanted)
    await publish(hub, [plan])
    return Edit(
        name=wanted.name,
        symbol=wanted.symbol,
        timeframe=wanted.timeframe,
        strategy_name=wanted.strategy_name,
        strategy_params=wanted.strategy_params,
        interval_seconds=wanted.interval_seconds,
        risk_params=msgspec.to_builtins(wanted.risk_params),
        plan_id=plan.id,
    )


def _check_schema(hub: Hub, wanted: AgentConfiguration) -> None:
    """No worker of a pool that is still being upgraded shall meet settings it has no place for."""
    if schema_needed(msgspec.structs.asdict(wanted.risk_params)) > hub.settings.row_schema:
        raise Problem(
            409,
            "the pool is being upgraded: until then risk_params may hold a fixed stop and target"
            " and max_session_loss_usd only",
        )


def _check_room(hub: Hub, wanted: AgentConfiguration) -> None:
    """A symbol that cannot be followed has no prices: no agent shall wait for them in vain."""
    if not hub.prices.has_room(wanted.symbol):
        raise Problem(
            409,
            f"agents trade {SYMBOLS_MAX} symbols already, and no more are followed at a time:"
            " take one of those",
        )


def _is_same(agent: Agent, edit: Edit) -> bool:
    return all(getattr(agent, name) == getattr(edit, name) for name in Edit.__slots__)


def _check_open_position(agent: Agent, wanted: AgentConfiguration) -> None:
    same_leverage = wanted.risk_params.leverage == agent.risk_params["leverage"]
    if wanted.symbol != agent.symbol or not same_leverage:
        raise Problem(409, "symbol and leverage can't change while a position is open")


def _has_met(row: np.void | None, agent: Agent) -> bool:
    """Whether the row has seen what was asked for, and has gone on from there by itself."""
    return row is not None and int(row["epoch"]) >= agent.asked_epoch


def _is_pending(row: np.void | None, agent: Agent) -> bool:
    """Whether the newest command, an edit perhaps, may still be on its way."""
    return row is None or int(row["epoch"]) < agent.epoch


async def _plan(hub: Hub, user_id: UUID, wanted: AgentConfiguration) -> Plan:
    """The plan of a configuration, on record."""
    strategy = catalog.get(wanted.strategy_name)
    key = catalog.plan_key(wanted.symbol, wanted.timeframe, strategy, wanted.strategy_params)
    known = hub.plans.find(key)
    if known is not None:
        return known
    definition: tuple[str, str, str, int, dict[str, Any]] = (
        wanted.symbol,
        wanted.timeframe,
        strategy.name,
        strategy.version,
        dict(strategy.plan_params(wanted.strategy_params)),
    )
    quota = hub.settings.plans_per_user
    try:
        plan_id = await plans.intern_plan(
            hub.database, key, *definition, made_by=user_id, quota=quota
        )
    except TooManyPlans as error:
        raise Problem(
            409,
            f"the account has made its {error.quota} different plans: take the symbol, timeframe"
            " and strategy_params of another agent, or ask the operator to raise its quota",
        ) from error
    plan = Plan(plan_id, key, *definition)
    hub.plans.keep(plan)
    return plan


async def publish(hub: Hub, used: Iterable[Plan]) -> None:
    """Puts plans where workers look, each time anew: Redis may have lost them."""
    async with away_as_error():
        await publish_plans(hub.state_redis, used)


async def _change(hub: Hub, agent: Agent, wanted: agents.Wanted, close_position: bool) -> Agent:
    changed = await agents.set_wanted(hub.database, agent.user_id, agent.id, wanted, close_position)
    if changed is None:
        raise not_found("agent")
    await send_command(hub, changed)
    return changed


async def _same_again(hub: Hub, agent: Agent, pending: bool) -> Agent:
    # The answer promises that the inbox has the command, and the one before may have got lost.
    if pending:
        await send_command(hub, agent)
    return agent
