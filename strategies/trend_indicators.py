"""Newest values of the indicators of trend and volume, each `once` for closed bars as in
strategies/indicators.py, whose rules hold here, too: TA-Lib where it has them.

Where TA-Lib gives no way to add a forming bar to its answer, sums and places are taken here.
"""

import math
from typing import NamedTuple

import numpy as np
import talib
from numpy.typing import NDArray

from strategies.base import Candles
from strategies.indicators import once
from strategies.levels import closed_extremes


@once
def _way(bars: Candles, changes: int) -> float:
    """Sum of the last changes from close to close, each as it were a rise."""
    tail = bars.close[-changes - 1 :]
    return float(np.abs(tail[1:] - tail[:-1]).sum())


def chande_momentum(candles: Candles, period: int) -> float:
    """Sum of the last `period` changes in per cent of the way gone, -100..100; NaN without any.

    As Chande wrote it. TA-Lib's CMO smooths as Wilder does, which makes it the RSI once more.
    """
    price, closed = candles.newest.close, candles.closed
    way = _way(closed, period - 1) + abs(price - closed.newest.close)
    return 100 * (price - float(closed.close[-period])) / way if way > 0 else math.nan


@once
def _ages(bars: Candles, period: int) -> tuple[int, int]:
    """Bars since the highest high and since the lowest low, seen from the bar after these."""
    highs, lows = bars.high[-period:][::-1], bars.low[-period:][::-1]
    return int(highs.argmax()) + 1, int(lows.argmin()) + 1


def aroon_ages(candles: Candles, period: int) -> tuple[int, int]:
    """Bars since the highest high and since the lowest low of `period` bars and the forming one."""
    high_age, low_age = _ages(candles.closed, period)
    high, low = closed_extremes(candles, period)
    bar = candles.newest
    return 0 if bar.high >= high else high_age, 0 if bar.low <= low else low_age


@once
def _directional(bars: Candles, period: int) -> tuple[float, float, float]:
    """ADX, and the sums of the movements up and down behind +DI and -DI."""
    adx = talib.ADX(bars.high, bars.low, bars.close, period)
    up = talib.PLUS_DM(bars.high, bars.low, period)
    down = talib.MINUS_DM(bars.high, bars.low, period)
    return float(adx[-1]), float(up[-1]), float(down[-1])


def directional(candles: Candles, period: int) -> tuple[float, float]:
    """ADX after Wilder, 0..100, and +DI less -DI as a share of their sum, -1..1.

    Needs 2 x `period` closed bars.
    """
    adx, up, down = _directional(candles.closed, period)
    bar, before = candles.newest, candles.closed.newest
    higher, lower = bar.high - before.high, before.low - bar.low
    up += (higher if higher > max(lower, 0) else 0.0) - up / period
    down += (lower if lower > max(higher, 0) else 0.0) - down / period
    # The true range by which both are divided cancels out.
    if not up + down > 0:
        return adx, 0.0
    share = (up - down) / (up + down)
    return (adx * (period - 1) + 100 * abs(share)) / period, share


def midpoint(candles: Candles, period: int) -> float:
    """Middle between highest high and lowest low of the last `period` bars, 2 or more."""
    high, low = closed_extremes(candles, period - 1)
    bar = candles.newest
    return (max(high, bar.high) + min(low, bar.low)) / 2


@once
def _cloud(bars: Candles, quick: int, base: int, slow: int) -> tuple[float, float]:
    end = len(bars) - base + 1

    def middle(period: int) -> float:
        cut = slice(end - period, end)
        return (float(bars.high[cut].max()) + float(bars.low[cut].min())) / 2

    fast_edge, slow_edge = (middle(quick) + middle(base)) / 2, middle(slow)
    return min(fast_edge, slow_edge), max(fast_edge, slow_edge)


def cloud(candles: Candles, quick: int, base: int, slow: int) -> tuple[float, float]:
    """Bottom and top of the Ichimoku cloud over the forming bar, drawn `base` bars ago.

    Needs base + slow - 1 closed bars.
    """
    return _cloud(candles.closed, quick, base, slow)


