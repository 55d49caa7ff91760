"""Prices that traders watch: edges of channels, support, trend lines, the average they have paid.

As in `indicators`: what closed bars say is computed once until the forming bar closes.
"""

import math

import numpy as np
import talib

from strategies.base import Candles
from strategies.indicators import atr_of, once

# Bollinger's bands lie so many deviations from their middle.
_BAND_DEVIATIONS = 2


@once
def _extremes(bars: Candles, period: int) -> tuple[float, float]:
    # Plain numbers: NumPy takes longer to begin than this takes for a few dozen bars.
    return max(bars.high[-period:].tolist()), min(bars.low[-period:].tolist())


def closed_extremes(candles: Candles, period: int) -> tuple[float, float]:
    """Highest high and lowest low of the last `period` closed bars."""
    return _extremes(candles.closed, period)


def trend_after(before: int, close: float, upper: float, lower: float) -> int:
    """The direction of a trend, -1, 0 (none yet) or +1, after a close against its two bands."""
    above, below = close > upper, close < lower
    if before == 0:
        return above - below
    if before > 0:
        return -1 if below else 1
    return 1 if above else -1


@once
def supertrend(bars: Candles, period: int, multiple: float) -> tuple[int, float, float]:
    """Direction and both bands after these bars, all of them closed.

    The bands lie `multiple` ATRs from the middle of a bar; the upper one only falls until the
    price closes above it, the lower one only rises until the price closes below it.
    """
    reach = multiple * talib.ATR(bars.high, bars.low, bars.close, period)[period:]
    middle = (bars.high[period:] + bars.low[period:]) / 2
    trend, upper, lower = 0, math.inf, -math.inf
    above = below = False
    for over, under, close in zip(
        (middle + reach).tolist(), (middle - reach).tolist(), bars.close[period:].tolist(),
        strict=True,
    ):  # fmt: skip
        if above or over < upper:
            upper = over
        if below or under > lower:
            lower = under
        above, below = close > upper, close < lower
        if above or below:
            trend = trend_after(trend, close, upper, lower)
    return trend, upper, lower


@once
def _stochastics(bars: Candles, period: int, smooth: int) -> tuple[float, float, float]:
    """%K and %D after these bars, and the sum of the last `smooth` - 1 %K."""
    tail = period + smooth - 1
    highest = talib.MAX(bars.high[-tail:], period)[period - 1 :]
    lowest = talib.MIN(bars.low[-tail:], period)[period - 1 :]
    closes = bars.close[-smooth:].tolist()
    positions = [
        _position(close, high, low)
        for close, high, low in zip(closes, highest.tolist(), lowest.tolist(), strict=True)
    ]
    return positions[-1], sum(positions) / smooth, sum(positions[1:])


def _position(close: float, high: float, low: float) -> float:
    """Where a close lies between two prices, 0..100; 50 where they are one."""
    return 100.0 * (close - low) / (high - low) if high > low else 50.0


def stochastic(candles: Candles, period: int, smooth: int) -> tuple[float, float, float, float]:
    """%K and %D (simple average of `smooth` %K) of the last closed bar, and of the forming one.

    Needs period + smooth - 1 closed bars, periods of 2 or more.
    """
    closed, bar = candles.closed, candles.newest
    k_before, d_before, recent = _stochastics(closed, period, smooth)
    high, low = _extremes(closed, period - 1)
    k = _position(bar.close, max(high, bar.high), min(low, bar.low))
    return k_before, d_before, k, (recent + k) / smooth


@once
def narrowness(bars: Candles, period: int) -> tuple[float, float, float]:
    """Standard deviation of the last `period` closes, their bandwidth, the share of narrower bands.

    Bandwidth as Bollinger has it: from band to band, two deviations each, by the middle. The share
    is that of all bands of these bars, 0..1.
    """
    deviations = talib.STDDEV(bars.close, period)[period - 1 :]
    widths = deviations / talib.SMA(bars.close, period)[period - 1 :]
    narrower = int(np.count_nonzero(widths[:-1] < widths[-1]))
    share = narrower / max(len(widths) - 1, 1)
    return float(deviations[-1]), 2 * _BAND_DEVIATIONS * float(widths[-1]), share


@once
def support_and_resistance(
    bars: Candles, period: int, zone: float
) -> tuple[float, float, float, int, int]:
    """(support, resistance, reach, bars near support, bars near resistance) of `period` bars.

    Near is within the reach of the level: `zone` x ATR(period), in price.
    """
    lows, highs = bars.low[-period:].tolist(), bars.high[-period:].tolist()
    support, resistance = min(lows), max(highs)
    reach = zone * atr_of(bars, period)
    near_support, near_resistance = support + reach, resistance - reach
    at_support = sum([low <= near_support for low in lows])
    at_resistance = sum([high >= near_resistance for high in highs])
    return support, resistance, reach, at_support, at_resistance


@once
def _volume_average(bars: Candles, period: int) -> tuple[float, float, float]:
    """(volume, mean, squares) of the last `period` bars' typical prices, weighted by volume."""
    volume = bars.volume[-period:]
    total = float(volume.sum())
    if not total > 0:
        return 0.0, 0.0, 0.0
    typical = (bars.high[-period:] + bars.low[-period:] + bars.close[-period:]) / 3
    newest = float(typical[-1])
    # From the newest, so that prices that are all the same have a deviation of exactly zero.
    apart = typical - newest
    mean = float(apart.dot(volume)) / total
    apart -= mean
    return total, newest + mean, float((apart * apart).dot(volume))


def vwap_and_deviation(candles: Candles, period: int) -> tuple[float, float]:
    """Volume-weighted average of the typical price of the last `period` bars, and its deviation.

    NaN where nothing was traded in them.
    """
    before, mean, squares = _volume_average(candles.closed, period - 1)
    bar = candles.newest
    volume = before + bar.volume
    if not volume > 0:
        return math.nan, math.nan
    apart = (bar.high + bar.low + bar.close) / 3 - mean
    moved = mean + apart * (bar.volume / volume)
    squares += bar.volume * apart * apart * (before / volume)
    return moved, math.sqrt(squares / volume)
