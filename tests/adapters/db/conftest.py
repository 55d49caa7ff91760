"""An open database with one account and one plan, and makers of agents."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from adapters.db import agents, plans, shards, users
from adapters.db.agents import Agent, NewAgent
from adapters.db.connection import Database, close_database, connection, open_database
from tests.adapters.db.stories import RUN


@dataclass(frozen=True)
class World:
    """A database to test on: user and plan exist."""

    db: Database
    user: UUID
    plan: int

    def new(self, **values: Any) -> NewAgent:
        """An agent to be made, with the usual settings where none are given."""
        usual: dict[str, Any] = {
            "user_id": self.user,
            "name": "test",
            "symbol": "BTC/USDT",
            "timeframe": "1m",
            "strategy_name": "momentum_breakout",
            "strategy_params": {"lookback": 20, "threshold": 0.5},
            "interval_seconds": 1,
            "risk_params": {"max_position_usd": 100.0},
            "plan_id": self.plan,
        }
        return NewAgent(**(usual | values))

    async def agent(self, **values: Any) -> Agent:
        """An agent in an open shard."""
        made = await agents.create_agent(self.db, self.new(**values))
        await shards.set_run_id(self.db, made.shard, RUN)
        return made

    async def ask(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a plain question."""
        async with connection(self.db) as con:
            return [tuple(row) for row in await con.fetch(question, *values)]


NewUser = Callable[[str], Awaitable[UUID]]


@pytest.fixture
async def db(migrated_database_url: str) -> AsyncIterator[Database]:
    database = await open_database(migrated_database_url, pool_max=8)
    yield database
    await close_database(database)


@pytest.fixture
async def world(db: Database) -> World:
    user = await users.create_user(db, "owner@example.com", "hash")
    plan = await plans.intern_plan(
        db, "{}", "BTC/USDT", "1m", "momentum_breakout", 1, {"lookback": 20}
    )
    return World(db, user.id, plan)
