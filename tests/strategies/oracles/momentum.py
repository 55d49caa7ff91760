"""Oracles of the strategies that go with the move."""

import math

from talipp.indicators import EMA, MACD, SMA, DonchianChannels, SuperTrend
from talipp.ohlcv import OHLCV

from tests.strategies.oracles.formulas import Oracle, graded, wilder_atr


def usual_step(prices: list[float], changes: int) -> float:
    newest = [prices[i] - prices[i - 1] for i in range(len(prices) - changes, len(prices))]
    return math.sqrt(sum(change * change for change in newest) / changes)


def simple_momentum(bars: list[OHLCV], prices: list[float], lookback: int = 10) -> float:
    usual = usual_step(prices, max(lookback, 20)) * math.sqrt(lookback)
    return graded((prices[-1] - prices[-lookback - 1]) / usual)


def dual_momentum(
    bars: list[OHLCV], prices: list[float], short: int = 5, lookback: int = 20
) -> float:
    n = lookback
    changes = [prices[i] - prices[i - 1] for i in range(len(prices) - n, len(prices))]
    step = usual_step(prices, max(n, 20))
    absolute = sum(changes) / step / math.sqrt(n)
    # Of 20 independent steps the 5 latest count 1/5 - 1/20 here, the 15 before -1/20.
    weights = [-1 / n] * (n - short) + [1 / short - 1 / n] * short
    tilt = sum(weight * change for weight, change in zip(weights, changes, strict=True))
    relative = tilt / step / math.sqrt(sum(weight * weight for weight in weights))
    if (absolute > 0) != (relative > 0):
        return 0.0
    weaker = min(absolute, relative, key=abs)
    return graded(weaker)


def breakout(bars: list[OHLCV], prices: list[float], lookback: int = 20) -> float:
    closed = bars[:-1]
    channel = DonchianChannels(lookback, closed[-lookback:])[-1]
    atr = wilder_atr(closed, lookback)
    if prices[-1] > channel.ub:
        return graded(1 + (prices[-1] - channel.ub) / atr)
    if prices[-1] < channel.lb:
        return -graded(1 + (channel.lb - prices[-1]) / atr)
    return 0.0


def donchian_channel(bars: list[OHLCV], prices: list[float], lookback: int = 20) -> float:
    channel = DonchianChannels(lookback, bars[-lookback - 1 : -1])[-1]
    return graded((prices[-1] - channel.cb) / (channel.ub - channel.cb))


def ma_crossover(
    bars: list[OHLCV], prices: list[float], fast: int = 10, lookback: int = 20
) -> float:
    apart = SMA(fast, prices[-fast:])[-1] - SMA(lookback, prices[-lookback:])[-1]
    return graded(apart / wilder_atr(bars[:-1], lookback) / 0.6)


def ema_crossover(
    bars: list[OHLCV], prices: list[float], fast: int = 9, lookback: int = 21
) -> float:
    apart = EMA(fast, prices)[-1] - EMA(lookback, prices)[-1]
    return graded(apart / wilder_atr(bars[:-1], lookback) / 0.5)


def macd_signal(
    bars: list[OHLCV], prices: list[float], fast: int = 12, lookback: int = 26, signal: int = 9
) -> float:
    newest = MACD(fast, lookback, signal, prices)[-1]
    return graded(newest.histogram / wilder_atr(bars[:-1], lookback) / 0.15)


def supertrend(
    bars: list[OHLCV], prices: list[float], lookback: int = 14, multiple: float = 3.0
) -> float:
    trail = SuperTrend(lookback, multiple, bars[:-1])
    upper, lower, line = trail.fub[-1], trail.flb[-1], trail[-1].value
    if line == lower and prices[-1] < lower:
        line = upper
    elif line == upper and prices[-1] > upper:
        line = lower
    return graded((prices[-1] - line) / wilder_atr(bars[:-1], lookback) / multiple)


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
