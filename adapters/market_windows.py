"""Windows of candles as one process holds them: contiguous columns that grow as bars close.

Pure bookkeeping; market_store.py does the fetching. A column set holds bars of one laying with
consecutive numbers, so a window is a slice, and what is missing is a difference of two numbers.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from adapters.live_windows import is_plain, settled
from engine.frames import TIME, WINDOW_BARS, Floats, Ints

_KEPT: Final = WINDOW_BARS + 100
_CAPACITY: Final = _KEPT + 160
_TAIL_MAX: Final = 300
"""Bars of a log after those it was read with: more, and it is read anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The newest candles that a frame knew, at most 500.

    candles f8[6, N], read-only: time, open, high, low, close, volume as contiguous rows, oldest
    first, the forming bar last if one had begun. number is the version: the last closed bar's.
    """

    symbol: str
    timeframe: str
    number: int
    candles: Floats
    has_forming: bool


class BarLog:
    """Closed bars of a window in which later ones stand for earlier ones of the same time.

    Up to the number it was read at only the settled bars are kept; what came after stays a log, so
    that a frame of some moments ago still gets its own window.
    """

    __slots__ = ("_base", "_base_number", "_cut", "_cut_number", "_tail", "complete", "newest")

    def __init__(self, bars: Floats, newest: int, *, complete: bool) -> None:
        """bars f8[N, 6] in the order of their numbers, up to `newest`; complete: none came
        before.
        """
        self._base = settled(bars)
        self._base_number = self._cut_number = newest
        self._tail = np.empty((0, 6))
        self._cut = self._base
        self.newest = newest
        self.complete = complete

    def covers(self, number: int) -> bool:
        """Whether the window that ends with this bar can be cut without fetching."""
        if not self._base_number <= number <= self.newest:
            return False
        return self.complete or len(self._closed(number)) >= WINDOW_BARS

    def extend(self, numbers: Ints, bars: Floats) -> bool:
        """Takes the bars that follow; False if they do not connect, or are too many."""
        new = numbers > self.newest
        numbers, bars = numbers[new], bars[new]
        if not len(numbers):
            return True
        connects = numbers[0] == self.newest + 1 and numbers[-1] - numbers[0] + 1 == len(numbers)
        if not connects or len(self._tail) + len(bars) > _TAIL_MAX:
            return False
        self._tail = np.concatenate([self._tail, bars])
        self.newest = int(numbers[-1])
        return True

    def window(self, symbol: str, timeframe: str, number: int, forming: Floats) -> Window:
        """See BarColumns.window."""
        assert self.covers(number)
        has_forming = not np.isnan(forming[TIME])
        closed = self._closed(number)[-(WINDOW_BARS - int(has_forming)) :]
        rows = np.concatenate([closed, forming[None]]) if has_forming else closed
        candles = np.ascontiguousarray(rows.T)
        candles.flags.writeable = False
        return Window(symbol, timeframe, number, candles, bool(has_forming))

    def _closed(self, number: int) -> Floats:
        """The closed bars as they were at a number; mostly asked for the same one again."""
        if number != self._cut_number:
            later = self._tail[: number - self._base_number]
            self._cut = settled(np.concatenate([self._base, later]))
            self._cut_number = number
        return self._cut


class BarColumns:
    """Closed bars of one symbol and timeframe up to some number, newest last."""

    __slots__ = ("_columns", "_end", "_start", "complete", "newest")

    def __init__(self, numbers: Ints, bars: Floats, newest: int, *, complete: bool) -> None:
        """numbers i8[N] consecutive up to `newest`, bars f8[N, 6]; complete: none came before."""
        assert not len(numbers) or numbers[-1] == newest
        self._columns = np.empty((6, _CAPACITY))
        kept = bars[-_KEPT:]
        self._columns[:, : len(kept)] = kept.T
        self._start, self._end = 0, len(kept)
        self.newest = newest
        self.complete = complete and len(kept) == len(bars)

    def covers(self, number: int) -> bool:
        """Whether the window that ends with this bar can be cut without fetching."""
        first = self.newest - (self._end - self._start) + 1
        return number <= self.newest and (self.complete or first <= number - WINDOW_BARS + 1)

    def extend(self, numbers: Ints, bars: Floats) -> bool:
        """Takes the bars that follow; False if they do not connect."""
        new = numbers > self.newest
        numbers, bars = numbers[new], bars[new]
        if not len(numbers):
            return True
        if numbers[0] != self.newest + 1 or numbers[-1] - numbers[0] + 1 != len(numbers):
            return False
        if len(numbers) > _CAPACITY - _KEPT or not self._is_followed_by(bars):
            return False
        if self._end + len(numbers) > _CAPACITY:
            kept = min(self._end - self._start, _KEPT)
            self.complete = self.complete and kept == self._end - self._start
            self._columns[:, :kept] = self._columns[:, self._end - kept : self._end].copy()
            self._start, self._end = 0, kept
        self._columns[:, self._end : self._end + len(numbers)] = bars.T
        self._end += len(numbers)
        self.newest = int(numbers[-1])
        return True

    def _is_followed_by(self, bars: Floats) -> bool:
        """Whether all of these are later than what is held: else it is a log (BarLog)."""
        if self._end > self._start and bars[0, TIME] <= self._columns[TIME, self._end - 1]:
            return False
        return is_plain(bars)

    def window(self, symbol: str, timeframe: str, number: int, forming: Floats) -> Window:
        """The window of a frame: closed bars up to `number`, then its forming bar f8[6] if any."""
        assert self.covers(number)
        has_forming = not np.isnan(forming[TIME])
        end = max(self._end - (self.newest - number), self._start)
        start = max(self._start, end - WINDOW_BARS + int(has_forming))
        # A copy: another frame of the same window may be read before this one's signals are done.
        candles = np.empty((6, end - start + int(has_forming)))
        candles[:, : end - start] = self._columns[:, start:end]
        if has_forming:
            candles[:, -1] = forming
        candles.flags.writeable = False
        return Window(symbol, timeframe, number, candles, bool(has_forming))
