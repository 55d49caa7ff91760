"""Oracles of the strategies that go against the move."""

import statistics

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from talipp.indicators import BB, RSI, Stoch
from talipp.ohlcv import OHLCV

from tests.strategies.oracles.formulas import Oracle, graded, wilder_atr


def z_score(bars: list[OHLCV], prices: list[float], lookback: int = 20) -> float:
    tail = prices[-lookback:]
    return -graded((prices[-1] - statistics.fmean(tail)) / statistics.stdev(tail) / 2)


def bollinger_reversion(
    bars: list[OHLCV], prices: list[float], lookback: int = 20, width: float = 2.0
) -> float:
    bands = BB(lookback, width, prices[-lookback:])[-1]
    return -graded((prices[-1] - bands.cb) / (bands.ub - bands.cb))


def rsi_signal(
    bars: list[OHLCV],
    prices: list[float],
    lookback: int = 14,
    oversold: float = 30.0,
    overbought: float = 70.0,
) -> float:
    rsi = RSI(lookback, prices)[-1]
    if rsi < oversold:
        return graded((50 - rsi) / (50 - oversold))
    return -graded((rsi - 50) / (overbought - 50)) if rsi > overbought else 0.0


def stochastic_signal(
    bars: list[OHLCV],
    prices: list[float],
    lookback: int = 14,
    smooth: int = 3,
    oversold: float = 20.0,
    overbought: float = 80.0,
) -> float:
    before, now = Stoch(lookback, smooth, bars[-lookback - smooth - 3 :])[-2:]
    if before.d < oversold and before.k <= before.d and now.k > now.d:
        return graded((50 - before.d) / (50 - oversold))
    if before.d > overbought and before.k >= before.d and now.k < now.d:
        return -graded((before.d - 50) / (overbought - 50))
    return 0.0


def range_sr(
    bars: list[OHLCV], prices: list[float], lookback: int = 20, zone: float = 0.5, touches: int = 2
) -> float:
    tail, near = bars[-lookback - 1 : -1], zone * wilder_atr(bars[:-1], lookback)
    support, resistance = min(bar.low for bar in tail), max(bar.high for bar in tail)
    if resistance - support <= 2 * near:
        return 0.0
    over, under = prices[-1] - support, resistance - prices[-1]
    if over <= near and sum(bar.low <= support + near for bar in tail) >= touches:
        strength = 2 - over / near if over >= 0 else max(2 + 2 * over / near, 0)
        return graded(strength)
    if under <= near and sum(bar.high >= resistance - near for bar in tail) >= touches:
        strength = 2 - under / near if under >= 0 else max(2 + 2 * under / near, 0)
        return -graded(strength)
    return 0.0


def bollinger_squeeze(
    bars: list[OHLCV],
    prices: list[float],
    lookback: int = 20,
    width: float = 0.1,
    narrow: float = 0.25,
    widen: float = 0.1,
) -> float:
    closed = sliding_window_view(np.array(prices[:-1]), lookback)
    widths = closed.std(axis=1) / closed.mean(axis=1)
    narrower = int((widths[:-1] < widths[-1]).sum())
    before = BB(lookback, 2.0, prices[-lookback - 1 : -1])[-1]
    now = BB(lookback, 2.0, prices[-lookback:])[-1]
    widened = (now.ub - now.lb) / (before.ub - before.lb) - 1
    if (before.ub - before.lb) / before.cb >= width:
        return 0.0
    if narrower > narrow * (len(widths) - 1) or widened < widen:
        return 0.0
    return graded(widened / widen) * (1 if prices[-1] > now.cb else -1)


ORACLES: dict[str, Oracle] = {
    "z_score": z_score,
    "bollinger_reversion": bollinger_reversion,
    "rsi_signal": rsi_signal,
    "stochastic_signal": stochastic_signal,
    "range_sr": range_sr,
    "bollinger_squeeze": bollinger_squeeze,
}
