"""Strategies that act on how much the price moves. Positive: the move is upwards."""

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


def atr_breakout(
    candles: Candles, prices: FloatArray, *, lookback: int, multiple: float
) -> Reading:
    """Range of the forming bar in usual ranges, with the bar's direction; 0 while it is normal."""
    atr = indicators.closed_atr(candles, lookback)
    reach = indicators.forming_true_range(candles)
    body = candles.newest.close - candles.newest.open
    if not atr > 0:
        return 0.0, "the bars before stood still: no range to measure this one by"
    ranges = reach / atr

    def seen(then: str) -> str:
        return f"range {price_text(reach)} is {ranges:.2f} x ATR {price_text(atr)}{then}"

    if ranges < multiple:
        return 0.0, lambda: seen(f", below {multiple:g}")
    if body == 0:
        return 0.0, lambda: seen(", without direction")
    strength = math.copysign(graded(ranges / multiple), body)
    return strength, lambda: seen(": up" if body > 0 else ": down")


ATR_BREAKOUT = Strategy(
    name="atr_breakout",
    family="volatility",
    description="the bar's range expands against the ATR, in the bar's direction",
    function=atr_breakout,
    warm_up=lambda params: int(params["lookback"]) + 1,
    params=(
        lookback_param(14, 2, 200, "period of the ATR, in closed bars"),
        Param("multiple", "float", 1.5, 0.5, 10.0, 0.1, "ATRs from which a range has expanded"),
        threshold_param(),
    ),
)
