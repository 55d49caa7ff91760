"""The time by the clock of Redis, which is the clock of the pool.

Between measurements it runs on this machine's monotonic clock, so a step of the wall clock moves no
slot. Redis itself decides at each commit and frame; this clock is for planning and waiting.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from adapters.redis_client import Redis

SKEW_WARN_S: Final = 0.25
_SAMPLES: Final = 5

_log = logging.getLogger(__name__)


class RedisClock:
    """Tells Redis time without asking each time. Not usable before the first refresh()."""

    def __init__(
        self,
        redis: Redis,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """monotonic and wall are the clocks of this machine, in seconds."""
        self.monotonic = monotonic
        self._wall = wall
        self._redis = redis
        self._ahead_s = float("nan")
        self.skew_s = 0.0
        """How far this machine's wall clock is ahead of Redis, at the last refresh."""
        self.round_trip_s = float("nan")
        """Of the sample taken; the error of now() is at most half of it."""

    async def refresh(self) -> float:
        """Measures again; answers the skew in seconds, and warns where it is more than 0.25."""
        self.round_trip_s = float("inf")
        for _ in range(_SAMPLES):
            start = self.monotonic()
            seconds, microseconds = await self._redis.time()
            wall, end = self._wall(), self.monotonic()
            if end - start < self.round_trip_s:
                self.round_trip_s = end - start
                middle = seconds + microseconds / 1e6
                self._ahead_s = middle - (start + end) / 2
                self.skew_s = wall - (end - start) / 2 - middle
        if abs(self.skew_s) > SKEW_WARN_S:
            _log.warning(
                "the clock of this machine is %.3f s %s that of Redis; check its time service",
                abs(self.skew_s),
                "ahead of" if self.skew_s > 0 else "behind",
            )
        return self.skew_s

    def now(self) -> float:
        """Unix seconds by the clock of Redis."""
        assert self._ahead_s == self._ahead_s, "refresh() comes first"
        return self.monotonic() + self._ahead_s

    def slot(self) -> int:
        """The slot that now is."""
        return int(self.now())
