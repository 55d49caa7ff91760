"""Leases on tick partitions: who serves which queue, and who is alive.

A lease gives liveness only. Two owners at once do no harm: what a tick writes is guarded by the
version it has read. So a lease may be short, and a paused process may believe in one it has lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from adapters import redis_keys as keys
from adapters.redis_client import Redis, script
from adapters.redis_keys import TICK_PARTITIONS

Wish = Literal["keep", "take", "drop"]


@dataclass(frozen=True, slots=True)
class LeaseTable:
    """Live workers by name, and the owner of each partition ('' for none)."""

    workers: tuple[str, ...]
    owners: tuple[str, ...]


class LeaseKeeper:
    """One worker's voice in the sharing of partitions."""

    def __init__(self, redis: Redis, name: str, lease_ms: int) -> None:
        self.name = name
        self.lease_ms = lease_ms
        self._script = script(redis, "leases")

    async def beat(self, wishes: Sequence[Wish]) -> LeaseTable:
        """Says "alive", renews what is held, takes what is free and wished, drops what is not.

        wishes has one entry for each partition.
        """
        return await self._call("1", wishes)

    async def leave(self) -> None:
        """Gives back every lease and takes the name off the list of live workers."""
        await self._call("0", ["drop"] * TICK_PARTITIONS)

    async def _call(self, alive: str, wishes: Sequence[Wish]) -> LeaseTable:
        lease_keys = [keys.partition_lease(p) for p in range(TICK_PARTITIONS)]
        answer = await self._script(
            keys=[keys.workers(), *lease_keys], args=[self.name, self.lease_ms, alive, *wishes]
        )
        names = answer[0].decode()
        return LeaseTable(
            workers=tuple(names.split(",")) if names else (),
            owners=tuple(owner.decode() for owner in answer[1:]),
        )
