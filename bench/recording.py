"""What the pool decided on and what it said, taken down beside it: streams, frames, signals.

Streams are read with a blocking read, which Redis serves right after each commit and long before
the ledger can trim. Whether nothing slipped through is not believed but checked: an agent's events
are numbered without gaps.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np

from adapters import redis_keys as keys
from adapters.redis_client import Redis, command, open_redis
from bench.recompute import Price
from bench.stack import BenchError
from engine.events import Event, decode_event
from engine.frames import decode_frame

SHARDS_MAX = 16
"""Streams that are followed from before they exist; a measurement with more shards is refused."""
_BLOCK_MS = 500
_AT_ONCE = 10_000

Prices = Mapping[int, Mapping[str, Price]]
Signals = Mapping[int, Mapping[int, float]]


@dataclass(slots=True)
class StreamRecording:
    """Every event of the first shards, in the order of each stream."""

    events: list[Event] = field(default_factory=list)

    async def follow(self, redis_url: str) -> None:
        """Takes events down until it is cancelled."""
        redis = open_redis(redis_url, max_connections=1)
        last = {keys.shard_events(shard): "0-0" for shard in range(SHARDS_MAX)}
        try:
            while True:
                words = ["XREAD", "COUNT", _AT_ONCE, "BLOCK", _BLOCK_MS, "STREAMS"]
                answer = await command(redis, *words, *last.keys(), *last.values())
                for stream, entries in answer or []:
                    for entry_id, fields in entries:
                        self.events.append(decode_event(_payload(fields)))
                        last[stream.decode()] = entry_id.decode()
        finally:
            await redis.aclose()

    def by_agent(self) -> dict[UUID, list[Event]]:
        """Each agent's events by number."""
        found: dict[UUID, list[Event]] = {}
        for event in self.events:
            found.setdefault(UUID(bytes=event.agent_id), []).append(event)
        return {agent: sorted(events, key=lambda e: e.seq) for agent, events in found.items()}


def _payload(fields: Any) -> bytes:
    """The field `e`, whether the client answers with a mapping or a flat list."""
    pairs = (
        fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
    )
    payload: bytes = pairs[b"e"]
    return payload


async def events_read(recording: StreamRecording, seconds: float) -> None:
    """Waits until nothing has been read for a while."""
    seen = -1
    while seen != len(recording.events):
        seen = len(recording.events)
        await asyncio.sleep(seconds)


async def recorded_market(redis: Redis, first: int, last: int) -> tuple[Prices, Signals, list[int]]:
    """Prices and signals of the slots first..last, and the slots that never got a frame.

    Raises:
        BenchError: the first frames have run out already.
    """
    if last - first > keys.FRAME_TTL_S - 60:
        raise BenchError(f"frames live {keys.FRAME_TTL_S} s, the run took {last - first} s")
    prices: dict[int, dict[str, Price]] = {}
    signals: dict[int, dict[int, float]] = {}
    absent: list[int] = []
    for slot in range(first, last + 1):
        data = await command(redis, "GET", keys.market_frame(slot))
        if data is None:
            absent.append(slot)
            continue
        frame = decode_frame(data)
        prices[slot] = {
            symbol: Price(float(frame.price[place]), float(frame.publish_time[place]))
            for place, symbol in enumerate(frame.symbols)
            if np.isfinite(frame.price[place]) and np.isfinite(frame.publish_time[place])
        }
        bits = np.frombuffer(
            await command(redis, "GET", keys.market_signals(slot)) or b"", np.dtype("<i8")
        )
        values = bits.view("<f8")
        signals[slot] = {int(p): float(values[p]) for p in np.flatnonzero(bits).tolist()}
    return prices, signals, absent
