"""Oracles of the strategies that go with the move."""

import math

from talipp.indicators import EMA, MACD, SMA, DonchianChannels, SuperTrend
from talipp.ohlcv import OHLCV

from tests.strategies.oracles.formulas import Oracle, graded, wilder_atr


def simple_momentum(bars: list[OHLCV], prices: list[float]) -> float:
    changes = [prices[i] - prices[i - 1] for i in range(len(prices) - 20, len(prices))]
    usual = math.sqrt(sum(change * change for change in changes) / 20)
    return graded((prices[-1] - prices[-11]) / (usual * math.sqrt(10)))


def dual_momentum(bars: list[OHLCV], prices: list[float]) -> float:
    changes = [prices[i] - prices[i - 1] for i in range(len(prices) - 20, len(prices))]
    step = math.sqrt(sum(change * change for change in changes) / 20)
    absolute = sum(changes) / step / math.sqrt(20)
    # Of 20 independent steps the 5 latest count 1/5 - 1/20 here, the 15 before -1/20.
    weights = [-1 / 20] * 15 + [1 / 5 - 1 / 20] * 5
    tilt = sum(weight * change for weight, change in zip(weights, changes, strict=True))
    relative = tilt / step / math.sqrt(sum(weight * weight for weight in weights))
    if (absolute > 0) != (relative > 0):
        return 0.0
    weaker = min(absolute, relative, key=abs)
    return graded(weaker)


def breakout(bars: list[OHLCV], prices: list[float]) -> float:
    closed = bars[:-1]
    channel = DonchianChannels(20, closed[-20:])[-1]
    atr = wilder_atr(closed, 20)
    if prices[-1] > channel.ub:
        return graded(1 + (prices[-1] - channel.ub) / atr)
    if prices[-1] < channel.lb:
        return -graded(1 + (channel.lb - prices[-1]) / atr)
    return 0.0


def donchian_channel(bars: list[OHLCV], prices: list[float]) -> float:
    channel = DonchianChannels(20, bars[-21:-1])[-1]
    return graded((prices[-1] - channel.cb) / (channel.ub - channel.cb))


def ma_crossover(bars: list[OHLCV], prices: list[float]) -> float:
    apart = SMA(10, prices[-10:])[-1] - SMA(20, prices[-20:])[-1]
    return graded(apart / wilder_atr(bars[:-1], 20) / 0.6)


def ema_crossover(bars: list[OHLCV], prices: list[float]) -> float:
    apart = EMA(9, prices)[-1] - EMA(21, prices)[-1]
    return graded(apart / wilder_atr(bars[:-1], 21) / 0.5)


def macd_signal(bars: list[OHLCV], prices: list[float]) -> float:
    newest = MACD(12, 26, 9, prices)[-1]
    return graded(newest.histogram / wilder_atr(bars[:-1], 26) / 0.15)


def supertrend(bars: list[OHLCV], prices: list[float]) -> float:
    trail = SuperTrend(14, 3.0, bars[:-1])
    upper, lower, line = trail.fub[-1], trail.flb[-1], trail[-1].value
    if line == lower and prices[-1] < lower:
        line = upper
    elif line == upper and prices[-1] > upper:
        line = lower
    return graded((prices[-1] - line) / wilder_atr(bars[:-1], 14) / 3.0)


ORACLES: dict[str, Oracle] = {
    "simple_momentum": simple_momentum,
    "dual_momentum": dual_momentum,
    "breakout": breakout,
    "donchian_channel": donchian_channel,
    "ma_crossover": ma_crossover,
    "supertrend": supertrend,
    "ema_crossover": ema_crossover,
    "macd_signal": macd_signal,
}
