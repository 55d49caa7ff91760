"""How often somebody may try to get in: a sliding window in Redis, the same for all hubs.

The window is counted by the clock of Redis. A key holds no more numbers than its limit and goes
when its window is over. Names of accounts and addresses are hashed: Redis knows no e-mail.
"""

import hashlib
import math
from collections.abc import Mapping

from adapters import redis_keys as keys
from adapters.redis_client import Redis, away_as_error, script

WINDOW_S = 60


class Attempts:
    """Counts the attempts of one kind (login, register) under several limits at once."""

    def __init__(self, redis: Redis, limits: Mapping[str, int]) -> None:
        """Takes for each sort of name (account, address) how many attempts a window may hold."""
        self._limits = dict(limits)
        self._script = script(redis, "attempts")

    async def wait_s(self, kind: str, names: Mapping[str, str]) -> int:
        """0 when the attempt may be made, which counts it; else the seconds to wait, at least 1.

        names: the account and address of this attempt, one for each limit. Raises RedisAway.
        """
        async with away_as_error():
            wait_ms: int = await self._script(
                keys=[keys.attempts(kind, f"{sort}:{_hash(names[sort])}") for sort in self._limits],
                args=[WINDOW_S * 1000, *self._limits.values()],
            )
        return math.ceil(wait_ms / 1000)


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:32]
