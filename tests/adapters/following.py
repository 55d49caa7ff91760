"""Frame after frame of a price source, as a market store makes them, without Redis."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from adapters.prices import Anchor, PriceSource
from engine.frames import TIME, ClosedBar, Floats, Frame, next_frame


@dataclass
class Follower:
    """Makes frames of slots, in order; what is skipped is a gap."""

    source: PriceSource
    frames: list[Frame] = field(default_factory=list)
    bars: list[ClosedBar] = field(default_factory=list)
    anchor: Anchor | None = None

    def follow(self, slots: Iterable[int], *, resumed: bool = False) -> Frame:
        for slot in slots:
            before = self.frames[-1] if self.frames else None
            last_slot = 0 if before is None else before.slot
            self.anchor = self.source.anchor(self.anchor, last_slot, slot, resumed=resumed)
            seen = self.source.pieces(before, slot, self.anchor)
            if seen.opening is not None:
                self.bars.clear()
            frame, closed = next_frame(before, seen, slot, self.source.name)
            self.frames.append(frame)
            self.bars += closed
            resumed = False
        return self.frames[-1]

    def built(self, symbol: str, timeframe: str) -> Floats:
        """Bars that closed since windows were laid: f8[N, 6]."""
        bars = [b.bar for b in self.bars if (b.symbol, b.timeframe) == (symbol, timeframe)]
        return np.array(bars).reshape(-1, 6)

    def window(self, symbol: str, timeframe: str, bars: int = 100_000) -> Floats:
        """Closed bars: the source's history, then those that were built."""
        frame = self.frames[-1]
        s = frame.find(symbol)
        t = ["1m", "5m", "15m", "30m", "1h", "4h", "1d"].index(timeframe)
        built = self.built(symbol, timeframe)
        begun = frame.forming[s, t, TIME]
        if len(built):
            begun = built[0, TIME]
        elif np.isnan(begun):
            begun = frame.candle_time[s]
        return np.concatenate([self.source.history(symbol, timeframe, begun, bars), built])
