"""What callers have used up of their allowances, the same for all hubs: one number for each.

A hub counts for itself and brings what it has counted here now and then, many callers in one
round trip; the answer says what the others have counted meanwhile.
"""

from collections.abc import Mapping

from adapters import redis_keys as keys
from adapters.redis_client import Redis, away_as_error, script

CALLERS_AT_ONCE = 500


class Allowances:
    """The shared numbers. whole_s: seconds in which a used-up allowance is whole again."""

    def __init__(self, redis: Redis, whole_s: float) -> None:
        self._whole_ms = 1000 * whole_s
        self._script = script(redis, "allowances")

    async def use(self, used_s: Mapping[str, float]) -> dict[str, float]:
        """Adds seconds of allowance that callers have used.

        Answers for each in how many seconds its allowance is whole again. Raises RedisAway.
        """
        behind_s: dict[str, float] = {}
        callers = list(used_s)
        for begin in range(0, len(callers), CALLERS_AT_ONCE):
            some = callers[begin : begin + CALLERS_AT_ONCE]
            async with away_as_error():
                behind_ms: list[int] = await self._script(
                    keys=[keys.allowance(caller) for caller in some],
                    args=[self._whole_ms, *(1000 * used_s[caller] for caller in some)],
                )
            behind_s |= {caller: each / 1000 for caller, each in zip(some, behind_ms, strict=True)}
        return behind_s
