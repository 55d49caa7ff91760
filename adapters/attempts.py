"""How often somebody may try to get in: a sliding window in Redis, the same for all hubs.

The window is counted by the clock of Redis. A key holds no more numbers than its limit and goes
when its window is over. Names of accounts and addresses are hashed: Redis knows no e-mail.
"""

import hashlib
import math
from typing import Literal

from adapters import redis_keys as keys
from adapters.redis_client import Redis, away_as_error, script

WINDOW_S = 60

Kind = Literal["login", "register"]


class Attempts:
    """Counts attempts, those of each kind for themselves, under both limits at once."""

    def __init__(self, redis: Redis, *, account: int, address: int) -> None:
        """Takes how many attempts a window may hold for one account, and from one address."""
        self._limits = (account, address)
        self._script = script(redis, "attempts")

    async def wait_s(self, kind: Kind, account: str, address: str) -> int:
        """0 when the attempt may be made, which counts it; else the seconds to wait, at least 1.

        It does not matter whether there is such an account. Raises RedisAway.
        """
        async with away_as_error():
            wait_ms: int = await self._script(
                keys=[
                    keys.attempts(kind, f"account:{_hash(account)}"),
                    keys.attempts(kind, f"address:{_hash(address)}"),
                ],
                args=[WINDOW_S * 1000, *self._limits],
            )
        return math.ceil(wait_ms / 1000)


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:32]
