"""Oracles of the strategies that go with the move."""

import math

from talipp.indicators import EMA, MACD, DonchianChannels
from talipp.ohlcv import OHLCV

from tests.strategies.oracles.formulas import Oracle, graded, wilder_atr


def simple_momentum(bars: list[OHLCV], prices: list[float]) -> float:
    changes = [prices[i] - prices[i - 1] for i in range(len(prices) - 20, len(prices))]
    usual = math.sqrt(sum(change * change for change in changes) / 20)
    return graded((prices[-1] - prices[-11]) / (usual * math.sqrt(10)))


def breakout(bars: list[OHLCV], prices: list[float]) -> float:
    closed = bars[:-1]
    channel = DonchianChannels(20, closed[-20:])[-1]
    atr = wilder_atr(closed, 20)
    if prices[-1] > channel.ub:
        return graded(1 + (prices[-1] - channel.ub) / atr)
    if prices[-1] < channel.lb:
        return -graded(1 + (channel.lb - prices[-1]) / atr)
    return 0.0


def ema_crossover(bars: list[OHLCV], prices: list[float]) -> float:
    apart = EMA(9, prices)[-1] - EMA(21, prices)[-1]
    return graded(apart / wilder_atr(bars[:-1], 21) / 0.5)


def macd_signal(bars: list[OHLCV], prices: list[float]) -> float:
    newest = MACD(12, 26, 9, prices)[-1]
    return graded(newest.histogram / wilder_atr(bars[:-1], 26) / 0.15)


ORACLES: dict[str, Oracle] = {
    "simple_momentum": simple_momentum,
    "breakout": breakout,
    "ema_crossover": ema_crossover,
    "macd_signal": macd_signal,
}
