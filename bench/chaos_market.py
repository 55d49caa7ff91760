"""What the slots of a chaotic run saw, taken down beside it: Redis may lose what was used already.

Frames are taken at once; signals and readings of a slot until a late tick could not add to them
any more. What was lost with Redis and stored again must be the same as before.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from adapters import redis_keys as keys
from adapters.redis_client import AWAY, Redis, command, open_redis
from adapters.shard_records import decode_skipped
from engine.schedule import SkippedRange

REACH_S = 75
"""A late tick stores signals of slots up to a minute old."""
_LATELY_S = 3
_POLL_S = 0.15
_LOOK_BACK_EVERY_S = 5.0


@dataclass(slots=True)
class MarketRecording:
    """By slot the frame, the signals by plan and the readings by window, all as they are stored;
    by shard the ranges of slots not run, and of those run without entries, that heads told of.
    """

    frames: dict[int, bytes] = field(default_factory=dict)
    signals: dict[int, bytes] = field(default_factory=dict)
    readings: dict[int, bytes] = field(default_factory=dict)
    skipped: dict[int, set[SkippedRange]] = field(default_factory=dict)
    held: dict[int, set[SkippedRange]] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    """What was another once: no slot may ever have two."""

    async def follow(self, redis_url: str) -> None:
        """Takes down until it is cancelled; while Redis is away there is nothing to take."""
        redis = open_redis(redis_url)
        looked_back = 0.0
        try:
            while True:
                now = time.time()
                looks_back = now - looked_back > _LOOK_BACK_EVERY_S
                with suppress(*AWAY):
                    await self.take(redis, int(now), REACH_S if looks_back else _LATELY_S)
                    if looks_back:
                        await self._take_skipped(redis)
                        looked_back = now
                await asyncio.sleep(_POLL_S)
        finally:
            await redis.aclose()

    async def take(self, redis: Redis, now_slot: int, back: int) -> None:
        """Takes down what Redis has of these slots."""
        slots = list(range(now_slot - back, now_slot + 1))
        pipe = redis.pipeline(transaction=False)
        for key in (keys.market_frame, keys.market_signals, keys.market_readings):
            pipe.mget([key(slot) for slot in slots])
        frames, signals, readings = await pipe.execute()
        for slot, frame in zip(slots, frames, strict=True):
            if frame is not None and self.frames.setdefault(slot, frame) != frame:
                self.changed.append(f"slot {slot} has had two frames")
        for name, kept, found in (
            ("signals", self.signals, signals),
            ("readings", self.readings, readings),
        ):
            for slot, data in zip(slots, found, strict=True):
                if data is not None and kept.get(slot) != data:
                    kept[slot], same = joined(kept.get(slot, b""), data)
                    if not same:
                        self.changed.append(f"slot {slot} has had two sets of {name}")

    async def _take_skipped(self, redis: Redis) -> None:
        for member in await command(redis, "SMEMBERS", keys.shards()):
            head = keys.shard_head(int(member))
            skipped, held = await command(redis, "HMGET", head, "skipped", "held")
            self.skipped.setdefault(int(member), set()).update(decode_skipped(skipped or b""))
            self.held.setdefault(int(member), set()).update(decode_skipped(held or b""))


def joined(before: bytes, now: bytes) -> tuple[bytes, bool]:
    """Two tables of eight-byte values in one, and whether they agree where both have a value."""
    size = max(len(before), len(now))
    one = np.frombuffer(before.ljust(size, b"\0"), "<i8")
    other = np.frombuffer(now.ljust(size, b"\0"), "<i8")
    both = (one != 0) & (other != 0)
    return np.where(one != 0, one, other).tobytes(), bool((one[both] == other[both]).all())
