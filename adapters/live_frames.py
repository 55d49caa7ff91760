"""Frames out of the live table: the source that MarketStore uses where prices are streamed.

A frame holds what the table showed when it was made, inside its slot; what arrives later belongs
to the next one. Bars are built from the path that prices took between two frames; volumes are NaN
where the source gives none.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from adapters.candles import WindowName
from adapters.live_table import LiveTable, PathEntry, TableSight
from adapters.live_windows import begun_bar, carry_volumes, corrections
from adapters.market_bars import WindowGone
from adapters.market_windows import Window
from engine.frames import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    TIME,
    TIMEFRAME_NAMES,
    TIMEFRAME_SECONDS,
    VOLUME,
    ClosedBar,
    Floats,
    Frame,
    Pieces,
    bar_open,
    next_frame,
)

MINUTE_S: Final = 60
DUE_MAX: Final = 8
"""Corrected windows that one frame takes up: each may bring 500 bars."""


ReadWindows = Callable[[Iterable[WindowName], Frame], Awaitable[Mapping[WindowName, Window]]]

_log = logging.getLogger(__name__)


class LivePrices:
    """Prices that one process streams into the live table; every process makes frames of them."""

    keeps_place = False

    def __init__(self, name: str, table: LiveTable) -> None:
        self.name = name
        self.identity = f"live:{name}"
        self.table = table

    def history(self, symbol: str, timeframe: str, before_time: float) -> Floats:
        """None: what was before the first frame is fetched, and comes with a frame of its own."""
        return np.empty((0, 6))

    async def frame(
        self, before: Frame | None, slot: int, read_windows: ReadWindows
    ) -> tuple[Frame, list[ClosedBar]]:
        """The frame of a slot as the table shows it now, and the bars that closed or were fetched.

        The caller offers it to frame.lua, which takes it inside the slot and on `before` only.
        read_windows: windows of a frame by symbol and timeframe (MarketStore.windows).
        """
        sight = await self.table.sight(before.cursor if before else "", slot, DUE_MAX)
        frame, bars = next_frame(before, pieces_of(sight, slot), slot, self.name)
        if before is not None:
            carry_volumes(before, frame, bars)
        new = [s for s in frame.symbols if before is None or before.find(s) < 0]
        await self.table.correct_again(new, slot + 1)
        due = {name: stamp for name, stamp in sight.due.items() if name[0] not in new}
        if before is not None and due:
            bars += await self._correct(before, frame, due, read_windows)
        return replace(frame, cursor=sight.cursor), bars

    async def _correct(
        self,
        before: Frame,
        frame: Frame,
        due: Mapping[WindowName, int],
        read_windows: ReadWindows,
    ) -> list[ClosedBar]:
        """Takes fetched candles into the windows that are due, in place.

        One that has them already, in the frame before, is taken off the list: only then it is sure
        that a frame with them was stored.
        """
        fetched = await self.table.candles.get(list(due))
        there = {name: each for name, each in fetched.items() if before.find(name[0]) >= 0}
        try:
            windows = await read_windows(there, before)
        except WindowGone as error:
            _log.warning("fetched candles wait: %s", error)
            return []
        bars: list[ClosedBar] = []
        done = {name: stamp for name, stamp in due.items() if name not in there}
        for name, candles in there.items():
            s, t = frame.find(name[0]), TIMEFRAME_NAMES.index(name[1])
            window = windows[name]
            known = window.candles[:, : window.candles.shape[1] - window.has_forming].T
            changed = corrections(known, candles)
            if s < 0 or not len(changed):
                done[name] = due[name]
            if s >= 0:
                first = int(frame.closed[s, t]) + 1
                frame.closed[s, t] += len(changed)
                opened = float(bar_open(float(frame.slot), TIMEFRAME_SECONDS[t]))
                if candles.fill_from < math.inf:
                    frame.forming[s, t] = begun_bar(frame.forming[s, t], candles.forming, opened)
                bars += [ClosedBar(*name, first + n, bar) for n, bar in enumerate(changed)]
        await self.table.settled(done)
        return bars


def pieces_of(sight: TableSight, slot: int) -> Pieces:
    """What the table says since the frame before, in the order of its symbols."""
    size = len(sight.symbols)
    price, published = np.full(size, np.nan), np.full(size, np.nan)
    for place, symbol in enumerate(sight.symbols):
        if (seen := sight.prices.get(symbol)) is not None:
            price[place], published[place] = seen.price, seen.publish_time
    path = path_of(sight.path, sight.symbols)
    return Pieces(sight.symbols, path, np.full(size, float(slot)), price, published)


def path_of(entries: Sequence[PathEntry], symbols: tuple[str, ...]) -> Floats:
    """Writes folded into one piece for each minute and symbol: f8[K, S, 6], oldest first."""
    minutes = sorted({math.floor(entry.time / MINUTE_S) for entry in entries})
    path = np.full((len(minutes), len(symbols), 6), np.nan)
    places = {symbol: place for place, symbol in enumerate(symbols)}
    for entry in entries:
        piece = path[minutes.index(math.floor(entry.time / MINUTE_S))]
        known = [n for n, symbol in enumerate(entry.symbols) if symbol in places]
        at = np.array([places[entry.symbols[n]] for n in known], dtype=np.intp)
        seen = entry.bars[known]
        fresh = np.isnan(piece[at, TIME])
        piece[at[fresh], TIME] = entry.time
        piece[at[fresh], OPEN] = seen[fresh, 0]
        piece[at[fresh], VOLUME] = 0.0
        piece[at, HIGH] = np.fmax(piece[at, HIGH], seen[:, 1])
        piece[at, LOW] = np.fmin(piece[at, LOW], seen[:, 2])
        piece[at, CLOSE] = seen[:, 3]
        piece[at, VOLUME] += seen[:, 4]
    return path
