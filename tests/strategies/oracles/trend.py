"""Oracles of the strategies that ask how steady a move is."""

import math
from itertools import pairwise

from talipp.indicators import Aroon
from talipp.ohlcv import OHLCV

from tests.strategies.oracles.formulas import Oracle, graded, wilder_atr


def time_series_momentum(bars: list[OHLCV], prices: list[float], lookback: int = 240) -> float:
    """Volatility of Moskowitz, Ooi and Pedersen (2012), equation 1, with horizons 1 : 3 : 12."""
    changes = [prices[i] - prices[i - 1] for i in range(1, len(prices) - 1)]
    decay = 60 / 61
    weights = [(1 - decay) * decay**age for age in range(len(changes))]
    squared = sum(w * c * c for w, c in zip(weights, reversed(changes), strict=True))
    sigma = math.sqrt(squared / sum(weights))
    horizons = (lookback // 12, lookback // 4, lookback)
    moves = [(prices[-1] - prices[-1 - h]) / (sigma * math.sqrt(h)) for h in horizons]
    return graded(sum(moves) / 3)


def heikin_ashi_trend(bars: list[OHLCV], prices: list[float], lookback: int = 3) -> float:
    """Candles after Valcu (2004), one after the other from the first bar on."""
    atr = wilder_atr(bars[:-1], 14)
    open_ = (bars[0].open + bars[0].close) / 2
    run = 0
    for bar in bars:
        close = (bar.open + bar.high + bar.low + bar.close) / 4
        low, high = min(bar.low, open_, close), max(bar.high, open_, close)
        if close - open_ >= 0.1 * atr and low == open_:
            run = max(run, 0) + 1
        elif open_ - close >= 0.1 * atr and high == open_:
            run = min(run, 0) - 1
        else:
            run = 0
        open_ = (open_ + close) / 2
    return graded(max(-4 * lookback, min(4 * lookback, run)) / lookback)


def aroon_signal(bars: list[OHLCV], prices: list[float], lookback: int = 25) -> float:
    newest = Aroon(lookback, bars[-lookback - 1 :])[-1]
    return graded((newest.up - newest.down) / 50)


def ema(values: list[float], period: int) -> list[float]:
    """Started from the first simple average, which is its first value."""
    averages = [math.fsum(values[:period]) / period]
    for value in values[period:]:
        averages.append(averages[-1] + (value - averages[-1]) * 2 / (period + 1))
    return averages


def trix_signal(
    bars: list[OHLCV], prices: list[float], lookback: int = 15, signal: int = 9
) -> float:
    smooth = prices
    for _ in range(3):
        smooth = ema(smooth, lookback)
    slopes = [after - before for before, after in pairwise(smooth)]
    slope, signal_line = slopes[-1], ema(slopes, signal)[-1]
    growing = slope > max(signal_line, 0) or slope < min(signal_line, 0)
    return graded(slope / wilder_atr(bars[:-1], lookback) / 0.05) if growing else 0.0


def chande_momentum(bars: list[OHLCV], prices: list[float], lookback: int = 14) -> float:
    """100 x (Su - Sd) / (Su + Sd), as in Chande and Kroll, "The New Technical Trader" (1994)."""
    changes = [prices[i] - prices[i - 1] for i in range(len(prices) - lookback, len(prices))]
    up = sum(change for change in changes if change > 0)
    down = -sum(change for change in changes if change < 0)
    return graded(100 * (up - down) / (up + down) / 50)


ORACLES: dict[str, Oracle] = {
    "time_series_momentum": time_series_momentum,
    "heikin_ashi_trend": heikin_ashi_trend,
    "aroon_signal": aroon_signal,
    "trix_signal": trix_signal,
    "chande_momentum": chande_momentum,
}
