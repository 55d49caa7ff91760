"""Frames, windows, signals and readings in Redis, as every process of the pool sees them.

A frame is made once, inside its slot by the clock of Redis, by whoever asks first; everybody uses
what is stored. What a process remembers belongs to one run of Redis and is dropped with it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from adapters import redis_keys as keys
from adapters.live_frames import LivePrices
from adapters.market_bars import WindowGone, WindowName, WindowStore
from adapters.market_scripts import (
    BARS_KEPT,
    LIVE_BARS_KEPT,
    Candidate,
    FrameReply,
    MarketScripts,
)
from adapters.market_windows import Window
from adapters.prices import Anchor, PriceSource
from adapters.redis_client import Redis
from adapters.slot_readings import (
    Settled,
    Signals,
    SlotSignals,
    decode_readings,
    decode_signals,
    read_readings,
    read_signals,
    reading_bits,
    signal_bits,
)
from engine.frames import (
    ClosedBar,
    Floats,
    Frame,
    Ints,
    Mask,
    decode_frame,
    encode_frame,
    next_frame,
)

__all__ = [
    "FrameAnswer",
    "MarketStore",
    "Settled",
    "Signals",
    "SlotSignals",
    "Window",
    "WindowGone",
]

ANCHOR_TOLD_EVERY_S: Final = 60
FRAMES_REMEMBERED: Final = 128

OnAnchor = Callable[[str, int, Mapping[str, float]], Awaitable[None]]
AnchorOfRecord = Callable[[str], Awaitable[Anchor | None]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FrameAnswer:
    """The frame of a slot; or that the slot has not begun; or that it has none and never will.

    now is the time by the clock of Redis, 0 where the answer came from this process's memory.
    """

    kind: Literal["frame", "early", "never"]
    frame: Frame | None = None
    now: float = 0.0


class MarketStore:
    """The market of one process. Any number of tasks may share it. Without a source it only reads.

    on_anchor(source, slot, position) is awaited after a frame that moved the anchor of a recording,
    and once a minute; anchor_of_record(source) is asked when Redis has no anchor for the source.
    Both must be quick: a frame waits for them. What they raise reaches whoever asked for the frame.
    """

    def __init__(
        self,
        redis: Redis,
        source: PriceSource | LivePrices | None,
        *,
        on_anchor: OnAnchor | None = None,
        anchor_of_record: AnchorOfRecord | None = None,
    ) -> None:
        self.source = source
        self._redis = redis
        self._scripts = MarketScripts(redis)
        self._on_anchor = on_anchor
        self._anchor_of_record = anchor_of_record
        self._asking = asyncio.Lock()
        self._run_id = ""
        self._frames: dict[int, Frame] = {}
        self._windows = WindowStore(redis, self._scripts, source)

    def use(self, source: PriceSource | LivePrices) -> None:
        """Takes up a source that was not settled when this process started, or is another now."""
        self.source = source
        self._windows.use(source)

    def seen_run_id(self, run_id: str) -> None:
        """Forgets what belongs to another run of Redis. Whoever reads a run_id may tell it here."""
        if run_id != self._run_id:
            self._run_id = run_id
            self._frames.clear()
            self._windows.forget()

    async def frame(self, slot: int) -> FrameAnswer:
        """The frame of a slot; makes it if it is missing and the slot is now."""
        remembered = self._frames.get(slot)
        if remembered is not None:
            return FrameAnswer("frame", remembered)
        async with self._asking:
            remembered = self._frames.get(slot)
            if remembered is not None:
                return FrameAnswer("frame", remembered)
            reply = await self._scripts.look(slot)
            self.seen_run_id(reply.run_id)
            while reply.kind in {"make", "retry"}:
                if self.source is None:
                    return FrameAnswer("never", now=reply.now)
                reply = await self._make(self.source, slot, reply)
                self.seen_run_id(reply.run_id)
            if reply.kind == "frame":
                return FrameAnswer("frame", self._remember(decode_frame(reply.frame)), reply.now)
            if reply.kind == "early":
                return FrameAnswer("early", now=reply.now)
            return FrameAnswer("never", now=reply.now)

    async def newest(self) -> Frame | None:
        """The newest frame there is, None before the first; never makes one."""
        slot = await self._redis.get(keys.market_newest())
        return None if slot is None else await self._stored(int(slot))

    async def _stored(self, slot: int) -> Frame | None:
        frame = self._frames.get(slot)
        if frame is not None:
            return frame
        data = await self._redis.get(keys.market_frame(slot))
        return None if data is None else decode_frame(data)

    def _remember(self, frame: Frame) -> Frame:
        self._frames[frame.slot] = frame
        while len(self._frames) > FRAMES_REMEMBERED:
            del self._frames[min(self._frames)]
        return frame

    async def _make(
        self, source: PriceSource | LivePrices, slot: int, reply: FrameReply
    ) -> FrameReply:
        """Builds the frame on the newest one and offers it; the answer is that of the script."""
        identity = source.identity
        before = None if reply.newest is None else await self._stored(reply.newest)
        known, last_slot = reply.anchor, reply.newest or 0
        if known is not None and known.source != identity:
            _log.warning("prices come from %s now, they came from %s", identity, known.source)
            known = None
        if known is None:
            before = None
            if self._anchor_of_record is not None and source.keeps_place:
                known = await self._anchor_of_record(identity)
            if known is not None:
                # It was told up to a minute before the newest frame, which nobody knows any more:
                # better leave a minute out than show one twice.
                last_slot = min(slot - 1, known.slot + ANCHOR_TOLD_EVERY_S)
        resumed = last_slot <= reply.born_slot
        anchor, frame, bars = await self._build(source, before, known, last_slot, slot, resumed)
        data = encode_frame(frame)
        moved = anchor != reply.anchor
        answer = await self._scripts.store(
            slot,
            Candidate(
                data,
                reply.newest,
                anchor if moved else None,
                bars,
                LIVE_BARS_KEPT if isinstance(source, LivePrices) else BARS_KEPT,
            ),
        )
        if answer.kind != "stored":
            return answer
        if self._on_anchor and source.keeps_place and (moved or slot % ANCHOR_TOLD_EVERY_S == 0):
            told = Anchor(identity, slot, anchor.seconds_at(slot), anchor.speed)
            await self._on_anchor(identity, slot, told.position)
        return FrameReply("frame", answer.run_id, answer.now, frame=data)

    async def _build(
        self,
        source: PriceSource | LivePrices,
        before: Frame | None,
        known: Anchor | None,
        last_slot: int,
        slot: int,
        resumed: bool,
    ) -> tuple[Anchor, Frame, list[ClosedBar]]:
        """A frame on the one before, the anchor that it was made with, and the bars that closed."""
        if isinstance(source, LivePrices):
            # Nothing to keep: the anchor only says whose the frames are.
            anchor = known or Anchor(source.identity, slot - 1, 0.0, 1.0)
            return anchor, *await source.frame(before, slot, self._windows.windows)
        anchor = source.anchor(known, last_slot, slot, resumed=resumed)
        pieces = source.pieces(before, slot, anchor)
        return anchor, *next_frame(before, pieces, slot, source.name)

    async def window(self, symbol: str, timeframe: str, frame: Frame) -> Window:
        """One window; see windows()."""
        return (await self.windows([(symbol, timeframe)], frame))[symbol, timeframe]

    async def windows(self, wanted: Iterable[WindowName], frame: Frame) -> dict[WindowName, Window]:
        """The windows of a frame by (symbol, timeframe): one round trip for those that grew.

        Raises:
            KeyError: the frame has no such symbol, or there is no such timeframe.
            WindowGone: the frame is too old, or of a run of Redis that was lost.
        """
        return await self._windows.windows(wanted, frame)

    async def put_readings(
        self, slot: int, plan_ids: Ints, signals: Signals, windows: Ints, atr_fraction: Floats
    ) -> Settled:
        """Offers what a slot says; what somebody has stored before stands, for everybody.

        signals go with plan_ids; atr_fraction, NaN for none, with windows (7 x the symbol's place
        in the frame of the slot + the timeframe's). plan_ids and windows ascend.
        """
        stood, fractions, ours = await self._scripts.put_readings(
            slot, plan_ids, signal_bits(signals), windows, reading_bits(atr_fraction)
        )
        read = read_signals(stood)
        standing = Signals(read.values, read.cannot_run)
        return Settled(standing, read_readings(fractions)[0], ours)

    async def get_readings(self, slot: int, plan_ids: Ints) -> tuple[SlotSignals, Floats, Mask]:
        """What is stored so far: signals of plans (ascending) in their order, ATR by window (see
        put_readings) and where that is settled.
        """
        first = int(plan_ids[0])
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.getrange(keys.market_signals(slot), first * 8, int(plan_ids[-1]) * 8 + 7)
            pipeline.get(keys.market_readings(slot))
            signals, readings = await pipeline.execute()
        fractions, known = decode_readings(readings or b"")
        return decode_signals(signals).of(plan_ids - first), fractions, known

    async def get_signals(self, slot: int) -> SlotSignals:
        """All signals of a slot so far."""
        return decode_signals(await self._redis.get(keys.market_signals(slot)) or b"")
