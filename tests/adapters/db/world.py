"""A database to test on, with one account and one plan in it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from adapters.db import creation, shards
from adapters.db.agents import Agent, NewAgent
from adapters.db.connection import Database, connection
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
        made = await creation.create_agent(self.db, self.new(**values))
        await shards.set_run_id(self.db, made.shard, RUN)
        return made

    async def ask(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a plain question."""
        async with connection(self.db) as con:
            return [tuple(row) for row in await con.fetch(question, *values)]


EVERYTHING = {
    "trades": "SELECT * FROM trades ORDER BY id",
    "logs": "SELECT * FROM logs ORDER BY id",
    "messages": "SELECT * FROM messages ORDER BY user_id, seq",
    "rows": "SELECT * FROM shard_rows ORDER BY shard, row",
    "agents": "SELECT * FROM agents ORDER BY id",
    "shards": "SELECT * FROM shards ORDER BY id",
    "users": "SELECT * FROM users ORDER BY id",
    "quarantine": "SELECT * FROM quarantine ORDER BY id",
}


async def everything(world: World) -> dict[str, list[tuple[object, ...]]]:
    return {name: await world.ask(question) for name, question in EVERYTHING.items()}
