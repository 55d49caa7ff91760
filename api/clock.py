"""The clock of Redis as the hub uses it: measured in the background, from the start on.

A hub may start while Redis is away; until the first measurement every question is RedisAway.
"""

import asyncio
import logging
import math

from adapters.errors import RedisAway
from adapters.redis_client import away_as_error
from adapters.redis_clock import RedisClock

log = logging.getLogger(__name__)

REFRESH_S = 10.0
RETRY_S = 1.0


class HubClock:
    """Unix seconds and slots by the clock of Redis."""

    def __init__(self, clock: RedisClock) -> None:
        self._clock = clock
        self._measured = False

    async def measure(self) -> None:
        """Measures once. Raises RedisAway."""
        async with away_as_error():
            await self._clock.refresh()
        self._measured = True

    async def keep(self) -> None:
        """Measures again and again until it is canceled; an older measurement stays good."""
        while True:
            pause = REFRESH_S
            try:
                await self.measure()
            except RedisAway as error:
                log.warning("the clock of Redis can't be read: %s", error)
                pause = RETRY_S
            await asyncio.sleep(pause)

    def now(self) -> float:
        """Unix seconds. Raises RedisAway before the first measurement."""
        if not self._measured:
            raise RedisAway("the clock of Redis was not read yet")
        return self._clock.now()

    def slot(self) -> int:
        """The slot that now is. Raises RedisAway before the first measurement."""
        return math.floor(self.now())
