"""Oracles of the strategies that go against the move."""

import statistics

from talipp.indicators import BB, RSI
from talipp.ohlcv import OHLCV

from tests.strategies.oracles.formulas import Oracle, graded


def z_score(bars: list[OHLCV], prices: list[float]) -> float:
    tail = prices[-20:]
    return -graded((prices[-1] - statistics.fmean(tail)) / statistics.stdev(tail) / 2)


def bollinger_reversion(bars: list[OHLCV], prices: list[float]) -> float:
    bands = BB(20, 2.0, prices[-20:])[-1]
    return -graded((prices[-1] - bands.cb) / (bands.ub - bands.cb))


def rsi_signal(bars: list[OHLCV], prices: list[float]) -> float:
    rsi = RSI(14, prices)[-1]
    return graded((50 - rsi) / 20) if rsi < 30 or rsi > 70 else 0.0


ORACLES: dict[str, Oracle] = {
    "z_score": z_score,
    "bollinger_reversion": bollinger_reversion,
    "rsi_signal": rsi_signal,
}
