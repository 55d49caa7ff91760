"""The Lua scripts of the market, each behind a typed function.

All keys of a script share the tag {market}. What a script may answer is in the head of its file;
here it becomes values. Times are seconds by the clock of Redis.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np

from adapters import redis_keys as keys
from adapters.prices import Anchor
from adapters.redis_client import Redis, script
from engine.frames import BAR_RECORD, ClosedBar, Floats, Ints

BARS_KEPT = 1160
"""Closed bars kept of a symbol and timeframe: a window of 500 and the 660 that may close while
frames of the past live (ten minutes at sixty times the speed).
"""
LIVE_BARS_KEPT = 2 * BARS_KEPT
"""The same where fetched bars stand for built ones: each may be there twice."""

FrameKind = Literal["frame", "stored", "early", "never", "make", "retry"]


@dataclass(frozen=True, slots=True)
class FrameReply:
    """What frame.lua said. The fields below `frame` are set for "make" and "retry" alone."""

    kind: FrameKind
    run_id: str
    now: float
    frame: bytes = b""
    newest: int | None = None
    born_slot: int = 0
    anchor: Anchor | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A frame to be stored, if the newest one is still that of slot `built_on`.

    anchor is None where the one in Redis stays; bars are those that closed, oldest first.
    """

    frame: bytes
    built_on: int | None
    anchor: Anchor | None
    bars: Sequence[ClosedBar]
    bars_kept: int = BARS_KEPT


class MarketScripts:
    """The three scripts, registered with one client."""

    def __init__(self, redis: Redis) -> None:
        self._frame = script(redis, "frame")
        self._window = script(redis, "window")
        self._readings = script(redis, "readings")

    async def look(self, slot: int) -> FrameReply:
        """The frame of a slot, or what it takes to make it, or that it is too early or too late."""
        return _reply(await self._frame(keys=_frame_keys(slot), args=[slot]))

    async def store(self, slot: int, candidate: Candidate) -> FrameReply:
        """The candidate becomes the frame ("stored") unless there is one, or it is not its time."""
        lists: dict[str, list[ClosedBar]] = {}
        for bar in candidate.bars:
            lists.setdefault(keys.market_bars(bar.symbol, bar.timeframe), []).append(bar)
        anchor = candidate.anchor
        args: list[bytes | str | int] = [
            slot,
            "" if candidate.built_on is None else candidate.built_on,
            candidate.frame,
            keys.FRAME_TTL_S,
            candidate.bars_kept,
            "" if anchor is None else anchor.source,
            "" if anchor is None else anchor.slot,
            b"" if anchor is None else msgspec.json.encode(anchor.position),
        ]
        args += [
            bar_records(
                np.array([bar.number for bar in bars]), np.stack([bar.bar for bar in bars])
            ).tobytes()
            for bars in lists.values()
        ]
        return _reply(await self._frame(keys=[*_frame_keys(slot), *lists], args=args))

    async def lay(self, symbol: str, timeframe: str, numbers: Ints, bars: Floats) -> list[bytes]:
        """Lays history in front of the bars built since; answers all records there are then."""
        records = bar_records(numbers, bars)
        answer: list[bytes] = await self._window(
            keys=[keys.market_bars(symbol, timeframe)],
            args=[BARS_KEPT, *(record.tobytes() for record in records)],
        )
        return answer

    async def put_readings(
        self, slot: int, plan_ids: Ints, signals: Ints, windows: Ints, fractions: Ints
    ) -> tuple[Ints, Ints, bool]:
        """Sets what is not set yet; plan_ids and windows ascend, the others are bits.

        Answers the bits that stand, and whether all of them are the given ones.
        """
        answer: list[bytes] = await self._readings(
            keys=[keys.market_signals(slot), keys.market_readings(slot)],
            args=[
                keys.FRAME_TTL_S,
                plan_ids.astype("<u4").tobytes(),
                signals.astype("<i8").tobytes(),
                windows.astype("<u4").tobytes(),
                fractions.astype("<i8").tobytes(),
            ],
        )
        assert answer is not None, "readings.lua was called with wrong arguments"
        standing = [np.frombuffer(each, "<i8").astype(np.int64) for each in answer]
        return (
            standing[0] if answer[0] else signals,
            standing[1] if answer[1] else fractions,
            not answer[0] and not answer[1],
        )


def bar_records(numbers: Ints, bars: Floats) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Numbers i8[N] and bars f8[N, 6] as records."""
    records = np.empty(len(numbers), dtype=BAR_RECORD)
    records["number"], records["bar"] = numbers, bars
    return records


def read_records(records: Sequence[bytes]) -> tuple[Ints, Floats]:
    """The inverse of bar_records for what lies in a list."""
    table = np.frombuffer(b"".join(records), BAR_RECORD)
    return table["number"].astype(np.int64), table["bar"].astype(np.float64)


def read_anchor(fields: Sequence[bytes | None]) -> Anchor | None:
    """An anchor out of source, slot and position as Redis has them."""
    source, slot, position = fields
    if source is None or slot is None or position is None:
        return None
    place: Mapping[str, float] = msgspec.json.decode(position, type=dict[str, float])
    return Anchor.at(source.decode(), int(slot), place)


def _frame_keys(slot: int) -> list[str]:
    return [
        keys.market_meta(), keys.market_newest(), keys.market_frame(slot), keys.market_anchor()
    ]  # fmt: skip


def _reply(answer: Sequence[Any]) -> FrameReply:
    assert answer[0] != b"arguments", "frame.lua was called with wrong arguments"
    kind: FrameKind = answer[0].decode()
    run_id, now, rest = answer[1].decode(), float(answer[2]), answer[3:]
    if kind == "frame":
        return FrameReply(kind, run_id, now, frame=rest[0])
    if kind not in {"make", "retry"}:
        return FrameReply(kind, run_id, now)
    newest = None if rest[0] is None else int(rest[0])
    return FrameReply(
        kind, run_id, now, newest=newest, born_slot=int(rest[1]), anchor=read_anchor(rest[2:])
    )
