"""Oracles of the strategies that go against the move."""

import statistics

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from talipp.indicators import BB, RSI, Stoch
from talipp.ohlcv import OHLCV

from tests.strategies.oracles.formulas import Oracle, graded, wilder_atr


def z_score(bars: list[OHLCV], prices: list[float]) -> float:
    tail = prices[-20:]
    return -graded((prices[-1] - statistics.fmean(tail)) / statistics.stdev(tail) / 2)


def bollinger_reversion(bars: list[OHLCV], prices: list[float]) -> float:
    bands = BB(20, 2.0, prices[-20:])[-1]
    return -graded((prices[-1] - bands.cb) / (bands.ub - bands.cb))


def rsi_signal(bars: list[OHLCV], prices: list[float]) -> float:
    rsi = RSI(14, prices)[-1]
    return graded((50 - rsi) / 20) if rsi < 30 or rsi > 70 else 0.0


def stochastic_signal(bars: list[OHLCV], prices: list[float]) -> float:
    before, now = Stoch(14, 3, bars[-20:])[-2:]
    if before.d < 20 and before.k <= before.d and now.k > now.d:
        return graded((50 - before.d) / 30)
    if before.d > 80 and before.k >= before.d and now.k < now.d:
        return graded((50 - before.d) / 30)
    return 0.0


def range_sr(bars: list[OHLCV], prices: list[float]) -> float:
    tail, near = bars[-21:-1], wilder_atr(bars[:-1], 20) / 2
    support, resistance = min(bar.low for bar in tail), max(bar.high for bar in tail)
    if resistance - support <= 2 * near:
        return 0.0
    over, under = prices[-1] - support, resistance - prices[-1]
    if over <= near and sum(bar.low <= support + near for bar in tail) >= 2:
        strength = 2 - over / near if over >= 0 else max(2 + 2 * over / near, 0)
        return graded(strength)
    if under <= near and sum(bar.high >= resistance - near for bar in tail) >= 2:
        strength = 2 - under / near if under >= 0 else max(2 + 2 * under / near, 0)
        return -graded(strength)
    return 0.0


def bollinger_squeeze(bars: list[OHLCV], prices: list[float]) -> float:
    closed = sliding_window_view(np.array(prices[:-1]), 20)
    widths = closed.std(axis=1) / closed.mean(axis=1)
    narrower = int((widths[:-1] < widths[-1]).sum())
    before, now = BB(20, 2.0, prices[-21:-1])[-1], BB(20, 2.0, prices[-20:])[-1]
    widened = (now.ub - now.lb) / (before.ub - before.lb) - 1
    if (before.ub - before.lb) / before.cb >= 0.1:
        return 0.0
    if narrower > 0.25 * (len(widths) - 1) or widened < 0.1:
        return 0.0
    return graded(widened / 0.1) * (1 if prices[-1] > now.cb else -1)


ORACLES: dict[str, Oracle] = {
    "z_score": z_score,
    "bollinger_reversion": bollinger_reversion,
    "rsi_signal": rsi_signal,
    "stochastic_signal": stochastic_signal,
    "range_sr": range_sr,
    "bollinger_squeeze": bollinger_squeeze,
}
