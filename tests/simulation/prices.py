"""A market for the simulation: three symbols that swing so much that agents trade every few slots.

Everything follows from (seed, symbol, slot). Now and then a symbol falls silent for some seconds,
and its price goes stale.
"""

import numpy as np

from adapters.prices import Anchor
from engine.frames import CLOSE, HIGH, LOW, OPEN, TIME, TIMEFRAMES, VOLUME, Floats, Frame, Pieces

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
_LEVELS = np.array([60_000.0, 3_000.0, 150.0])
_SWING = 0.004
_SILENT_SLOTS = 16
_MIX = np.uint64(0x9E3779B97F4A7C15)


class SwingingPrices:
    """The market that one seed makes."""

    name = "simulated"
    keeps_place = False
    symbols = SYMBOLS

    def __init__(self, seed: int) -> None:
        self.identity = f"swinging:{seed}"
        self._seed = np.uint64((seed * 2 + 1) * 0x9E3779B97F4A7C15 % 2**64)

    def anchor(self, known: Anchor | None, last_slot: int, slot: int, *, resumed: bool) -> Anchor:
        """Prices go with the clock; the anchor only says whose they are."""
        return known or Anchor(self.identity, slot - 1, 0.0, 1.0)

    def prices(self, slots: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
        """f8[N, 3]: a swing of some seconds on a slower one, rounded to cents."""
        fast = self._noise(slots, 4) + 0.5 * self._noise(slots, 1) + self._noise(slots, 23)
        return np.round(_LEVELS * (1 + _SWING * fast), 2)

    def _noise(self, slots: np.ndarray[tuple[int], np.dtype[np.int64]], period: int) -> Floats:
        cell = (slots // period).astype(np.uint64)[:, None]
        symbol = np.arange(len(SYMBOLS), dtype=np.uint64) + np.uint64(period * 8)
        mixed = (cell * _MIX) ^ (symbol * np.uint64(0xBF58476D1CE4E5B9)) ^ self._seed
        mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)
        return (mixed >> np.uint64(40)).astype(np.float64) / 2**23 - 1

    def is_silent(self, slot: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which symbols say nothing in a slot: one stretch in four of the last symbol."""
        quiet: np.ndarray[tuple[int], np.dtype[np.bool_]]
        quiet = self._noise(np.array([slot]), _SILENT_SLOTS)[0] < -0.5
        quiet[:-1] = False
        return quiet

    def pieces(self, before: Frame | None, slot: int, anchor: Anchor) -> Pieces:
        """A bar for each second since the frame before; without one the windows are laid anew."""
        if before is None or not before.slot < slot <= before.slot + 600:
            return self._laid_anew(slot)
        path = np.stack([self._bar(second) for second in range(before.slot, slot)])
        return self._said(slot, path, None)

    def _laid_anew(self, slot: int) -> Pieces:
        opening = np.full((len(SYMBOLS), len(TIMEFRAMES), 6), np.nan)
        for place, seconds in enumerate(TIMEFRAMES.values()):
            if slot % seconds:
                bar = self._bar(slot - 1)
                bar[:, TIME] = slot - slot % seconds
                opening[:, place] = bar
        return self._said(slot, np.empty((0, len(SYMBOLS), 6)), opening)

    def _bar(self, second: int) -> Floats:
        prices = self.prices(np.array([second, second + 1]))
        bar = np.empty((len(SYMBOLS), 6))
        bar[:, TIME], bar[:, OPEN], bar[:, CLOSE] = second, prices[0], prices[1]
        bar[:, HIGH], bar[:, LOW], bar[:, VOLUME] = prices.max(axis=0), prices.min(axis=0), 1.0
        return bar

    def _said(self, slot: int, path: Floats, opening: Floats | None) -> Pieces:
        now = np.full(len(SYMBOLS), float(slot))
        silent = self.is_silent(slot)
        price = np.where(silent, np.nan, self.prices(np.array([slot]))[0])
        return Pieces(SYMBOLS, path, now, price, np.where(silent, np.nan, now), opening)

    def history(self, symbol: str, timeframe: str, before_time: float, bars: int = 60) -> Floats:
        """Bars that go up and down by a little: what happens now stands out."""
        seconds = TIMEFRAMES[timeframe]
        end = int(before_time // seconds) * seconds
        history = np.empty((min(bars, 60), 6))
        times = np.arange(end - len(history) * seconds, end, seconds)
        level = _LEVELS[SYMBOLS.index(symbol)]
        history[:, TIME] = times
        history[:, OPEN] = history[:, CLOSE] = level * (1 + 0.0005 * (times // seconds % 3 - 1))
        history[:, HIGH], history[:, LOW] = history[:, OPEN] * 1.0005, history[:, OPEN] * 0.9995
        history[:, VOLUME] = 1.0
        return history
