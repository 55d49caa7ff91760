"""What fetched candles change about the windows of a frame; pure.

A frame's window is a log: bars that closed, and bars that were fetched and stand for others of the
same time, in the order in which they took effect. Numbers go on counting, so a number names the
state of a window, whatever came later.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from adapters.candles import FetchedCandles
from engine.frames import (
    HIGH,
    LOW,
    OPEN,
    TIME,
    TIMEFRAME_NAMES,
    VOLUME,
    WINDOW_BARS,
    ClosedBar,
    Floats,
    Frame,
)

WINDOW_CLOSED: Final = WINDOW_BARS - 1
"""Closed bars of a window that has a forming one."""


def corrections(closed: Floats, fetched: FetchedCandles) -> Floats:
    """The fetched bars that a window lacks or has otherwise, oldest first: f8[N, 6].

    closed: the window's closed bars f8[M, 6], oldest first. Only bars that the window will reach
    back to count.
    """
    bars = fetched.bars[fetched.bars[:, TIME] >= fetched.fill_from]
    if not len(bars):
        return np.empty((0, 6))
    times = np.union1d(closed[:, TIME], bars[:, TIME])[-WINDOW_CLOSED:]
    bars = bars[bars[:, TIME] >= times[0]]
    place = np.searchsorted(closed[:, TIME], bars[:, TIME])
    inside = place < len(closed)
    same = np.zeros(len(bars), np.bool_)
    theirs = closed[place[inside]]
    # Bit for bit but for NaN, which is a volume that neither knows.
    equal = (theirs == bars[inside]) | (np.isnan(theirs) & np.isnan(bars[inside]))
    same[inside] = equal.all(axis=1)
    changed: Floats = bars[~same]
    return changed


def begun_bar(forming: Floats, fetched: Floats | None, opened: float) -> Floats:
    """A forming bar that knows what came before it was first seen: its true open and extremes.

    forming, fetched: f8[6]; opened: when the bar of now began. A fetched bar of another time
    changes nothing.
    """
    if fetched is None or fetched[TIME] != opened:
        return forming
    if np.isnan(forming[TIME]):
        return fetched
    bar = forming.copy()
    bar[OPEN] = fetched[OPEN]
    bar[HIGH] = max(forming[HIGH], fetched[HIGH])
    bar[LOW] = min(forming[LOW], fetched[LOW])
    bar[VOLUME] = np.fmax(forming[VOLUME], fetched[VOLUME])
    return bar


def carry_volumes(before: Frame, frame: Frame, closed: Sequence[ClosedBar]) -> None:
    """Keeps the volumes of bars whose prices are streamed without any, in place.

    Where the bar before had a volume, somebody fetches them again and again: then a new bar has
    none yet (0) and grows by what is fetched. Elsewhere it is unknown (NaN), and stays so. A bar
    that closes with 0 was told none: the exchange is away, or was not asked in time. That is
    unknown and not a quiet market; of a quiet one the fetched bar says 0, and stands for this one.
    """
    place = np.array([before.find(symbol) for symbol in frame.symbols], dtype=np.intp)
    known = np.full(frame.forming.shape[:2], np.nan)
    same = np.zeros(known.shape, np.bool_)
    there = place >= 0
    known[there] = before.forming[place[there], :, VOLUME]
    same[there] = before.forming[place[there], :, TIME] == frame.forming[there, :, TIME]
    volume = frame.forming[..., VOLUME]
    lost = np.isnan(volume) & np.isfinite(known)
    np.copyto(volume, np.where(same, known, 0.0), where=lost)
    for bar in closed:
        s, t = before.find(bar.symbol), TIMEFRAME_NAMES.index(bar.timeframe)
        if s >= 0 and before.forming[s, t, TIME] == bar.bar[TIME] and np.isnan(bar.bar[VOLUME]):
            bar.bar[VOLUME] = before.forming[s, t, VOLUME]
        if bar.bar[VOLUME] == 0.0:
            bar.bar[VOLUME] = np.nan


def settled(bars: Floats) -> Floats:
    """The bars of a log, f8[N, 6] in the order of their numbers, as a window shows them: one for
    each time, the last that was said, oldest first.
    """
    _, last = np.unique(bars[::-1, TIME], return_index=True)
    return bars[::-1][last]


def is_plain(bars: Floats) -> bool:
    """Whether every bar is later than the one before: then the log is the window."""
    return bool((np.diff(bars[:, TIME]) > 0).all())
