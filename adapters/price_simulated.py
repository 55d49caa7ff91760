"""Made-up prices of 50 well-known symbols: a pure function of (seed, symbol, slot).

The logarithm of a price is a sum of value noises, each three times slower than the one before and
larger by the square root of that, which moves like a random walk from seconds to weeks but stays
near its level. Only sums, products and integer hashes: every machine gets the same bits.
"""

import math
from hashlib import blake2b
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adapters.prices import RELAY_AFTER_S, Anchor
from engine.frames import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    TIME,
    TIMEFRAMES,
    VOLUME,
    WINDOW_BARS,
    Floats,
    Frame,
    Ints,
    Pieces,
)

MARKETS: Final[tuple[tuple[str, float, float, float], ...]] = (
    # base, level in USD, volatility (1.0: about 2.6 % a day), turnover in USD a second
    ("BTC", 65_000, 1.0, 20_000), ("ETH", 3_200, 1.25, 12_000), ("SOL", 155, 1.6, 4_000),
    ("XRP", 0.62, 1.5, 2_500), ("BNB", 590, 1.1, 2_200), ("DOGE", 0.145, 1.9, 1_800),
    ("ADA", 0.45, 1.6, 900), ("AVAX", 34, 1.7, 800), ("LINK", 15.5, 1.6, 800),
    ("TRX", 0.135, 0.9, 600), ("DOT", 6.8, 1.5, 500), ("LTC", 82, 1.4, 700),
    ("BCH", 420, 1.5, 500), ("NEAR", 6.2, 1.9, 500), ("UNI", 9.2, 1.7, 450),
    ("APT", 9.1, 1.8, 400), ("ARB", 0.95, 1.9, 400), ("OP", 2.1, 1.9, 350),
    ("SUI", 1.75, 2.0, 700), ("ATOM", 7.9, 1.5, 300), ("FIL", 5.4, 1.7, 300),
    ("ICP", 11.2, 1.8, 250), ("ETC", 26, 1.5, 280), ("XLM", 0.108, 1.4, 250),
    ("HBAR", 0.084, 1.7, 220), ("INJ", 24, 2.0, 260), ("AAVE", 118, 1.7, 300),
    ("MKR", 2_350, 1.6, 200), ("ALGO", 0.17, 1.6, 150), ("VET", 0.031, 1.6, 130),
    ("GRT", 0.24, 1.8, 150), ("SAND", 0.38, 1.8, 140), ("MANA", 0.39, 1.7, 120),
    ("AXS", 6.6, 1.7, 120), ("THETA", 1.9, 1.7, 120), ("EGLD", 38, 1.6, 90),
    ("XTZ", 0.86, 1.5, 90), ("EOS", 0.71, 1.5, 130), ("FLOW", 0.78, 1.6, 80),
    ("CHZ", 0.092, 1.8, 110), ("CRV", 0.41, 2.0, 160), ("LDO", 1.95, 2.0, 170),
    ("RUNE", 5.1, 2.0, 160), ("SEI", 0.46, 2.1, 180), ("TIA", 8.4, 2.1, 240),
    ("JUP", 0.92, 2.1, 200), ("WIF", 2.4, 2.5, 320), ("PEPE", 0.0000118, 2.5, 600),
    ("SHIB", 0.0000215, 2.0, 500), ("BONK", 0.0000242, 2.5, 300),
)  # fmt: skip
SYMBOLS: Final = tuple(f"{base}/USDT" for base, *_ in MARKETS)

_VOLATILITY: Final = 9e-5
"""Standard deviation of a second's return at volatility 1."""
_PERIODS: Final[Ints] = 3 ** np.arange(15, dtype=np.int64)
"""1 s to 55 days."""
_AMPLITUDES: Final[Floats] = _VOLATILITY * np.sqrt(_PERIODS.astype(np.float64))
_VOLUME_PERIODS: Final[Ints] = 9 ** np.arange(6, dtype=np.int64)
_VOLUME_AMPLITUDES: Final[Floats] = 0.075 * _VOLUME_PERIODS.astype(np.float64)
"""Each changes by at most 0.15 a second, all together by 0.9: volume never stands still."""
_SAMPLES_MAX: Final = 60
_HISTORY_SAMPLES: Final = 30
"""Moments looked at in a bar of history above one minute."""
_UNIT: Final = 2.0**-52

