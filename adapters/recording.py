"""One recorded market as a path through time: bars of a CSV file, walked from open to close.

Within a bar the price goes from the open to one extreme (the low if the bar closed up, else the
high), to the other, to the close, in thirds of the bar and straight in between. A place is counted
in seconds of recording from the first bar; time without bars takes none.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adapters.prices import PriceSourceError
from engine.frames import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    TIME,
    TIMEFRAME_SECONDS,
    TIMEFRAMES,
    VOLUME,
    WINDOW_BARS,
    Floats,
    bar_open,
)

COLUMNS: Final = ("time", "open", "high", "low", "close", "volume")
MINUTE_S: Final = 60
_DECIMALS_MAX: Final = 10
_QUOTES: Final = "USDT|USDC|FDUSD|TUSD|BUSD|DAI|USD|EUR|GBP|JPY|TRY|BRL|BTC|ETH|BNB"
Places = NDArray[np.intp]
_PAIR: Final = re.compile(rf"([A-Z0-9]{{1,15}}?)-?({_QUOTES})")


@dataclass(frozen=True, eq=False)
class Recording:
    """A recorded market.

    bars f8[N, 6], bar_s seconds each; walk f8[N, 4], where the path turns; decimals of its prices;
    aligned: bars begin on multiples of their length.
    """

    path: Path
    symbol: str
    bars: Floats
    bar_s: int
    walk: Floats
    decimals: int | None
    aligned: bool

    @property
    def history_s(self) -> int:
        """Where the part to be played begins."""
        return WINDOW_BARS * self.bar_s

    @property
    def total_s(self) -> int:
        """Where it ends."""
        return len(self.bars) * self.bar_s

    def candle_time(self, place: float) -> float:
        """The recorded time at a place; between two bars, the end of the earlier."""
        bar = max(int(np.ceil(place / self.bar_s)) - 1, 0)
        return float(self.bars[bar, TIME]) + place - bar * self.bar_s

    def place(self, candle_time: float) -> float:
        """The inverse of candle_time; a time without bars is the end of the bar before."""
        bar = int(np.searchsorted(self.bars[:, TIME], candle_time, side="left")) - 1
        if bar < 0:
            return 0.0
        return bar * self.bar_s + min(candle_time - float(self.bars[bar, TIME]), self.bar_s)

    def price(self, place: float) -> float:
        """The price at a place, at the end of a bar its close."""
        bar = max(int(np.ceil(place / self.bar_s)) - 1, 0)
        return float(self._value(np.array([bar]), np.array([place - bar * self.bar_s]))[0])

    def pieces(self, start: float, end: float) -> Floats:
        """The path between two places as bars f8[K, 6] that reach over no full minute."""
        first, last = np.floor(start / MINUTE_S) + 1, np.ceil(end / MINUTE_S)
        cuts: Floats = np.concatenate(([start], np.arange(first, last) * MINUTE_S, [end]))
        cuts = cuts[: 1 if end <= start else None]
        begin, finish = cuts[:-1], cuts[1:]
        bar: Places = (begin // self.bar_s).astype(np.intp)
        since, until = begin - bar * self.bar_s, finish - bar * self.bar_s
        pieces = np.empty((len(bar), 6))
        pieces[:, TIME] = self.bars[bar, TIME] + since
        pieces[:, OPEN], pieces[:, CLOSE] = self._value(bar, since), self._value(bar, until)
        pieces[:, HIGH] = np.maximum(pieces[:, OPEN], pieces[:, CLOSE])
        pieces[:, LOW] = np.minimum(pieces[:, OPEN], pieces[:, CLOSE])
        for turn in (1, 2):
            at = turn * self.bar_s / 3
            inside = (since <= at) & (at <= until)
            value = self.walk[bar, turn]
            np.maximum(pieces[:, HIGH], value, out=pieces[:, HIGH], where=inside)
            np.minimum(pieces[:, LOW], value, out=pieces[:, LOW], where=inside)
        pieces[:, VOLUME] = self._volume(bar, until) - self._volume(bar, since)
        return pieces

    def _value(self, bar: Places, since: Floats) -> Floats:
        """Prices `since` seconds after the open of bars."""
        third = np.minimum(since * 3 // self.bar_s, 2).astype(np.intp)
        here, there = self.walk[bar, third], self.walk[bar, third + 1]
        value: Floats = here + (there - here) * ((since * 3 - third * self.bar_s) / self.bar_s)
        value = np.where(since >= self.bar_s, self.walk[bar, 3], value)
        value = np.clip(value, self.bars[bar, LOW], self.bars[bar, HIGH])
        if self.decimals is not None:
            value = np.round(value, self.decimals)
        return value

    def _volume(self, bar: Places, since: Floats) -> Floats:
        """Volume since the open of bars, spread evenly."""
        whole = self.bars[bar, VOLUME]
        # On a grid of its own for each bar, on which differences and sums are exact: however a bar
        # is cut, its pieces add up to the recorded volume to the last bit.
        grid = np.spacing(whole) * 1024
        part = np.rint(whole * (since / self.bar_s) / grid) * grid
        volume: Floats = np.where(since >= self.bar_s, whole, part)
        return volume

    def history(self, timeframe: str, before_time: float, bars: int) -> Floats:
        """The newest bars of a timeframe that ended at or before a recorded time: f8[N, 6]."""
        seconds = TIMEFRAMES[timeframe]
        end = self.place(before_time)
        if self.aligned and seconds % self.bar_s == 0:
            last = int(end // self.bar_s)
            rows = self.bars[max(0, last - (bars + 1) * seconds // self.bar_s) : last]
        else:
            start = max(0.0, end - (bars + 1) * seconds - self.bar_s)
            rows = self.pieces(start // MINUTE_S * MINUTE_S, end)
        if not len(rows):
            return np.empty((0, 6))
        grouped = group_bars(rows, seconds)
        # A first bar that the rows begin in the middle of is no bar.
        grouped = grouped[int(rows[0, TIME] != grouped[0, TIME]) :]
        return grouped[grouped[:, TIME] + seconds <= before_time][-bars:]

    def opening(self, place: float) -> Floats:
        """The forming bar of each timeframe at a place: f8[7, 6], NaN where none has begun."""
        now = self.candle_time(place)
        since = bar_open(now, TIMEFRAME_SECONDS)
        rows = self.pieces(self.place(float(since.min())), place)
        opening = np.full((len(TIMEFRAMES), 6), np.nan)
        for t, start in enumerate(since):
            inside = rows[rows[:, TIME] >= start]
            if len(inside):
                opening[t] = group_bars(inside, float(TIMEFRAME_SECONDS[t]))[-1]
        return opening


def group_bars(rows: Floats, seconds: float) -> Floats:
    """Bars of a longer timeframe out of shorter ones f8[K, 6], K > 0, oldest first."""
    start = bar_open(rows[:, TIME], seconds)
    first = np.concatenate(([0], np.flatnonzero(np.diff(start)) + 1))
    grouped = np.empty((len(first), 6))
    grouped[:, TIME], grouped[:, OPEN] = start[first], rows[first, OPEN]
    grouped[:, HIGH] = np.maximum.reduceat(rows[:, HIGH], first)
    grouped[:, LOW] = np.minimum.reduceat(rows[:, LOW], first)
    grouped[:, CLOSE] = rows[np.append(first[1:], len(rows)) - 1, CLOSE]
    grouped[:, VOLUME] = np.add.reduceat(rows[:, VOLUME], first)
    return grouped


def symbol_of(path: Path) -> str:
    """`BTCUSDT_1m_2024.csv` is a recording of BTC/USDT.

    Raises:
        PriceSourceError: the name does not begin with a pair.
    """
    pair = _PAIR.fullmatch(path.name.partition("_")[0].removesuffix(".csv").upper())
    if pair is None:
        raise PriceSourceError(
            f"{path}: the file name must begin with the symbol, as in BTCUSDT_1m_2024.csv"
        )
    return f"{pair[1]}/{pair[2]}"


def load_recording(path: Path) -> Recording:
    """Reads and checks a file with the columns time,open,high,low,close,volume.

    Raises:
        PriceSourceError: names the file, and the line where one is wrong.
    """
    symbol = symbol_of(path)
    bars = _read(path)
    _check(path, bars)
    if len(bars) <= WINDOW_BARS:
        raise PriceSourceError(
            f"{path}: has {len(bars)} bars; the first {WINDOW_BARS} are history, so it needs more"
        )
    bar_s = int(np.diff(bars[:, TIME]).min())
    if bar_s % MINUTE_S or (bars[:, TIME] % MINUTE_S).any():
        raise PriceSourceError(f"{path}: bars must be whole minutes long and begin on a minute")
    up = bars[:, CLOSE] >= bars[:, OPEN]
    first = np.where(up, bars[:, LOW], bars[:, HIGH])
    second = np.where(up, bars[:, HIGH], bars[:, LOW])
    return Recording(
        path=path,
        symbol=symbol,
        bars=bars,
        bar_s=bar_s,
        walk=np.stack([bars[:, OPEN], first, second, bars[:, CLOSE]], axis=1),
        decimals=_decimals(bars[:, OPEN : CLOSE + 1]),
        aligned=not (bars[:, TIME] % bar_s).any(),
    )


def _read(path: Path) -> Floats:
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise PriceSourceError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise PriceSourceError(f"{path}: is no text file") from error
    if not lines or tuple(lines[0].replace(" ", "").lower().split(",")) != COLUMNS:
        raise PriceSourceError(f"{path} line 1: must be {','.join(COLUMNS)}")
    if len(lines) == 1:
        return np.empty((0, 6))
    try:
        bars = np.loadtxt(lines[1:], delimiter=",", comments=None, ndmin=2)
    except ValueError:
        bars = np.empty((0, 0))
    if bars.shape != (len(lines) - 1, len(COLUMNS)):
        # numpy skips empty lines and counts its own way: look for the line ourselves.
        for number, line in enumerate(lines[1:], start=2):
            if not _is_row(line):
                raise PriceSourceError(f"{path} line {number}: must be six numbers: {line[:80]!r}")
    return bars


def _is_row(line: str) -> bool:
    try:
        return len([float(word) for word in line.split(",")]) == len(COLUMNS)
    except ValueError:
        return False


def _check(path: Path, bars: Floats) -> None:
    """Every bar finite and above zero, high and low around open and close, times ascending."""
    low, high = bars[:, LOW], bars[:, HIGH]
    body = bars[:, [OPEN, CLOSE]]
    problems = (
        (~np.isfinite(bars).all(axis=1), "every value must be a finite number"),
        (low <= 0, "prices must be above zero"),
        (bars[:, VOLUME] < 0, "volume must not be negative"),
        ((body.max(axis=1) > high) | (body.min(axis=1) < low),
         "open and close must lie between low and high"),
        (np.diff(bars[:, TIME], prepend=-np.inf) <= 0, "times must ascend"),
    )  # fmt: skip
    for wrong, words in problems:
        if wrong.any():
            raise PriceSourceError(f"{path} line {int(np.argmax(wrong)) + 2}: {words}")


def _decimals(prices: Floats) -> int | None:
    """Decimals that the file's prices have, so that prices in between get no more."""
    for decimals in range(_DECIMALS_MAX + 1):
        if np.array_equal(np.round(prices, decimals), prices):
            return decimals
    return None
