"""Oracles of the strategies that act on how much the price moves."""

import math

from talipp.indicators import BB, EMA, VWAP
from talipp.ohlcv import OHLCV

from tests.strategies.oracles.formulas import Oracle, graded, true_range, wilder_atr


def atr_breakout(bars: list[OHLCV], prices: list[float]) -> float:
    ranges = true_range(bars, -1) / wilder_atr(bars[:-1], 14)
    if ranges < 1.5 or prices[-1] == bars[-1].open:
        return 0.0
    return math.copysign(graded(ranges / 1.5), prices[-1] - bars[-1].open)


def keltner_bollinger(bars: list[OHLCV], prices: list[float]) -> float:
    middle, half = EMA(20, prices)[-1], 2 * wilder_atr(bars[:-1], 20)
    bands = BB(20, 2.0, prices[-20:])[-1]
    outside = bands.ub > middle + half if prices[-1] > middle else bands.lb < middle - half
    return graded((prices[-1] - middle) / half) if outside else 0.0


def vwap_deviation(bars: list[OHLCV], prices: list[float]) -> float:
    tail = bars[-50:]
    vwap = VWAP(tail)[-1]
    spread = sum(bar.volume * ((bar.high + bar.low + bar.close) / 3 - vwap) ** 2 for bar in tail)
    deviation = math.sqrt(spread / sum(bar.volume for bar in tail))
    return -graded((prices[-1] - vwap) / deviation / 2)


def narrow_range_breakout(bars: list[OHLCV], prices: list[float]) -> float:
    """Crabel's NR7: the bar before has the smallest range of seven, and its range is left."""
    ranges = [bar.high - bar.low for bar in bars[-8:-1]]
    narrow, atr = bars[-2], wilder_atr(bars[:-1], 7)
    if any(each < ranges[-1] for each in ranges):
        return 0.0
    if prices[-1] > narrow.high:
        return graded(1 + (prices[-1] - narrow.high) / atr)
    if prices[-1] < narrow.low:
        return -graded(1 + (narrow.low - prices[-1]) / atr)
    return 0.0


ORACLES: dict[str, Oracle] = {
    "atr_breakout": atr_breakout,
    "keltner_bollinger": keltner_bollinger,
    "vwap_deviation": vwap_deviation,
    "narrow_range_breakout": narrow_range_breakout,
}