@once
def _flows(bars: Candles, periods: int) -> tuple[float, float]:
    """Money traded while the typical price rose, and while it fell."""
    tail = bars.last(periods + 1)
    typical = tail.high + tail.low + tail.close
    money = typical[1:] * tail.volume[1:]
    change = typical[1:] - typical[:-1]
    return float(money[change > 0].sum()), float(money[change < 0].sum())


def money_flow_index(candles: Candles, period: int) -> float:
    """Share of the money traded on rising typical prices, 0..100; NaN where none rose or fell."""
    into, out_of = _flows(candles.closed, period - 1)
    bar, before = candles.newest, candles.closed.newest
    typical = bar.high + bar.low + bar.close
    change = typical - (before.high + before.low + before.close)
    into += typical * bar.volume if change > 0 else 0.0
    out_of += typical * bar.volume if change < 0 else 0.0
    return 100 * into / (into + out_of) if into + out_of > 0 else math.nan


@once
def _balance(bars: Candles, periods: int) -> tuple[float, float]:
    """Change of the on-balance volume, and the sum of the squared volumes that made it."""
    volume = bars.volume[-periods - 1 :]
    balance = talib.OBV(bars.close[-periods - 1 :], volume)
    return float(balance[-1] - balance[0]), float(volume[1:].dot(volume[1:]))


def volume_balance(candles: Candles, period: int) -> tuple[float, float]:
    """Change of the on-balance volume over `period` bars, and its usual size, in base units.

    The usual size is what the same volumes would add up to if the direction of each bar were a
    coin toss.
    """
    balance, squares = _balance(candles.closed, period - 1)
    bar, before = candles.newest, candles.closed.newest.close
    balance += bar.volume * ((bar.close > before) - (bar.close < before))
    return balance, math.sqrt(squares + bar.volume * bar.volume)


class HeikinAshi(NamedTuple):
    """The newest Heikin-Ashi candle, and the run of its kind that it ends."""

    open: float
    close: float
    run: int  # candles up to this one with a body of its direction and no wick against it


# An open is the middle of the candle before, which is an EMA of the closes with weight one half:
# after so many candles nothing is left of where it began.
HEIKIN_ASHI_SETTLES_BARS = 60


def _last_run(strong: NDArray[np.bool_]) -> int:
    weak = np.flatnonzero(~strong)
    return len(strong) - 1 - int(weak[-1]) if len(weak) else len(strong)


@once
def _heikin_ashi(bars: Candles, doji: float, longest: int) -> tuple[float, int, int]:
    """Open of the next candle, and the runs of rising and of falling ones before it."""
    tail = bars.last(longest + HEIKIN_ASHI_SETTLES_BARS)
    closes = (tail.open + tail.high + tail.low + tail.close) / 4
    opens = talib.EMA(closes, 3)
    bodies = (closes[1:] - opens[:-1])[-longest:]
    before = opens[:-1][-longest:]
    rising = (bodies >= doji) & (tail.low[-longest:] >= before)
    falling = (bodies <= -doji) & (tail.high[-longest:] <= before)
    return float(opens[-1]), _last_run(rising), _last_run(falling)


def heikin_ashi(candles: Candles, doji: float, longest: int) -> HeikinAshi:
    """The forming bar's candle; a body smaller than `doji` has no direction, its run is 0.

    Runs are counted up to `longest` candles. Needs HEIKIN_ASHI_SETTLES_BARS + longest closed bars.
    """
    open_, rising, falling = _heikin_ashi(candles.closed, doji, longest - 1)
    bar = candles.newest
    close = (bar.open + bar.high + bar.low + bar.close) / 4
    if close - open_ >= doji and bar.low >= open_:
        return HeikinAshi(open_, close, rising + 1)
    if open_ - close >= doji and bar.high <= open_:
        return HeikinAshi(open_, close, falling + 1)
    return HeikinAshi(open_, close, 0)
