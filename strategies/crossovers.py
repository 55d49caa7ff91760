"""Strategies that wait for a cross: of a fast average and a slow one, of the price and its trail.

Positive: the trend is up. Distances are measured in average true ranges, never in price.
"""

from collections.abc import Callable
from typing import TypeAlias

from strategies import indicators, levels
from strategies.base import (
    Candles,
    FloatArray,
    Param,
    Reading,
    Strategy,
    lookback_param,
    threshold_param,
)
from strategies.readings import graded, price_text

Average: TypeAlias = Callable[[Candles, int], float]
"""The newest value of a moving average of so many bars."""

# Average true ranges between two lines at which a cross counts as clear: what the distance
# reaches in four of ten 15-minute bars of bitcoin.
_EMA_GAP_ATR = 0.5
_SMA_GAP_ATR = 0.6
_MACD_GAP_ATR = 0.15


def _fast_less_slow(
    candles: Candles, name: str, average: Average, fast: int, lookback: int, clear_atr: float
) -> Reading:
    """The distance of two averages in ATRs, of which `clear_atr` are the trigger."""
    quick, slow = average(candles, fast), average(candles, lookback)
    atr = indicators.closed_atr(candles, lookback)
    if not atr > 0:
        return 0.0, f"the price has not moved in {lookback} bars"
    apart = (quick - slow) / atr
    return (
        graded(apart / clear_atr),
        lambda: (
            f"{name} {fast} {price_text(quick)} {'above' if apart > 0 else 'below'} "
            f"{name} {lookback} {price_text(slow)} by {abs(apart):.2f} ATR"
        ),
    )


def ma_crossover(candles: Candles, prices: FloatArray, *, fast: int, lookback: int) -> Reading:
    """Fast less slow simple average, in average true ranges."""
    return _fast_less_slow(candles, "SMA", indicators.sma, fast, lookback, _SMA_GAP_ATR)


MA_CROSSOVER = Strategy(
    name="ma_crossover",
    family="momentum",
    description="fast against slow simple average, their distance in average true ranges",
    function=ma_crossover,
    warm_up=lambda params: int(params["lookback"]) + 1,
    ordered=(("fast", "lookback"),),
    params=(
        Param("fast", "int", 10, 2, 199, 1, "bars of the fast average"),
        lookback_param(20, 3, 200, "bars of the slow average, and period of the ATR"),
        threshold_param(),
    ),
)


def ema_crossover(candles: Candles, prices: FloatArray, *, fast: int, lookback: int) -> Reading:
    """Fast less slow exponential average, in average true ranges."""
    return _fast_less_slow(candles, "EMA", indicators.ema, fast, lookback, _EMA_GAP_ATR)


EMA_CROSSOVER = Strategy(
    name="ema_crossover",
    family="momentum",
    description="fast against slow exponential average, their distance in average true ranges",
    function=ema_crossover,
    warm_up=lambda params: int(params["lookback"]) + 1,
    ordered=(("fast", "lookback"),),
    params=(
        Param("fast", "int", 9, 2, 199, 1, "period of the fast average, in bars"),
        lookback_param(21, 3, 200, "period of the slow average and of the ATR, in bars"),
        threshold_param(),
    ),
)


def macd_signal(
    candles: Candles, prices: FloatArray, *, fast: int, lookback: int, signal: int
) -> Reading:
    """MACD line less its signal line, in average true ranges."""
    line, signal_line = indicators.macd(candles, fast, lookback, signal)
    atr = indicators.closed_atr(candles, lookback)
    if not atr > 0:
        return 0.0, f"the price has not moved in {lookback} bars"
    apart = (line - signal_line) / atr
    return (
        graded(apart / _MACD_GAP_ATR),
        lambda: (
            f"MACD {line / atr:+.2f} ATR {'above' if apart > 0 else 'below'} "
            f"its signal line {signal_line / atr:+.2f}"
        ),
    )


MACD_SIGNAL = Strategy(
    name="macd_signal",
    family="momentum",
    description="MACD line against its signal line, their distance in average true ranges",
    function=macd_signal,
    warm_up=lambda params: int(params["lookback"]) + int(params["signal"]) - 1,
    ordered=(("fast", "lookback"),),
    params=(
        Param("fast", "int", 12, 2, 199, 1, "period of the fast average, in bars"),
        lookback_param(26, 3, 200, "period of the slow average and of the ATR, in bars"),
        Param("signal", "int", 9, 2, 100, 1, "period of the signal line, in bars"),
        threshold_param(),
    ),
)


def supertrend(candles: Candles, prices: FloatArray, *, lookback: int, multiple: float) -> Reading:
    """Distance from the trend line, in the distance at which the line follows the price."""
    atr = indicators.closed_atr(candles, lookback)
    if not atr > 0:
        return 0.0, f"the price has not moved in {lookback} bars"
    before, upper, lower = levels.supertrend(candles.closed, lookback, multiple)
    price = candles.newest.close
    trend = levels.trend_after(before, price, upper, lower)
    if trend == 0:
        return (
            0.0,
            lambda: (
                f"close {price_text(price)} between {price_text(lower)} and {price_text(upper)}: "
                "no trend yet"
            ),
        )
    line = lower if trend > 0 else upper
    apart = (price - line) / atr
    return (
        graded(apart / multiple),
        lambda: (
            f"close {price_text(price)} {abs(apart):.2f} ATR {'above' if trend > 0 else 'below'} "
            f"the {'rising' if trend > 0 else 'falling'} trend line {price_text(line)}"
            f"{'' if trend == before else ', just turned'}"
        ),
    )


SUPERTREND = Strategy(
    name="supertrend",
    family="momentum",
    description="price against a trend line that follows it at a multiple of the ATR",
    function=supertrend,
    warm_up=lambda params: int(params["lookback"]) + 1,
    params=(
        lookback_param(14, 2, 200, "period of the ATR, in closed bars"),
        Param("multiple", "float", 3.0, 0.5, 10.0, 0.1, "ATRs between the line and the price"),
        threshold_param(),
    ),
)
