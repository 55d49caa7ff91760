"""Candles that the hub fetches with a user's own key of TwelveData, for the user who asks.

Each key has a budget of its own, which lies in Redis beside the pool's: a user's requests cost
nobody else any. What comes is stored for all, under the same lock, so nothing is asked twice.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import httpx

from adapters.candle_budget import CandleBudget
from adapters.candle_state import SourceState
from adapters.candle_store import CandleStore
from adapters.candles import CANDLES_FRESH_S, CandleError, WindowName
from adapters.candles_twelvedata import TwelveDataCandles
from adapters.redis_client import Redis

KEYS_REMEMBERED: Final = 1_000
TIMEOUT_S: Final = 2.0
"""Who asks waits for the pool's sources, too, where a key of their own has not answered by then."""

log = logging.getLogger(__name__)


class _Owned:
    """One key at work: what may be asked with it, and what came of it."""

    def __init__(self, key: str, budget: CandleBudget, source: TwelveDataCandles) -> None:
        self.key = key
        self.budget = budget
        self.source = source
        self.state = SourceState()


class OwnCandles:
    """The keys that this hub process has used lately. clock: Unix seconds of Redis."""

    def __init__(
        self, url: str, redis: Redis, store: CandleStore, clock: Callable[[], float]
    ) -> None:
        self._url = url
        self._redis = redis
        self._store = store
        self._clock = clock
        self._client = httpx.AsyncClient()
        self._owned: OrderedDict[UUID, _Owned] = OrderedDict()

    async def close(self) -> None:
        """Closes what is open."""
        await self._client.aclose()

    async def fetch(self, name: WindowName, user_id: UUID, key: str) -> bool:
        """Fetches and stores candles; False where the key can't be used for them now."""
        owned = self._of(user_id, key)
        now = self._clock()
        if not owned.state.may(name, now):
            return False
        if not await self._store.take_off(name, "a user's own key", now - CANDLES_FRESH_S):
            return False
        if not await owned.budget.take():
            await self._store.land(name)
            return False
        owned.state.requests += 1
        try:
            candles = await owned.source.fetch(*name)
        except CandleError as error:
            owned.state.failed(name, error, self._clock())
            log.info("candles with a key of user %s: %s", user_id, error)
            await self._store.land(name)
            return False
        owned.state.answered(self._clock())
        await self._store.put(name, candles)
        return True

    async def told(self, user_id: UUID, key: str) -> dict[str, Any]:
        """How a user's own key is doing, as this process has seen it, and what is left of it."""
        owned = self._of(user_id, key)
        left = await owned.budget.left()
        budget = {"minute": left.minute, "day": left.day}
        return owned.state.report("twelvedata", budget_left=budget)

    def _of(self, user_id: UUID, key: str) -> _Owned:
        owned = self._owned.get(user_id)
        if owned is None or owned.key != key:
            budget = CandleBudget(self._redis, key, self._clock)
            source = TwelveDataCandles(self._url, key, self._clock, self._client, TIMEOUT_S)
            owned = self._owned[user_id] = _Owned(key, budget, source)
        self._owned.move_to_end(user_id)
        while len(self._owned) > KEYS_REMEMBERED:
            self._owned.popitem(last=False)
        return owned
