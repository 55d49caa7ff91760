"""Prices of recordings: slot after slot they advance by `speed` seconds along their paths.

Where a slot stands follows from the anchor alone. Several recordings each have a start of their
own; places are counted in seconds since the end of everybody's history. At its end a recording
keeps its last price, and its publish time stops: the price turns stale.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adapters.prices import RELAY_AFTER_S, RESUME_AFTER_S, Anchor, PriceSourceError
from adapters.recording import Recording, load_recording
from engine.frames import WINDOW_BARS, Floats, Frame, Pieces

_GRID = 1024.0


class ReplayPrices:
    """One or more recordings at one speed, in seconds of recording a slot."""

    name = "replay"
    keeps_place = True

    def __init__(self, recordings: Sequence[Recording], speed: float = 1.0) -> None:
        self.symbols = tuple(recording.symbol for recording in recordings)
        self.identity = "replay:" + ",".join(recording.path.name for recording in recordings)
        self.speed = speed
        self._recordings = {recording.symbol: recording for recording in recordings}
        self._longest_s = max(r.total_s - r.history_s for r in recordings)

    def anchor(self, known: Anchor | None, last_slot: int, slot: int, *, resumed: bool) -> Anchor:
        """Goes on where the newest frame was after a restart, a pause or a change of speed."""
        if known is None:
            return Anchor(self.identity, slot - 1, 0.0, self.speed)
        paused = slot - last_slot > RESUME_AFTER_S
        if resumed or paused or known.speed != self.speed:
            seconds = min(known.seconds_at(last_slot), float(self._longest_s))
            return Anchor(self.identity, slot - 1, seconds, self.speed)
        return known

    def pieces(self, before: Frame | None, slot: int, anchor: Anchor) -> Pieces:
        """What slot `slot` saw since the frame before it."""
        end = _on_grid(anchor.seconds_at(slot))
        if before is None or before.symbols != self.symbols:
            return self._laid_anew(slot, anchor, end)
        start = _on_grid(anchor.seconds_at(before.slot))
        if slot - before.slot > 1 and end - start > RELAY_AFTER_S:
            return self._laid_anew(slot, anchor, end)
        recordings = self._recordings.values()
        stood = np.array([r.candle_time(_place(r, start)) for r in recordings])
        if not np.array_equal(stood, before.candle_time):
            return self._laid_anew(slot, anchor, end)  # the files are not those of the frame before
        seen = [r.pieces(_place(r, start), _place(r, end)) for r in recordings]
        path = np.full((max(len(rows) for rows in seen), len(seen), 6), np.nan)
        for s, rows in enumerate(seen):
            path[: len(rows), s] = rows
        return self._said(slot, anchor, end, path, None)

    def _laid_anew(self, slot: int, anchor: Anchor, end: float) -> Pieces:
        opening = np.stack([r.opening(_place(r, end)) for r in self._recordings.values()])
        return self._said(slot, anchor, end, np.empty((0, len(self.symbols), 6)), opening)

    def _said(
        self, slot: int, anchor: Anchor, end: float, path: Floats, opening: Floats | None
    ) -> Pieces:
        recordings = self._recordings.values()
        return Pieces(
            self.symbols,
            path,
            candle_time=np.array([r.candle_time(_place(r, end)) for r in recordings]),
            price=np.array([r.price(_place(r, end)) for r in recordings]),
            publish_time=np.array([_published(r, slot, anchor) for r in recordings]),
            opening=opening,
        )

    def history(
        self, symbol: str, timeframe: str, before_time: float, bars: int = WINDOW_BARS
    ) -> Floats:
        """Recorded bars, grouped or cut to the timeframe; none before the recording began."""
        return self._recordings[symbol].history(timeframe, before_time, bars)


def open_replay(paths: Sequence[Path], speed: float) -> ReplayPrices:
    """Loads recordings; each must be of another symbol.

    Raises:
        PriceSourceError: names the file, and the line where one is wrong.
    """
    recordings: dict[str, Recording] = {}
    for path in paths:
        recording = load_recording(path)
        other = recordings.setdefault(recording.symbol, recording)
        if other is not recording:
            raise PriceSourceError(f"{other.path} and {path} are both {recording.symbol}")
    return ReplayPrices(list(recordings.values()), speed)


def _on_grid(seconds: float) -> float:
    """Places lie on a grid of 1/1024 s, so that sums and quotients with them are exact."""
    return round(seconds * _GRID) / _GRID


def _place(recording: Recording, seconds: float) -> float:
    return min(recording.history_s + seconds, float(recording.total_s))


def _published(recording: Recording, slot: int, anchor: Anchor) -> float:
    """The slot, at most the one in which the recording ended; NaN if it had ended before."""
    left = recording.total_s - recording.history_s - anchor.seconds
    if left <= 0:
        return math.nan
    return min(slot, anchor.slot + math.ceil(left / anchor.speed - 1 / _GRID))
