"""From what an owner wants to a command in a shard's inbox.

PostgreSQL gives the epoch, the inbox gives the slot, and only then the caller hears of success.
If the hub dies in between, the wanted state stands and a chore of the pool pushes it again.
"""

import logging
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from adapters import queue as jobs
from adapters.db import agent_edits, agents, plans
from adapters.db.agent_edits import Edit
from adapters.db.agents import Agent, NewAgent
from adapters.db.errors import NoSuchUser
from adapters.errors import RedisAway, ShardFull
from adapters.plan_directory import publish_plans
from adapters.recovery import recover_shard
from adapters.redis_client import away_as_error
from adapters.shard_store import Pushed
from adapters.wanted import payload_of
from api.agent_bodies import AgentConfiguration
from api.auth import unauthorized
from api.errors import Problem, away, not_found
from api.hub import Hub
from api.status import row_of
from engine.rows import RowStatus
from strategies import catalog

log = logging.getLogger(__name__)


async def create_agent(hub: Hub, user_id: UUID, wanted: AgentConfiguration) -> Agent:
    """Makes the agent and hands it to the pool.

    Redis is asked before PostgreSQL is written, so that a Redis that is away leaves no agent.
    """
    plan_id = await _plan(hub, wanted)
    new = NewAgent(
        user_id=user_id,
        name=wanted.name,
        symbol=wanted.symbol,
        timeframe=wanted.timeframe,
        strategy_name=wanted.strategy_name,
        strategy_params=wanted.strategy_params,
        interval_seconds=wanted.interval_seconds,
        risk_params=msgspec.to_builtins(wanted.risk_params),
        plan_id=plan_id,
        wanted="running" if wanted.auto_start else "stopped",
    )
    try:
        agent = await agents.create_agent(hub.database, new)
    except NoSuchUser as error:
        raise unauthorized("the account is gone") from error
    await send_command(hub, agent)
    return agent


async def edit_agent(
    hub: Hub, agent: Agent, wanted: AgentConfiguration, state: agents.Wanted
) -> Agent:
    """Changes what the agent is to do, and whether it runs; the next tick uses it.

    Raises:
        Problem: 409 for another symbol or leverage while a position is open.
    """
    row = await read_row(hub, agent)
    if row is not None and row["side"]:
        same_leverage = wanted.risk_params.leverage == int(row["leverage"])
        if wanted.symbol != agent.symbol or not same_leverage:
            raise Problem(409, "symbol and leverage can't change while a position is open")
    edit = Edit(
        name=wanted.name,
        symbol=wanted.symbol,
        timeframe=wanted.timeframe,
        strategy_name=wanted.strategy_name,
        strategy_params=wanted.strategy_params,
        interval_seconds=wanted.interval_seconds,
        risk_params=msgspec.to_builtins(wanted.risk_params),
        plan_id=await _plan(hub, wanted),
    )
    edited = await agent_edits.edit_agent(hub.database, agent.user_id, agent.id, edit, state)
    if edited is None:
        raise not_found("agent")
    await send_command(hub, edited)
    return edited


async def start_agent(hub: Hub, agent: Agent) -> Agent:
    """Wants the agent running; one that runs already is left as it is."""
    row = await read_row(hub, agent)
    pending = row is None or int(row["epoch"]) < agent.epoch
    if agent.wanted == "running" and (pending or row_status(row) == RowStatus.RUNNING):
        return await _same_again(hub, agent, pending)
    return await _change(hub, agent, "running", close_position=True)


async def stop_agent(hub: Hub, agent: Agent, close_position: bool) -> Agent:
    """Wants the agent stopped; one that is stopped already is left as it is.

    One with an open position takes the newest close_position, stopped or not.
    """
    row = await read_row(hub, agent)
    pending = row is None or int(row["epoch"]) < agent.epoch
    same_close = agent.close_position == close_position
    if agent.wanted == "stopped" and pending and same_close:
        return await _same_again(hub, agent, pending)
    if row is not None and not pending and row_status(row) == RowStatus.STOPPED:
        asked_before = agent.wanted == "stopped" and same_close
        if not row["side"] or asked_before:
            return agent
    return await _change(hub, agent, "stopped", close_position)


async def delete_agent(hub: Hub, user_id: UUID, agent_id: UUID) -> None:
    """Wants the agent gone, its position closed. Safe to repeat until its record is gone."""
    agent = await agents.delete(hub.database, user_id, agent_id)
    if agent is None:
        raise not_found("agent")
    await send_command(hub, agent)
    hub.live.agents_changed(user_id)


async def send_command(hub: Hub, agent: Agent) -> Pushed:
    """Puts the wanted state into the shard's inbox and wakes its tick.

    A shard without a head is new, or its Redis was lost: it is recovered first, which lays every
    wanted state of PostgreSQL; pushing once more then does no harm, since epochs count.
    """
    payload = payload_of(agent)
    try:
        async with away_as_error():
            pushed = await hub.shards.push(agent.shard, payload)
            if pushed is None:
                slot = hub.clock.slot()
                await recover_shard(hub.database, hub.shards, agent.shard, slot)
                pushed = await hub.shards.push(agent.shard, payload)
    except ShardFull as error:
        raise away("the shard's inbox") from error
    if pushed is None:
        raise away("the shard")
    await _wake(hub, agent.shard, pushed)
    hub.live.agents_changed(agent.user_id)
    return pushed


async def read_row(hub: Hub, agent: Agent) -> np.void | None:
    """The agent's row as the pool has it now."""
    async with away_as_error():
        found = await hub.shards.read_row(agent.shard, agent.row)
    return None if found is None else row_of(agent, found[1])


def row_status(row: np.void | None) -> int:
    """RowStatus of a row, FREE for none."""
    return int(RowStatus.FREE) if row is None else int(row["status"])


async def _plan(hub: Hub, wanted: AgentConfiguration) -> int:
    strategy = catalog.get(wanted.strategy_name)
    params = strategy.plan_params(wanted.strategy_params)
    key = catalog.plan_key(wanted.symbol, wanted.timeframe, strategy, wanted.strategy_params)
    definition: tuple[str, str, str, int, dict[str, Any]] = (
        wanted.symbol,
        wanted.timeframe,
        strategy.name,
        strategy.version,
        dict(params),
    )
    plan_id = await plans.intern_plan(hub.database, key, *definition)
    async with away_as_error():
        await publish_plans(hub.state_redis, [plans.Plan(plan_id, key, *definition)])
    return plan_id


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


async def _wake(hub: Hub, shard: int, pushed: Pushed) -> None:
    try:
        async with away_as_error():
            await hub.queue.enqueue(jobs.wake(shard, pushed.number, pushed.stamp))
    except RedisAway as error:
        # The command is in the inbox; without a wake the sentinel finds it half a second later.
        log.warning("shard %d was not woken: %s", shard, error)
