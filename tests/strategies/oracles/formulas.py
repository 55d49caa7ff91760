"""What the oracles share: the grading, written out once more, and ranges after Wilder."""

import math
from collections.abc import Callable

from talipp.indicators import ATR
from talipp.ohlcv import OHLCV

Oracle = Callable[..., float]
"""(bars, prices, **parameters) -> signal; what is left out is at its documented default."""


def graded(multiple: float) -> float:
    return math.tanh(math.atanh(0.5) * multiple)


def true_range(bars: list[OHLCV], at: int) -> float:
    bar, close_before = bars[at], bars[at - 1].close
    high, low = max(bar.high, close_before), min(bar.low, close_before)
    return float(high - low)


def wilder_atr(closed: list[OHLCV], period: int) -> float:
    return float(ATR(period, closed)[-1])
