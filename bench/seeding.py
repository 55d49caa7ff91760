"""Many agents at once, through the store's own code: record, plans, shards, in this order.

What differs from the hub is only that agents are made thousands at a time.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from adapters import redis_keys as keys
from adapters.db import agents_bulk, plans, users
from adapters.db.agents import NewAgent
from adapters.plan_directory import publish_plans
from adapters.price_simulated import SYMBOLS
from adapters.recovery import recover_shard
from adapters.redis_client import command
from adapters.redis_keys import TICK_PARTITIONS
from bench.stack import BenchError, Stack
from strategies import catalog

AGENTS_AT_ONCE = 20_000
AGENTS_PER_OWNER = 100
SETTLED_S = 300.0
JOBS_OF_A_SHARD = 2
"""The next tick, and one that runs."""
_TIMEFRAME = "1m"
_POLL_S = 0.2

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
    owners = [
        owner or (await users.create_user(stack.database, f"{uuid4()}@example.com", "none")).id
        for _ in range(-(-fleet.agents // AGENTS_PER_OWNER))
    ]
    shards: set[int] = set()
    waiting = list(_new_agents(fleet, made, owners))
    for first in range(0, len(waiting), AGENTS_AT_ONCE):
        block = waiting[first : first + AGENTS_AT_ONCE]
        placed = await agents_bulk.create_agents_bulk(stack.database, block)
        shards.update(agent.shard for agent in placed)
    for shard in sorted(shards):
        await recover_shard(stack.database, stack.shards, shard)
    return time.monotonic() - began


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
    usual = JOBS_OF_A_SHARD * len(await stack.shards.open_shards())
    return f"{jobs} jobs wait, {usual} are usual" if jobs > usual else ""


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
            user_id=owners[number // AGENTS_PER_OWNER],
            name=f"bench {number}",
            symbol=plan.symbol,
            timeframe=_TIMEFRAME,
            strategy_name=plan.strategy,
            strategy_params=plan.params,
            interval_seconds=fleet.interval,
            risk_params=fleet.risk,
            plan_id=plan.id,
        )
