"""Sums over trades, asked for once for all who want the same ones at the same time.

A fleet with a million trades takes PostgreSQL seconds to add up. An account that asks again and
again must not hold all connections with it.
"""

import asyncio
from uuid import UUID

from adapters.db.connection import Database
from adapters.db.metrics import read_traded
from api.clock import HubClock
from engine.metrics import Metrics, Traded, metrics_of

Summed = tuple[Traded, Metrics]


class TradeSums:
    """What the agents of accounts have traded. Keeps nothing longer than it takes to ask."""

    def __init__(self, database: Database, clock: HubClock) -> None:
        self._database = database
        self._clock = clock
        self._asked: dict[tuple[UUID, UUID | None], asyncio.Task[Summed]] = {}

    async def read(self, user_id: UUID, agent_id: UUID | None = None) -> Summed:
        """Of one agent, or of all agents of an account; as of the moment of the first question.

        Raises:
            DatabaseError: PostgreSQL does not answer, or has no time for it.
        """
        key = (user_id, agent_id)
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.create_task(self._read(user_id, agent_id))
            asked.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(asked)

    async def _read(self, user_id: UUID, agent_id: UUID | None) -> Summed:
        now_s = self._clock.now()
        traded = await read_traded(self._database, user_id, now_s, agent_id)
        return traded, metrics_of(traded, now_s)

    def _forget(self, key: tuple[UUID, UUID | None], done: asyncio.Task[Summed]) -> None:
        del self._asked[key]
        if not done.cancelled():
            done.exception()  # heard, also when everybody who asked has gone
