"""How often a key of TwelveData may ask: 8 times a minute and 800 a day, over all processes.

A sliding window in Redis (pyrate-limiter's bucket) by the clock of Redis. The minute is two seconds
longer than the service's, since a request arrives later than it was counted.
"""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final, NamedTuple, cast

from pyrate_limiter import Duration, Rate, RateItem, RedisBucket
from pyrate_limiter.buckets.redis_bucket import LuaScript

from adapters import redis_keys as keys
from adapters.redis_client import NoScriptError, Redis, command

PER_MINUTE: Final = 8
PER_DAY: Final = 800
MINUTE_MS: Final = 62_000
KEPT_S: Final = 2 * 86_400


_TO_NOW: Final = "ZCOUNT', bucket, window_start, now)"
_TO_THE_END: Final = "ZCOUNT', bucket, window_start, '+inf')"
PUT: Final = LuaScript.PUT_ITEM.replace(_TO_NOW, _TO_THE_END)
"""The bucket's script, which also counts what is stamped later than the request. Two that ask at
the same moment may reach Redis in the other order of their stamps, and clocks differ by
milliseconds: the library's own count up to `now` lets both pass.
"""


class BudgetLeft(NamedTuple):
    """Requests that may still be made."""

    minute: int
    day: int


class _Bucket(RedisBucket):
    """Counts by a clock from outside instead of this machine's."""

    clock: Callable[[], float]

    def now(self) -> int:
        return int(self.clock() * 1000)


class CandleBudget:
    """The budget of one key. clock: Unix seconds of Redis."""

    def __init__(self, redis: Redis, api_key: str, clock: Callable[[], float]) -> None:
        owner = sha256(api_key.encode()).hexdigest()[:16]
        self._redis = redis
        self._key = keys.candle_budget(owner)
        self._clock = clock
        self._bucket: _Bucket | None = None

    async def take(self) -> bool:
        """Whether one request may be made now; then it is counted, whatever comes of it."""
        bucket = self._bucket or await self._open()
        try:
            taken = await self._put(bucket)
        except NoScriptError:
            # Redis was started anew or its scripts were flushed. The bucket loads its script when
            # it is made and never again, so it is made again.
            taken = await self._put(await self._open())
        await command(self._redis, "EXPIRE", self._key, KEPT_S)
        return taken

    async def left(self) -> BudgetLeft:
        """What take() would still allow."""
        now_ms = int(self._clock() * 1000)
        minute = await command(self._redis, "ZCOUNT", self._key, now_ms - MINUTE_MS, "+inf")
        day = await command(self._redis, "ZCOUNT", self._key, now_ms - int(Duration.DAY), "+inf")
        return BudgetLeft(max(PER_MINUTE - int(minute), 0), max(PER_DAY - int(day), 0))

    async def _open(self) -> _Bucket:
        rates = [Rate(PER_MINUTE, MINUTE_MS), Rate(PER_DAY, Duration.DAY)]
        loaded: bytes = await command(self._redis, "SCRIPT", "LOAD", PUT)
        bucket = _Bucket(rates, self._redis, self._key, loaded.decode())
        bucket.clock = self._clock
        self._bucket = bucket
        return bucket

    async def _put(self, bucket: _Bucket) -> bool:
        now_ms = bucket.now()
        # With an asynchronous client both answer with something to be awaited.
        await cast("Awaitable[int]", bucket.leak(now_ms))
        return await cast("Awaitable[bool]", bucket.put(RateItem("request", now_ms)))
