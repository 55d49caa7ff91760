"""Oracles of the strategies that act on how much the price moves."""

import math

from talipp.indicators import BB, EMA, VWAP
from talipp.ohlcv import OHLCV

from tests.strategies.oracles.formulas import Oracle, graded, true_range, wilder_atr


def atr_breakout(
    bars: list[OHLCV], prices: list[float], lookback: int = 14, multiple: float = 1.5
) -> float:
    ranges = true_range(bars, -1) / wilder_atr(bars[:-1], lookback)
    if ranges < multiple or prices[-1] == bars[-1].open:
        return 0.0
    return math.copysign(graded(ranges / multiple), prices[-1] - bars[-1].open)


def keltner_bollinger(
    bars: list[OHLCV],
    prices: list[float],
    lookback: int = 20,
    width: float = 2.0,
    multiple: float = 2.0,
) -> float:
    middle, half = EMA(lookback, prices)[-1], multiple * wilder_atr(bars[:-1], lookback)
    bands = BB(lookback, width, prices[-lookback:])[-1]
    outside = bands.ub > middle + half if prices[-1] > middle else bands.lb < middle - half
    return graded((prices[-1] - middle) / half) if outside else 0.0


def vwap_deviation(
    bars: list[OHLCV], prices: list[float], lookback: int = 50, width: float = 2.0
) -> float:
    tail = bars[-lookback:]
    vwap = VWAP(tail)[-1]
    spread = sum(bar.volume * ((bar.high + bar.low + bar.close) / 3 - vwap) ** 2 for bar in tail)
    deviation = math.sqrt(spread / sum(bar.volume for bar in tail))
    return -graded((prices[-1] - vwap) / deviation / width)


def narrow_range_breakout(bars: list[OHLCV], prices: list[float], lookback: int = 7) -> float:
    """Crabel's NR7: the bar before has the smallest range of seven, and its range is left."""
    ranges = [bar.high - bar.low for bar in bars[-lookback - 1 : -1]]
    narrow, atr = bars[-2], wilder_atr(bars[:-1], lookback)
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
