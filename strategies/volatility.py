"""Strategies that measure the price by how much it moves.

Positive: it breaks out upwards; for vwap_deviation, it has fallen below what others have paid.
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


def keltner_bollinger(
    candles: Candles, prices: FloatArray, *, lookback: int, width: float, multiple: float
) -> Reading:
    """Position in the Keltner channel while the Bollinger band on that side lies outside it."""
    atr = indicators.closed_atr(candles, lookback)
    if not atr > 0:
        return 0.0, f"the price has not moved in {lookback} bars"
    price, half = candles.newest.close, multiple * atr
    middle = indicators.ema(candles, lookback)
    mean, deviation = indicators.mean_and_deviation(candles, lookback)
    side = math.copysign(1.0, price - middle)
    band, edge = mean + side * width * deviation, middle + side * half
    name = "upper" if side > 0 else "lower"
    if (band - edge) * side <= 0:
        return (
            0.0,
            lambda: (
                f"quiet: the {name} Bollinger band {price_text(band)} is inside "
                f"the Keltner channel's edge {price_text(edge)}"
            ),
        )
    position = (price - middle) / half
    return (
        graded(position),
        lambda: (
            f"close {price_text(price)} {'beyond' if abs(position) >= 1 else 'within'} "
            f"the Keltner channel's {name} edge {price_text(edge)}, "
            f"Bollinger band outside at {price_text(band)}"
        ),
    )


KELTNER_BOLLINGER = Strategy(
    name="keltner_bollinger",
    family="volatility",
    description="break of the Keltner channel once the Bollinger bands have left it",
    function=keltner_bollinger,
    warm_up=lambda params: int(params["lookback"]) + 1,
    params=(
        lookback_param(20, 5, 200, "bars of both middles, of the deviation and of the ATR"),
        Param(
            "width", "float", 2.0, 0.5, 5.0, 0.1, "half-width of the Bollinger bands, deviations"
        ),
        Param(
            "multiple", "float", 2.0, 0.5, 5.0, 0.1, "half-width of the Keltner channel, in ATRs"
        ),
        threshold_param(),
    ),
)


def vwap_deviation(candles: Candles, prices: FloatArray, *, lookback: int, width: float) -> Reading:
    """Distance from the volume-weighted average price in weighted deviations, inverted."""
    vwap, deviation = levels.vwap_and_deviation(candles, lookback)
    if math.isnan(vwap):
        return 0.0, f"nothing was traded in {lookback} bars"
    if not deviation > 0:
        return 0.0, f"the price has not moved in {lookback} bars"
    price = candles.newest.close
    apart = (price - vwap) / deviation
    return (
        graded(-apart / width),
        lambda: (
            f"close {price_text(price)} {abs(apart):.2f} deviations "
            f"{'above' if apart > 0 else 'below'} the {lookback}-bar VWAP {price_text(vwap)}"
        ),
    )


VWAP_DEVIATION = Strategy(
    name="vwap_deviation",
    family="volatility",
    description="distance of the price from the rolling VWAP, inverted: below it is bullish",
    function=vwap_deviation,
    warm_up=lambda params: int(params["lookback"]),
    needs_volume=True,
    params=(
        lookback_param(50, 5, 400, "bars of the VWAP, the forming one included"),
        Param("width", "float", 2.0, 0.5, 5.0, 0.1, "deviations at which a band lies"),
        threshold_param(),
    ),
)


@indicators.once
def _narrowest(bars: Candles, period: int) -> float:
    """Smallest range of the last `period` bars."""
    return float((bars.high[-period:] - bars.low[-period:]).min())


def narrow_range_breakout(candles: Candles, prices: FloatArray, *, lookback: int) -> Reading:
    """Distance beyond the last closed bar, if it was the narrowest of the lookback; else 0."""
    narrow, least = candles.closed.newest, _narrowest(candles.closed, lookback)
    high, low = narrow.high, narrow.low
    if high - low > least:
        return (
            0.0,
            lambda: (
                f"the last closed bar is not the narrowest of {lookback}: "
                f"range {price_text(high - low)} > {price_text(least)}"
            ),
        )
    atr = indicators.closed_atr(candles, lookback)
    if not atr > 0:
        return 0.0, lambda: f"the {lookback} bars before stood still: no range to measure by"
    price = candles.newest.close
    beyond = price - high if price > high else min(price - low, 0.0)

    def seen() -> str:
        where = "above" if beyond > 0 else "below" if beyond < 0 else "inside"
        bar = f"the narrowest bar of {lookback}, {price_text(low)} to {price_text(high)}"
        return f"close {price_text(price)} {where} {bar}"

    # The crossing itself is the trigger, so the distance is counted from 1.
    return (graded(math.copysign(1 + abs(beyond) / atr, beyond)) if beyond else 0.0), seen


NARROW_RANGE_BREAKOUT = Strategy(
    name="narrow_range_breakout",
    family="volatility",
    description="price beyond the last closed bar where that was the narrowest of the lookback",
    function=narrow_range_breakout,
    warm_up=lambda params: int(params["lookback"]) + 1,
    params=(
        lookback_param(7, 3, 50, "closed bars of which the newest must have the smallest range"),
        threshold_param(),
    ),
)
