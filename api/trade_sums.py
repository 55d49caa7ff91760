"""Sums over trades, asked for once for all who want the same ones at the same time.

PostgreSQL takes seconds to add up a million trades. Nobody waits for it longer than PATIENCE_S, a
long answer is kept for a while, and long questions queue up behind each other and nobody else.
"""

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID

from adapters.db.connection import Database
from adapters.db.errors import DatabaseBusy
from adapters.db.metrics import read_traded
from api.clock import HubClock
from engine.metrics import Metrics, Traded, metrics_of

PATIENCE_S = 5.0
"""How long somebody who asks waits before being told to come again."""
SHORT_S = 2.0
"""A question that takes longer is put again where only AT_ONCE may be under way. What took less is
not kept: whoever asks sees the newest trade."""
LONGEST_S = 60.0
"""Enough for some ten million trades; above that there is no answer."""
KEPT_TIMES = 10
KEPT_S_MAX = 300.0
"""A long answer is kept for so many times as long as it took, but not longer."""
KEPT_MAX = 100
AT_ONCE = 2
"""Long questions under way, so that other calls find a connection and PostgreSQL a moment."""


@dataclass(frozen=True, slots=True)
class Summed:
    """What was traded up to `as_of` (Unix seconds), and what that comes to."""

    as_of: float
    traded: Traded
    metrics: Metrics


class StillSumming(Exception):
    """The trades are many and still being added up; asking again gets their sums."""


_Asked = tuple[UUID, UUID | None]


class TradeSums:
    """What the agents of accounts have traded."""

    def __init__(
        self,
        database: Database,
        clock: HubClock,
        *,
        patience_s: float = PATIENCE_S,
        short_s: float = SHORT_S,
    ) -> None:
        self._database = database
        self._clock = clock
        self._patience_s = patience_s
        self._short_s = short_s
        self._asked: dict[_Asked, asyncio.Task[Summed]] = {}
        self._kept: dict[_Asked, tuple[float, Summed]] = {}  # until when, by the monotonic clock
        self._free = asyncio.Semaphore(AT_ONCE)

    async def read(self, user_id: UUID, agent_id: UUID | None = None) -> Summed:
        """Of one agent, or of all agents of an account; as of the moment of the first question.

        Raises:
            StillSumming: it takes longer than anybody should wait; the sums are made meanwhile.
            DatabaseError: PostgreSQL does not answer, or has no time for it.
        """
        key = (user_id, agent_id)
        until, kept = self._kept.get(key, (0.0, None))
        if kept is not None and time.monotonic() < until:
            return kept
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.create_task(self._read(user_id, agent_id))
            asked.add_done_callback(lambda done: self._forget(key, done))
        done, _ = await asyncio.wait([asked], timeout=self._patience_s)
        if not done:
            raise StillSumming
        return asked.result()

    async def _read(self, user_id: UUID, agent_id: UUID | None) -> Summed:
        try:
            return await self._sum(user_id, agent_id, self._short_s)
        except DatabaseBusy:
            async with self._free:
                began = time.monotonic()
                summed = await self._sum(user_id, agent_id, LONGEST_S)
                self._keep((user_id, agent_id), summed, time.monotonic() - began)
                return summed

    async def _sum(self, user_id: UUID, agent_id: UUID | None, within_s: float) -> Summed:
        now_s = self._clock.now()
        traded = await read_traded(self._database, user_id, now_s, agent_id, within_s=within_s)
        return Summed(now_s, traded, metrics_of(traded, now_s))

    def _keep(self, key: _Asked, summed: Summed, took_s: float) -> None:
        now = time.monotonic()
        self._kept = {each: kept for each, kept in self._kept.items() if kept[0] > now}
        while len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = now + min(took_s * KEPT_TIMES, KEPT_S_MAX), summed

    def _forget(self, key: _Asked, done: asyncio.Task[Summed]) -> None:
        del self._asked[key]
        if not done.cancelled():
            done.exception()  # heard, also when everybody who asked has gone
