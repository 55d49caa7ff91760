"""Strategies that go with the move. Positive: the price has been rising.

Distances are measured in average true ranges or typical steps, never in price, so that they mean
the same on every symbol and timeframe.
"""

import math

from strategies import indicators
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

# Fewer changes than this say too little about how far the price usually goes in a bar.
_STEPS_MEASURED_MIN = 20

# Average true ranges between the two lines at which a cross counts as clear: what the distance
# reaches in four of ten 15-minute bars of bitcoin.
_EMA_GAP_ATR = 0.5
_MACD_GAP_ATR = 0.15


def _steps_measured(lookback: int) -> int:
    return max(lookback, _STEPS_MEASURED_MIN)


def simple_momentum(candles: Candles, prices: FloatArray, *, lookback: int) -> Reading:
    """Change over `lookback` bars, in what a random walk with these steps would do in that time."""
    price, before = candles.newest.close, float(prices[-1 - lookback])
    usual = indicators.typical_step(candles, _steps_measured(lookback)) * math.sqrt(lookback)
    if not usual > 0:
        return 0.0, f"the price has not moved in {lookback} bars"
    multiple = (price - before) / usual
    percent = 100 * (price / before - 1)
    return graded(
        multiple
    ), lambda: f"{percent:+.2f}% in {lookback} bars, {multiple:+.2f} usual moves"


SIMPLE_MOMENTUM = Strategy(
    name="simple_momentum",
    family="momentum",
    description="return over the lookback against its usual size; up is bullish",
    function=simple_momentum,
    warm_up=lambda params: _steps_measured(int(params["lookback"])),
    params=(
        lookback_param(10, 2, 200, "bars over which the return is taken"),
        threshold_param(),
    ),
)


def breakout(candles: Candles, prices: FloatArray, *, lookback: int) -> Reading:
    """Distance beyond the range of the last closed bars; 0 while the price is inside."""
    price = candles.newest.close
    high, low = indicators.closed_extremes(candles, lookback)
    if low <= price <= high:
        return (
            0.0,
            lambda: (
                f"close {price_text(price)} inside the {lookback}-bar range "
                f"{price_text(low)} to {price_text(high)}"
            ),
        )
    atr = indicators.closed_atr(candles, lookback)
    if not atr > 0:
        return 0.0, f"the {lookback} bars before stood still: no range to measure a break by"
    above = price > high
    beyond = price - high if above else price - low
    # The crossing itself is the trigger, so the distance is counted from 1.
    multiple = math.copysign(1 + abs(beyond) / atr, beyond)
    return (
        graded(multiple),
        lambda: (
            f"close {price_text(price)} "
            f"{'above' if above else 'below'} the {lookback}-bar {'high' if above else 'low'} "
            f"{price_text(high if above else low)}"
        ),
    )


BREAKOUT = Strategy(
    name="breakout",
    aliases=("momentum_breakout",),
    family="momentum",
    description="price above the highest high or below the lowest low of the last closed bars",
    function=breakout,
    warm_up=lambda params: int(params["lookback"]) + 1,
    params=(
        lookback_param(20, 2, 200, "closed bars whose highest high and lowest low are the range"),
        threshold_param(),
    ),
)


def ema_crossover(candles: Candles, prices: FloatArray, *, fast: int, lookback: int) -> Reading:
    """Fast less slow exponential average, in average true ranges."""
    quick, slow = indicators.ema(candles, fast), indicators.ema(candles, lookback)
    atr = indicators.closed_atr(candles, lookback)
    if not atr > 0:
        return 0.0, f"the price has not moved in {lookback} bars"
    apart = (quick - slow) / atr
    return (
        graded(apart / _EMA_GAP_ATR),
        lambda: (
            f"EMA {fast} {price_text(quick)} {'above' if apart > 0 else 'below'} "
            f"EMA {lookback} {price_text(slow)} by {abs(apart):.2f} ATR"
        ),
    )


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
