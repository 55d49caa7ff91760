"""A real pool inside a test: the hub's writes, a worker process as a task, the record."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import Any
from uuid import UUID, uuid4

from adapters import queue as jobs
from adapters.db import agents, creation, plans, users
from adapters.db.agent_edits import Edit, edit_agent
from adapters.db.agents import Agent, NewAgent
from adapters.plan_directory import publish_plans
from adapters.recovery import recover_shard
from adapters.settings import Settings
from adapters.wanted import payload_of
from strategies import catalog
from tests.conftest import wait_for
from workers.__main__ import open_pool
from workers.context import PoolContext
from workers.process import WorkerProcess
from workers.settings import QUEUES

RISK: dict[str, Any] = {
    "max_position_usd": 1000.0,
    "stop_loss_pct": 0.05,
    "take_profit_pct": 0.05,
    "leverage": 5,
    "fee_bps": 10.0,
    "slippage_bps": 1.0,
    "max_session_loss_usd": None,
}


class TestPool:
    """One worker process of a test and the owner of its agents."""

    __test__ = False

    def __init__(self, pool: PoolContext, owner: UUID) -> None:
        self.pool = pool
        self.owner = owner
        self.process = WorkerProcess(pool, QUEUES)
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts a worker; as a new process would, it remembers nothing."""
        self.pool.known.clear()
        self.process = WorkerProcess(self.pool, QUEUES)
        self.task = asyncio.create_task(self.process.run())

    async def stop(self) -> None:
        """Ends the worker as SIGTERM does."""
        if self.task is not None:
            self.process.stopping.set()
            await self.task
            self.task = None

    async def create(
        self, symbol: str = "BTC/USDT", strategy: str = "simple_momentum", **changes: Any
    ) -> Agent:
        """Creates an agent as the hub does: record first, then the inbox, then a wake."""
        pool = self.pool
        params = catalog.snap_params(strategy, changes.pop("strategy_params", {}))
        strategy_record = catalog.get(strategy)
        plan_id = await plans.intern_plan(
            pool.database,
            catalog.plan_key(symbol, "1m", strategy, params),
            symbol,
            "1m",
            strategy_record.name,
            strategy_record.version,
            strategy_record.plan_params(params),
        )
        await publish_plans(
            pool.state_redis, (await plans.plans_of(pool.database, [plan_id])).values()
        )
        new = NewAgent(
            user_id=self.owner,
            name="test",
            symbol=symbol,
            timeframe="1m",
            strategy_name=strategy,
            strategy_params=params,
            interval_seconds=changes.pop("interval_seconds", 1),
            risk_params=RISK | changes,
            plan_id=plan_id,
        )
        agent = await creation.create_agent(pool.database, new)
        await self.send(agent)
        return agent

    async def send(self, agent: Agent) -> None:
        """Brings a wanted state to its row."""
        pushed = await self.pool.shards.push(agent.shard, payload_of(agent))
        if pushed is None:
            await recover_shard(self.pool.database, self.pool.shards, agent.shard)
            await self.pool.queue.enqueue(jobs.catch_up(agent.shard, self.pool.clock.slot()))
        else:
            await self.pool.queue.enqueue(jobs.wake(agent.shard, pushed.number, pushed.stamp))

    async def want(self, agent: Agent, wanted: agents.Wanted, close: bool = True) -> Agent:
        """Changes the wanted state and sends it."""
        changed = await agents.set_wanted(
            self.pool.database, self.owner, agent.id, wanted, close_position=close
        )
        assert changed is not None
        await self.send(changed)
        return changed

    async def edit(self, agent: Agent, **changes: Any) -> Agent:
        """Changes risk_params and sends the wanted state."""
        names = [field.name for field in fields(Edit)]
        edit = Edit(**{name: getattr(agent, name) for name in names})
        wanted = replace(edit, risk_params=dict(edit.risk_params) | changes)
        edited = await edit_agent(self.pool.database, agent, wanted, None)
        assert edited is not None
        await self.send(edited)
        return edited

    async def row(self, agent: Agent) -> Any:
        """The agent's row, None before it was written."""
        found = await self.pool.shards.read_row(agent.shard, agent.row)
        return None if found is None else found[1]

    async def ticked(self, agent: Agent, seconds: float = 5.0) -> None:
        """Waits until the agent's shard has covered another slot."""
        before = await self.pool.shards.read_head(agent.shard)

        async def moved() -> bool:
            head = await self.pool.shards.read_head(agent.shard)
            return head is not None and (before is None or head.slot > before.slot)

        await wait_for(moved, seconds=seconds)


@asynccontextmanager
async def open_test_pool(settings: Settings) -> AsyncIterator[TestPool]:
    """A pool over the servers of a test, its worker not started yet."""
    async with open_pool(settings) as pool:
        user = await users.create_user(pool.database, f"{uuid4()}@example.com", "no hash")
        test_pool = TestPool(pool, user.id)
        try:
            yield test_pool
        finally:
            await test_pool.stop()
