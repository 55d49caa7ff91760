"""Newest values of the usual indicators: TA-Lib where it has them, NaN where they are not defined.

What depends on closed bars alone is computed once for all plans and slots until the forming bar
closes; that bar is then added in plain numbers, by the arithmetic of TA-Lib. Recursive ones (EMA,
MACD, RSI, ATR) run over the whole window, the others look at no more than their period. Inputs
hold finite numbers only (`Candles.flaw` sees to that).
"""

import math
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import talib

from strategies.base import Candles, FloatArray

Args = TypeVarTuple("Args")
Value = TypeVar("Value")

_UNKNOWN = object()

# Distances below this share of the price are what rounding leaves of none.
ROUNDING = 1e-10


def once(compute: Callable[[Candles, *Args], Value]) -> Callable[[Candles, *Args], Value]:
    """Computes a pure function of bars and numbers once for the same bars and numbers.

    On `candles.closed` the result serves every slot until the forming bar closes.
    """

    def recall(candles: Candles, *args: *Args) -> Value:
        memo = candles.memo
        key = (compute, *args)
        known: Value = memo.get(key, _UNKNOWN)
        if known is _UNKNOWN:
            known = memo[key] = compute(candles, *args)
        return known

    return recall


def _newest(values: FloatArray) -> float:
    return float(values[-1]) if len(values) else math.nan


def _smoothed(before: float, price: float, period: int) -> float:
    """The next value of an exponential average."""
    return (price - before) * (2.0 / (period + 1)) + before


@once
def _ema(bars: Candles, period: int) -> float:
    return _newest(talib.EMA(bars.close, period))


def ema(candles: Candles, period: int) -> float:
    """Exponential average, alpha 2 / (period + 1), started from the first simple average.

    Needs `period` closed bars.
    """
    return _smoothed(_ema(candles.closed, period), candles.newest.close, period)


@once
def _sma_before(bars: Candles, period: int) -> float:
    """Average of the last `period` closes."""
    return _newest(talib.SMA(bars.close[-period:], period))


def sma(candles: Candles, period: int) -> float:
    """Simple average of the last `period` prices."""
    price = candles.newest.close
    if period == 1:
        return price
    before = _sma_before(candles.closed, period - 1)
    return before + (price - before) / period


@once
def _macd(bars: Candles, fast: int, slow: int, signal: int) -> tuple[float, float, float]:
    """Fast average, slow average and signal line; the fast one starts where the slow one does."""
    if len(bars) < slow + signal - 1:
        return math.nan, math.nan, math.nan
    quick = talib.EMA(bars.close[slow - fast :], fast)[fast - 1 :]
    steady = talib.EMA(bars.close, slow)[slow - 1 :]
    return float(quick[-1]), float(steady[-1]), _newest(talib.EMA(quick - steady, signal))


def macd(candles: Candles, fast: int, slow: int, signal: int) -> tuple[float, float]:
    """MACD line (fast less slow EMA) and its signal line (EMA of the line). Needs fast < slow.

    Needs slow + signal - 1 closed bars.
    """
    assert fast < slow, (fast, slow)
    quick, steady, signal_line = _macd(candles.closed, fast, slow, signal)
    price = candles.newest.close
    line = _smoothed(quick, price, fast) - _smoothed(steady, price, slow)
    return line, _smoothed(signal_line, line, signal)


@once
def _gain_and_loss(bars: Candles, period: int) -> tuple[float, float]:
    """Wilder's averages of the rises and of the falls from close to close."""
    # TA-Lib keeps these two to itself. The range of a bar without height is its step, so an ATR of
    # closes is the average of both together, and the RSI is the share of the rises in it.
    both = _newest(talib.ATR(bars.close, bars.close, bars.close, period))
    rise = both * (_newest(talib.RSI(bars.close, period)) / 100.0)
    return rise, both - rise


def rsi(candles: Candles, period: int) -> float:
    """Relative strength index after Wilder, 0..100; NaN where the prices stand still.

    Needs `period` + 1 closed bars.
    """
    closed = candles.closed
    rise, fall = _gain_and_loss(closed, period)
    change = candles.newest.close - closed.newest.close
    rise = (rise * (period - 1) + max(change, 0.0)) / period
    fall = (fall * (period - 1) + max(-change, 0.0)) / period
    return 100.0 * (rise / (rise + fall)) if rise + fall > 0 else math.nan


@once
def atr_of(bars: Candles, period: int) -> float:
    """Average true range after Wilder over all these bars, in price."""
    return _newest(talib.ATR(bars.high, bars.low, bars.close, period))


def closed_atr(candles: Candles, period: int) -> float:
    """Average true range after Wilder, over closed bars only, in price.

    The forming bar is left out: it starts each time with a range of nothing, and a bar that breaks
    out must not widen the yardstick it is measured with. It is 0 where the price has rested for so
    long that an average measured with it would be the rounding of the price.
    """
    atr, price = atr_of(candles.closed, period), candles.newest.close
    return 0.0 if atr < ROUNDING * price else atr


def forming_true_range(candles: Candles) -> float:
    """True range of the forming bar, the gap to the close before it included, in price."""
    bar, before = candles.newest, candles.closed.newest.close
    return max(bar.high, before) - min(bar.low, before)


@once
def _mean_and_deviation(bars: Candles, period: int) -> tuple[float, float]:
    """Mean of the last `period` closes and the sum of the squares of their distances from it."""
    newest = bars.newest.close
    # From the newest, so that closes that are all the same have a deviation of exactly zero.
    apart = bars.close[-period:] - newest
    deviation = _newest(talib.STDDEV(apart, period)) if period > 1 else 0.0
    return newest + _newest(talib.SMA(apart, period)), deviation * deviation * period


def mean_and_deviation(candles: Candles, period: int) -> tuple[float, float]:
    """Simple average and population standard deviation of the last `period` prices, 2 or more."""
    mean, squares = _mean_and_deviation(candles.closed, period - 1)
    apart = candles.newest.close - mean
    squares += apart * apart * ((period - 1) / period)
    return mean + apart / period, math.sqrt(squares / period)


@once
def _squared_steps(bars: Candles, period: int) -> float:
    tail = bars.close[-period - 1 :]
    steps = tail[1:] - tail[:-1]
    return float(steps.dot(steps))


def typical_step(candles: Candles, period: int) -> float:
    """Root mean square of the last `period` price changes from bar to bar, in price."""
    step = candles.newest.close - candles.closed.newest.close
    return math.sqrt((_squared_steps(candles.closed, period - 1) + step * step) / period)


@once
def _trix(bars: Candles, period: int, signal: int) -> tuple[float, float, float, float]:
    """The three averages, each of the one before, and the signal line."""
    first = talib.EMA(bars.close, period)
    second = talib.EMA(first, period)
    third = talib.EMA(second, period)
    changes = third[1:] - third[:-1]
    signal_line = _newest(talib.EMA(changes, signal))
    return _newest(first), _newest(second), _newest(third), signal_line


def trix(candles: Candles, period: int, signal: int) -> tuple[float, float]:
    """Change a bar of the triple EMA and the EMA of that change (the signal line), in price.

    Not in per cent as TA-Lib's, since no mirrored price would share what that divides by. Needs
    3 x (period - 1) + signal + 1 closed bars.
    """
    first, second, third, signal_line = _trix(candles.closed, period, signal)
    first = _smoothed(first, candles.newest.close, period)
    second = _smoothed(second, first, period)
    change = _smoothed(third, second, period) - third
    return change, _smoothed(signal_line, change, signal)