Keys = NDArray[np.uint64]


class SimulatedPrices:
    """The market that one seed makes."""

    name = "simulated"
    keeps_place = False
    symbols = SYMBOLS

    def __init__(self, seed: int = 0) -> None:
        self.identity = f"simulated:{seed}"
        self._price_keys = _noise_keys(seed, "price", len(_PERIODS))
        self._volume_keys = _noise_keys(seed, "volume", len(_VOLUME_PERIODS))
        self._level = np.array([market[1] for market in MARKETS], dtype=np.float64)
        self._volatility = np.array([market[2] for market in MARKETS], dtype=np.float64)
        self._per_second = np.array([market[3] for market in MARKETS]) / self._level
        # A tick is at most a hundred-thousandth of the level, so that prices move every second.
        self._ticks = np.array([10.0 ** max(2, 5 - _exponent(level)) for level in self._level])

    def anchor(self, known: Anchor | None, last_slot: int, slot: int, *, resumed: bool) -> Anchor:
        """Prices go with the clock; the anchor only says whose they are."""
        return known or Anchor(self.identity, slot - 1, 0.0, 1.0)

    def pieces(self, before: Frame | None, slot: int, anchor: Anchor) -> Pieces:
        """What slot `slot` saw since the frame before it: each full minute, and the rest."""
        if (
            before is None
            or before.symbols != SYMBOLS
            or not before.slot < slot <= before.slot + RELAY_AFTER_S
        ):
            return self._laid_anew(slot)
        cuts = np.arange(before.slot // 60 + 1, -(-slot // 60)) * 60
        ends = [before.slot, *cuts.tolist(), slot]
        path = np.stack([self._bar(start, end) for start, end in pairwise(ends)])
        return self._said(slot, path, path[-1, :, CLOSE].copy(), None)

    def _laid_anew(self, slot: int) -> Pieces:
        opening = np.full((len(SYMBOLS), len(TIMEFRAMES), 6), np.nan)
        for t, seconds in enumerate(TIMEFRAMES.values()):
            if slot % seconds:
                opening[:, t] = self._bar(slot - slot % seconds, slot)
        price = self.prices(np.array([slot]))[0]
        return self._said(slot, np.empty((0, len(SYMBOLS), 6)), price, opening)

    def _said(self, slot: int, path: Floats, price: Floats, opening: Floats | None) -> Pieces:
        now = np.full(len(SYMBOLS), float(slot))
        return Pieces(SYMBOLS, path, now, price, now, opening)

    def _bar(self, start: int, end: int) -> Floats:
        """What every symbol did from one moment to another: f8[S, 6]."""
        step = -(-(end - start) // _SAMPLES_MAX)
        path = self.prices(np.append(np.arange(start, end, step), end))
        volume = np.diff(self._volumes(np.array([start, end])), axis=0)[0]
        first = np.full(len(SYMBOLS), float(start))
        return np.stack(
            [first, path[0], path.max(axis=0), path.min(axis=0), path[-1], volume], axis=1
        )

    def prices(self, slots: Ints) -> Floats:
        """f8[N, S] at the given slots: cheap for few slots and all symbols."""
        noise = _noise(slots[:, None, None], self._price_keys, _PERIODS, _AMPLITUDES)
        return self._rounded(noise, slice(None))

    def _volumes(self, slots: Ints) -> Floats:
        """f8[N, S]: what was traded up to the given slots, but for a constant."""
        noise = _noise(slots[:, None, None], self._volume_keys, _VOLUME_PERIODS, _VOLUME_AMPLITUDES)
        # Counted from the first slot: the epoch's billions would cost the last digits.
        volumes: Floats = ((slots - slots[0])[:, None] + noise) * self._per_second
        return volumes

    def _rounded(self, noise: Floats, symbol: int | slice) -> Floats:
        # (1 + x/64)^64 for exp(x): libraries differ in the last bit of exp, never in products.
        power: Floats = 1 + noise * (self._volatility[symbol] / 64)
        for _ in range(6):
            power = power * power
        ticks = np.rint(self._level[symbol] * power * self._ticks[symbol])
        rounded: Floats = ticks / self._ticks[symbol]
        return rounded

    def history(
        self, symbol: str, timeframe: str, before_time: float, bars: int = WINDOW_BARS
    ) -> Floats:
        """Bars of the same function; high and low from some moments of each bar."""
        if symbol not in SYMBOLS:
            raise KeyError(symbol)
        s, seconds = SYMBOLS.index(symbol), TIMEFRAMES[timeframe]
        samples = seconds if seconds <= _SAMPLES_MAX else _HISTORY_SAMPLES
        end = int(before_time // seconds) * seconds
        slots = np.arange(end - bars * seconds, end + 1, seconds // samples)
        path = self._rounded(_dense_noise(slots, self._price_keys[s], _PERIODS, _AMPLITUDES), s)
        opens = slots[::samples]
        volumes = _dense_noise(opens, self._volume_keys[s], _VOLUME_PERIODS, _VOLUME_AMPLITUDES)
        inside = path[:-1].reshape(bars, samples)
        history = np.empty((bars, 6))
        history[:, TIME] = opens[:-1]
        history[:, OPEN], history[:, CLOSE] = inside[:, 0], path[samples::samples]
        history[:, HIGH] = np.maximum(inside.max(axis=1), history[:, CLOSE])
        history[:, LOW] = np.minimum(inside.min(axis=1), history[:, CLOSE])
        history[:, VOLUME] = (seconds + np.diff(volumes)) * self._per_second[s]
        return history


def _exponent(level: float) -> int:
    return int(f"{level:e}".partition("e")[2])


def _noise_keys(seed: int, kind: str, octaves: int) -> Keys:
    """u8[S, octaves]: where each noise of each symbol begins."""
    size = len(SYMBOLS) * octaves * 8
    stream = b"".join(
        blake2b(f"{seed}:{kind}:{n}".encode()).digest() for n in range(math.ceil(size / 64))
    )
    return np.frombuffer(stream[:size], "<u8").reshape(len(SYMBOLS), octaves).astype(np.uint64)


def _hashed(cell: Keys) -> Floats:
    """An even number in [-1, 1) for each cell (the finalizer of SplitMix64)."""
    mixed = (cell ^ (cell >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * _UNIT - 1


_STEP: Final = np.uint64(0x9E3779B97F4A7C15)


def _noise(slots: Ints, keys: Keys, periods: Ints, amplitudes: Floats) -> Floats:
    """Sum of linear value noises; slots i8[N, 1, 1], keys u8[S, K], answer f8[N, S]."""
    # Each noise of each symbol is shifted by some of its period, so that they don't bend together.
    shifted = slots + (keys % periods.astype(np.uint64)).astype(np.int64)
    cell = shifted // periods
    within = (shifted - cell * periods) / periods
    place = cell.astype(np.uint64) * _STEP + keys
    here, there = _hashed(place), _hashed(place + _STEP)
    noise = (here + (there - here) * within) * amplitudes
    # Summed one after the other: a library's own sum may pair them as its machine likes.
    total = np.zeros(noise.shape[:2])
    for k in range(len(periods)):
        total += noise[:, :, k]
    return total


def _dense_noise(slots: Ints, keys: Keys, periods: Ints, amplitudes: Floats) -> Floats:
    """The same for many slots of one symbol in order, slots i8[N], keys u8[K], answer f8[N]:
    each cell is hashed once.
    """
    total = np.zeros(len(slots))
    for key, period, amplitude in zip(keys, periods, amplitudes, strict=True):
        shifted = slots + np.int64(int(key) % int(period))
        cell = shifted // period
        within = (shifted - cell * period) / period
        first = cell[0]
        if cell[-1] - first < len(slots):
            places = np.arange(first, cell[-1] + 2).astype(np.uint64) * _STEP + key
            corner = _hashed(places)
            here, there = corner[cell - first], corner[cell - first + 1]
        else:
            places = cell.astype(np.uint64) * _STEP + key
            here, there = _hashed(places), _hashed(places + _STEP)
        total += (here + (there - here) * within) * amplitude
    return total
