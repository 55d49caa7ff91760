"""What the pool decided on and what it said, taken down beside it: streams, frames, signals.

Streams are read with a blocking read, which Redis serves right after each commit and long before
the ledger can trim. Whether nothing slipped through is not believed but checked: an agent's events
are numbered without gaps.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np

from adapters import redis_keys as keys
from adapters.redis_client import Redis, command, open_redis
from adapters.slot_readings import decode_readings
from bench.recompute_rules import Price, Reading
from bench.stack import BenchError
from engine.events import Event, decode_event
from engine.frames import TIMEFRAME_NAMES, TIMEFRAMES, Floats, decode_frame
from strategies.sizing import volatility_per_atr

SHARDS_MAX = 16
"""Streams that are followed from before they exist; a measurement with more shards is refused."""
_BLOCK_MS = 500
_AT_ONCE = 10_000


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


@dataclass(frozen=True, slots=True)
class RecordedMarket:
    """What slots held: prices by symbol, signals and readings by plan; absent: without a frame."""

    prices: Mapping[int, Mapping[str, Price]]
    signals: Mapping[int, Mapping[int, float]]
    readings: Mapping[int, Mapping[int, Reading]]
    absent: list[int]


async def recorded_market(
    redis: Redis, first: int, last: int, plans: Mapping[int, tuple[str, str]]
) -> RecordedMarket:
    """The slots first..last; plans: (symbol, timeframe) by id.

    Raises:
        BenchError: the first frames have run out already.
    """
    if last - first > keys.FRAME_TTL_S - 60:
        raise BenchError(f"frames live {keys.FRAME_TTL_S} s, the run took {last - first} s")
    prices: dict[int, dict[str, Price]] = {}
    signals: dict[int, dict[int, float]] = {}
    readings: dict[int, dict[int, Reading]] = {}
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
        of_windows, _ = decode_readings(
            await command(redis, "GET", keys.market_readings(slot)) or b""
        )
        readings[slot] = _of_plans(of_windows, frame.symbols, plans)
    return RecordedMarket(prices, signals, readings, absent)


def _of_plans(
    of_windows: Floats, symbols: Sequence[str], plans: Mapping[int, tuple[str, str]]
) -> dict[int, Reading]:
    """The readings of plans, out of those of each symbol and timeframe of a frame."""
    found: dict[int, Reading] = {}
    for plan_id, (symbol, timeframe) in plans.items():
        window = symbols.index(symbol) * len(TIMEFRAMES) + TIMEFRAME_NAMES.index(timeframe)
        fraction = float(of_windows[window]) if window < len(of_windows) else float("nan")
        per_atr = volatility_per_atr(TIMEFRAMES[timeframe])
        found[plan_id] = Reading(fraction, fraction * per_atr)
    return found
