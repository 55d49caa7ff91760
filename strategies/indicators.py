"""Newest values of the usual indicators: TA-Lib where it has them, NaN where they are not defined.

Recursive ones (EMA, MACD, RSI, ATR) run over the whole window they are given; the others look at
no more than their period. Inputs hold finite numbers only (`Candles.flaw` sees to that).
"""

import math

import talib

from strategies.base import Candles, FloatArray


def _newest(values: FloatArray) -> float:
    return float(values[-1]) if len(values) else math.nan


def ema(prices: FloatArray, period: int) -> float:
    """Exponential average, alpha 2 / (period + 1), started from the first simple average."""
    return _newest(talib.EMA(prices, period))


def macd(prices: FloatArray, fast: int, slow: int, signal: int) -> tuple[float, float]:
    """MACD line (fast less slow EMA) and its signal line (EMA of the line). Needs fast < slow."""
    # TA-Lib would swap the two without a word, and turn the sign with them.
    assert fast < slow, (fast, slow)
    line, signal_line, _ = talib.MACD(prices, fast, slow, signal)
    return _newest(line), _newest(signal_line)


def rsi(prices: FloatArray, period: int) -> float:
    """Relative strength index after Wilder, 0..100; NaN where the prices stand still."""
    value = _newest(talib.RSI(prices, period))
    # TA-Lib answers 0, "nothing but losses", where there is neither gain nor loss.
    if value == 0.0 and prices.min() == prices.max():
        return math.nan
    return value


def closed_atr(candles: Candles, period: int) -> float:
    """Average true range after Wilder, over closed bars only, in price.

    The forming bar is left out: it starts each time with a range of nothing, and a bar that breaks
    out must not widen the yardstick it is measured with.
    """
    return _newest(talib.ATR(candles.high[:-1], candles.low[:-1], candles.close[:-1], period))


def forming_true_range(candles: Candles) -> float:
    """True range of the forming bar, the gap to the close before it included, in price."""
    return _newest(talib.TRANGE(candles.high[-2:], candles.low[-2:], candles.close[-2:]))


def closed_extremes(candles: Candles, period: int) -> tuple[float, float]:
    """Highest high and lowest low of the last `period` closed bars."""
    highs, lows = candles.high[-period - 1 : -1], candles.low[-period - 1 : -1]
    return _newest(talib.MAX(highs, period)), _newest(talib.MIN(lows, period))


def mean_and_deviation(prices: FloatArray, period: int) -> tuple[float, float]:
    """Simple average and population standard deviation of the last `period` prices."""
    tail = prices[-period:]
    return _newest(talib.SMA(tail, period)), _newest(talib.STDDEV(tail, period))


def typical_step(prices: FloatArray, period: int) -> float:
    """Root mean square of the last `period` price changes from bar to bar, in price."""
    tail = prices[-period - 1 :]
    changes = tail[1:] - tail[:-1]
    return math.sqrt(changes.dot(changes) / period) if len(changes) == period else math.nan
