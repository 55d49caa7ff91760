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
    Params,
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
    price, before = float(prices[-1]), float(prices[-1 - lookback])
    usual = indicators.typical_step(prices, _steps_measured(lookback)) * math.sqrt(lookback)
    if not usual > 0:
        return 0.0, f"the price has not moved in {lookback} bars"
    multiple = (price - before) / usual
    percent = 100 * (price / before - 1)
    return graded(multiple), f"{percent:+.2f}% in {lookback} bars, {multiple:+.2f} usual moves"


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
    price = float(prices[-1])
    high, low = indicators.closed_extremes(candles, lookback)
    if low <= price <= high:
        inside = f"inside the {lookback}-bar range {price_text(low)} to {price_text(high)}"
        return 0.0, f"close {price_text(price)} {inside}"
    atr = indicators.closed_atr(candles, lookback)
    if not atr > 0:
        return 0.0, f"the {lookback} bars before stood still: no range to measure a break by"
    if price > high:
        beyond, seen = price - high, f"above the {lookback}-bar high {price_text(high)}"
    else:
        beyond, seen = price - low, f"below the {lookback}-bar low {price_text(low)}"
    # The crossing itself is the trigger, so the distance is counted from 1.
    multiple = math.copysign(1 + abs(beyond) / atr, beyond)
    return graded(multiple), f"close {price_text(price)} {seen}"


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
    quick, slow = indicators.ema(prices, fast), indicators.ema(prices, lookback)
    atr = indicators.closed_atr(candles, lookback)
    if not atr > 0:
        return 0.0, f"the price has not moved in {lookback} bars"
    apart = (quick - slow) / atr
    detail = (
        f"EMA {fast} {price_text(quick)} {'above' if apart > 0 else 'below'} "
        f"EMA {lookback} {price_text(slow)} by {abs(apart):.2f} ATR"
    )
    return graded(apart / _EMA_GAP_ATR), detail


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
    line, signal_line = indicators.macd(prices, fast, lookback, signal)
    atr = indicators.closed_atr(candles, lookback)
    if not atr > 0:
        return 0.0, f"the price has not moved in {lookback} bars"
    apart = (line - signal_line) / atr
    detail = (
        f"MACD {line / atr:+.2f} ATR {'above' if apart > 0 else 'below'} "
        f"its signal line {signal_line / atr:+.2f}"
    )
    return graded(apart / _MACD_GAP_ATR), detail


def _macd_warm_up(params: Params) -> int:
    slow = int(params["lookback"])
    return max(slow + int(params["signal"]) - 2, slow + 1)


MACD_SIGNAL = Strategy(
    name="macd_signal",
    family="momentum",
    description="MACD line against its signal line, their distance in average true ranges",
    function=macd_signal,
    warm_up=_macd_warm_up,
    ordered=(("fast", "lookback"),),
    params=(
        Param("fast", "int", 12, 2, 199, 1, "period of the fast average, in bars"),
        lookback_param(26, 3, 200, "period of the slow average and of the ATR, in bars"),
        Param("signal", "int", 9, 2, 100, 1, "period of the signal line, in bars"),
        threshold_param(),
    ),
)
