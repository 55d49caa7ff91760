"""Frames out of the live table: the source that MarketStore uses where prices are streamed.

A frame holds what the table showed when it was made, inside its slot; what arrives later belongs
to the next one. Bars are built from the path that prices took between two frames; volumes are NaN
where the source gives none.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from adapters.live_table import LiveTable, PathEntry, TableSight
from engine.frames import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    TIME,
    VOLUME,
    ClosedBar,
    Floats,
    Frame,
    Pieces,
    next_frame,
)

MINUTE_S: Final = 60
DUE_MAX: Final = 8
"""Corrected windows that one frame takes up: each may bring 500 bars."""


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

    async def frame(self, before: Frame | None, slot: int) -> tuple[Frame, list[ClosedBar]]:
        """The frame of a slot as the table shows it now, and the bars that closed.

        The caller offers it to frame.lua, which takes it inside the slot and on `before` only.
        """
        sight = await self.table.sight(before.cursor if before else "", slot, DUE_MAX)
        frame, bars = next_frame(before, pieces_of(sight, slot), slot, self.name)
        return replace(frame, cursor=sight.cursor), bars


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
