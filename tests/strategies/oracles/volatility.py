"""Oracles of the strategies that act on how much the price moves."""

import math

from talipp.ohlcv import OHLCV

from tests.strategies.oracles.formulas import Oracle, graded, true_range, wilder_atr


def atr_breakout(bars: list[OHLCV], prices: list[float]) -> float:
    ranges = true_range(bars, -1) / wilder_atr(bars[:-1], 14)
    if ranges < 1.5 or prices[-1] == bars[-1].open:
        return 0.0
    return math.copysign(graded(ranges / 1.5), prices[-1] - bars[-1].open)


ORACLES: dict[str, Oracle] = {
    "atr_breakout": atr_breakout,
}
