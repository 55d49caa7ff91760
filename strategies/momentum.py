"""Strategies that go with the move. Positive: the price has been rising.

Distances are measured in average true ranges or typical steps, never in price, so that they mean
the same on every symbol and timeframe.
"""

import math

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

# Fewer changes than this say too little about how far the price usually goes in a bar.
_STEPS_MEASURED_MIN = 20


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


def dual_momentum(candles: Candles, prices: FloatArray, *, short: int, lookback: int) -> Reading:
    """The weaker of two: the return over the lookback, and its latest pace against that before."""
    price = candles.newest.close
    gained, lately = price - float(prices[-1 - lookback]), price - float(prices[-1 - short])
    step = indicators.typical_step(candles, _steps_measured(lookback))
    if not step > 0:
        return 0.0, f"the price has not moved in {lookback} bars"
    absolute = gained / (step * math.sqrt(lookback))
    # The two paces share the latest bars; a random walk sets them this far apart.
    apart = step * math.sqrt(1 / short - 1 / lookback)
    relative = (lately / short - gained / lookback) / apart

    def seen() -> str:
        change = 100 * (price / (price - gained) - 1)
        pace = "gain on" if relative > 0 else "fall behind"
        return (
            f"{change:+.2f}% in {lookback} bars, {absolute:+.2f} usual moves; "
            f"the last {short} bars {pace} that pace by {abs(relative):.2f}"
        )

    if absolute * relative <= 0:
        return 0.0, lambda: f"{seen()}: they disagree"
    return graded(math.copysign(min(abs(absolute), abs(relative)), absolute)), seen


DUAL_MOMENTUM = Strategy(
    name="dual_momentum",
    family="momentum",
    description="the price has risen and rises faster of late: long and short momentum agree",
    function=dual_momentum,
    warm_up=lambda params: _steps_measured(int(params["lookback"])),
    ordered=(("short", "lookback"),),
    params=(
        Param("short", "int", 5, 2, 199, 1, "bars of the short return"),
        lookback_param(20, 3, 200, "bars of the long return"),
        threshold_param(),
    ),
)


def breakout(candles: Candles, prices: FloatArray, *, lookback: int) -> Reading:
    """Distance beyond the range of the last closed bars; 0 while the price is inside."""
    price = candles.newest.close
    high, low = levels.closed_extremes(candles, lookback)
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


def donchian_channel(candles: Candles, prices: FloatArray, *, lookback: int) -> Reading:
    """Position in the channel of the last closed bars: -1 at its lower edge, +1 at its upper."""
    price = candles.newest.close
    high, low = levels.closed_extremes(candles, lookback)
    half = (high - low) / 2
    if not half > 0:
        return 0.0, f"the {lookback} bars before stood still: a channel of no height"
    position = (price - (high + low) / 2) / half

    def seen() -> str:
        channel = f"the {lookback}-bar channel {price_text(low)} to {price_text(high)}"
        if abs(position) <= 1:
            return f"close {price_text(price)} at {50 * (position + 1):.0f}% of {channel}"
        return f"close {price_text(price)} {'above' if position > 0 else 'below'} {channel}"

    return graded(position), seen


DONCHIAN_CHANNEL = Strategy(
    name="donchian_channel",
    family="momentum",
    description="position of the price in the Donchian channel; beyond its upper edge is bullish",
    function=donchian_channel,
    warm_up=lambda params: int(params["lookback"]),
    params=(
        lookback_param(20, 2, 200, "closed bars whose extremes are the edges; 55 is usual, too"),
        threshold_param(),
    ),
)
