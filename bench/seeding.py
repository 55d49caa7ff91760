"""Many agents at once, through the store's own code: record, plans, shards, in this order.

What differs from the hub is only that agents are made thousands at a time.
"""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

from adapters import redis_keys as keys
from adapters.db import agents, agents_bulk, plans, users
from adapters.db.agents import NewAgent
from adapters.plan_directory import publish_plans
from adapters.price_simulated import SYMBOLS
from adapters.recovery import recover_shard
from adapters.redis_client import command
from adapters.redis_keys import TICK_PARTITIONS
from adapters.wanted import command_of
from bench.stack import BenchError, Stack
from engine.rows import empty_rows
from engine.tick import apply_inbox
from strategies import catalog

AGENTS_AT_ONCE = 20_000
AGENTS_PER_OWNER = 100
SEEDED_SEQ = 2
"""Events behind a row of a running agent: created, started."""
AT_ONCE = 50
LATE_S = 2
EVENTS_WAITING = 5_000
"""More than that is a backlog, and not what happened in the last seconds."""
SETTLED_S = 300.0
JOBS_OF_A_SHARD = 2
"""The next tick, and one that runs."""
_TIMEFRAME = "1m"
_POLL_S = 0.2

Made = TypeVar("Made")

RISK: dict[str, Any] = {
    "max_position_usd": 1000.0,
    "stop_loss_pct": 0.5,
    "take_profit_pct": 0.5,
    "leverage": 2,
    "tp_sl_mode": "fixed",
    "max_session_loss_usd": None,
    "fee_bps": 10.0,
    "slippage_bps": 1.0,
}


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many agents, on how many plans, ticking every `interval` seconds."""

    agents: int
    plans: int
    interval: int = 1
    risk: Mapping[str, Any] = field(default_factory=lambda: RISK)
    per_owner: int = AGENTS_PER_OWNER


@dataclass(frozen=True, slots=True)
class SeedPlan:
    """One plan with the parameters of the agents that share it."""

    id: int
    symbol: str
    strategy: str
    params: dict[str, catalog.ParamValue]


async def seed(stack: Stack, fleet: Fleet, owner: UUID | None = None) -> float:
    """Makes the agents, running, and opens their shards. Returns the seconds it took.

    owner: the user who gets them all; by default there is one for every hundred.
    """
    began = time.monotonic()
    made = [await _intern(stack, place) for place in range(fleet.plans)]
    owners = [owner or await _owner(stack) for _ in range(-(-fleet.agents // fleet.per_owner))]
    shards: set[int] = set()
    waiting = list(_new_agents(fleet, made, owners))
    for first in range(0, len(waiting), AGENTS_AT_ONCE):
        block = waiting[first : first + AGENTS_AT_ONCE]
        placed = await agents_bulk.create_agents_bulk(stack.database, block)
        shards.update(agent.shard for agent in placed)
    for shard in sorted(shards):
        await recover_shard(stack.database, stack.shards, shard)
    return time.monotonic() - began


async def seed_running(stack: Stack, fleet: Fleet) -> float:
    """Makes the agents as running ones, without the events of their start: a million of those
    would keep the ledger busy for longer than the measurement. Returns the seconds it took.
    """
    began = time.monotonic()
    made = await _gathered(_intern(stack, place) for place in range(fleet.plans))
    owners = await _gathered(_owner(stack) for _ in range(-(-fleet.agents // fleet.per_owner)))
    new = list(_new_agents(fleet, made, owners))
    slot = int(time.time())
    rows = {agent.plan_id: _started(agent, slot) for agent in new[: len(made)]}
    records = [agent.id.bytes + rows[agent.plan_id][len(agent.id.bytes) :] for agent in new]
    with _standing_still(stack):
        shards = await agents_bulk.create_running_agents(stack.database, new, records, SEEDED_SEQ)
        del new, records
        for shard in sorted(shards):
            await recover_shard(stack.database, stack.shards, shard)
        # The slots until the workers go on are paused, as after an orderly stop.
        await stack.shards.pause(sorted(shards))
    return time.monotonic() - began


@contextmanager
def _standing_still(stack: Stack) -> Iterator[None]:
    """The workers stopped by SIGSTOP: they would open the shards, too, and fall behind over it."""
    names = [name for name in stack.processes() if name.startswith("worker-")]
    pids = [pid for name in names if (pid := stack.pid_of(name)) is not None]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def running_records(stack: Stack, fleet: Fleet, agents: int) -> list[bytes]:
    """The rows of so many agents of a fleet that were started just now, and lie in no shard."""
    made = await _gathered(_intern(stack, place) for place in range(min(fleet.plans, agents)))
    owners = [await _owner(stack)] * agents
    new = itertools.islice(_new_agents(fleet, made, owners), agents)
    return [_started(agent, int(time.time())) for agent in new]


def _started(new: NewAgent, slot: int) -> bytes:
    """What the engine makes of a row when the agent is started in it."""
    command = command_of(agents.placed(new, (0, 0, 1), datetime.now(UTC), 0, 0))
    outcome = apply_inbox(empty_rows(1), slot, [command])
    assert int(outcome.rows["seq"][0]) == SEEDED_SEQ == len(outcome.events)
    return outcome.rows.tobytes()


async def _owner(stack: Stack) -> UUID:
    return (await users.create_user(stack.database, f"{uuid4()}@example.com", "none")).id


async def _gathered(waiting: Iterator[Coroutine[Any, Any, Made]]) -> list[Made]:
    """Results in order, of some at a time."""
    made: list[Made] = []
    while some := list(itertools.islice(waiting, AT_ONCE)):
        made += await asyncio.gather(*some)
    return made


async def settled(stack: Stack) -> float:
    """Waits until every wanted state is applied and on record, and no job of it waits any more.

    Returns the seconds it took. Raises BenchError: not within SETTLED_S.
    """
    began = time.monotonic()
    while lacking := await _unsettled(stack):
        if time.monotonic() - began > SETTLED_S:
            raise BenchError(f"after {SETTLED_S:.0f} s {lacking}")
        await asyncio.sleep(_POLL_S)
    return time.monotonic() - began


async def _unsettled(stack: Stack) -> str:
    [(lacking,)] = await stack.sql("SELECT count(*) FROM agents WHERE applied_epoch < epoch")
    if lacking:
        return f"{lacking} agents have not started"
    queues = [keys.tick_queue(partition) for partition in range(TICK_PARTITIONS)]
    jobs = sum([int(await command(stack.redis, "ZCARD", queue)) for queue in queues])
    shards = await stack.shards.open_shards()
    usual = JOBS_OF_A_SHARD * len(shards)
    if jobs > usual:
        return f"{jobs} jobs wait, {usual} are usual"
    pipe = stack.redis.pipeline(transaction=False)
    for shard in shards:
        pipe.hget(keys.shard_head(shard), "slot")
        pipe.hget(keys.shard_head(shard), "next_due")
    answers: list[Any] = await pipe.execute()
    now = int(time.time())
    stands = zip(answers[::2], answers[1::2], strict=True)
    late = sum(bool(due) and int(slot or 0) < now - LATE_S for slot, due in stands)
    if late:
        return f"{late} shards are late"
    waiting = sum((await stack.shards.events_waiting(shards)).values())
    return f"{waiting} events wait for the ledger" if waiting > EVENTS_WAITING else ""


def plan_parts(place: int) -> tuple[str, str, dict[str, catalog.ParamValue]]:
    """Symbol, strategy and parameters of one plan: symbols first, then strategies, then longer
    lookbacks.
    """
    place, symbol = divmod(place, len(SYMBOLS))
    place, number = divmod(place, len(catalog.STRATEGIES))
    strategy = catalog.STRATEGIES[number]
    lookback = int(strategy.defaults["lookback"]) + place
    return SYMBOLS[symbol], strategy.name, catalog.snap_params(strategy, {"lookback": lookback})


async def _intern(stack: Stack, place: int) -> SeedPlan:
    symbol, name, params = plan_parts(place)
    strategy = catalog.get(name)
    definition: tuple[str, str, str, int, dict[str, Any]] = (
        symbol,
        _TIMEFRAME,
        name,
        strategy.version,
        strategy.plan_params(params),
    )
    key = catalog.plan_key(symbol, _TIMEFRAME, name, params)
    plan_id = await plans.intern_plan(stack.database, key, *definition)
    await publish_plans(stack.redis, [plans.Plan(plan_id, key, *definition)])
    return SeedPlan(plan_id, symbol, name, params)


def _new_agents(fleet: Fleet, made: list[SeedPlan], owners: list[UUID]) -> Iterator[NewAgent]:
    for number in range(fleet.agents):
        plan = made[number % len(made)]
        yield NewAgent(
            user_id=owners[number // fleet.per_owner],
            name=f"bench {number}",
            symbol=plan.symbol,
            timeframe=_TIMEFRAME,
            strategy_name=plan.strategy,
            strategy_params=plan.params,
            interval_seconds=fleet.interval,
            risk_params=fleet.risk,
            plan_id=plan.id,
        )
