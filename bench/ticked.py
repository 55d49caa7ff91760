"""When each shard was done with each slot, as seen from outside: the workers publish each commit.

A slot that was caught up later counts as late as its commit, also when one commit covers many.
"""

import asyncio
import time
from dataclasses import dataclass, field

from adapters import redis_keys as keys
from adapters.queue import phase_s
from adapters.redis_client import open_redis
from adapters.shard_records import decode_ticked

Commit = tuple[float, int, int]
"""(Unix time at which it was heard of, shard, slot)."""


@dataclass(slots=True)
class TickedLog:
    """Every commit since `listening` was set, in the order in which they were heard of."""

    commits: list[Commit] = field(default_factory=list)
    listening: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, redis_url: str) -> None:
        """Notes commits until it is cancelled."""
        redis = open_redis(redis_url, timeout_s=60.0)
        try:
            async with redis.pubsub() as heard:
                await heard.subscribe(keys.ticked_channel())
                self.listening.set()
                async for message in heard.listen():
                    if message["type"] == "message":
                        shard, slot, _version = decode_ticked(message["data"])
                        self.commits.append((time.time(), shard, slot))
        finally:
            await redis.aclose()

    def lags_ms(self, after: int, through: int, shard: int | None = None) -> list[float]:
        """Lag of each (shard, slot) in after+1..through, unsorted: heard of minus due. shard: of
        this one alone.
        """
        lags: list[float] = []
        covered: dict[int, int] = {}
        for at, its_shard, slot in self.commits:
            if shard is not None and its_shard != shard:
                continue
            before = covered.get(its_shard, slot - 1)
            for each in range(max(before, after) + 1, min(slot, through) + 1):
                lags.append((at - each - phase_s(its_shard)) * 1000)
            covered[its_shard] = max(before, slot)
        return lags

    def longest_gap_s(self, after: int) -> float:
        """The longest time in which a shard that had been ticking was silent, from a slot on."""
        last: dict[int, float] = {}
        longest = 0.0
        for at, shard, slot in self.commits:
            if slot > after:
                longest = max(longest, at - last.get(shard, at))
            last[shard] = at
        return longest
