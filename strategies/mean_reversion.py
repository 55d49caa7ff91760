"""Strategies that go against the move. Positive: the price is low and expected to come back."""

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
from strategies.readings import beyond_lines, graded, price_text

# The usual trigger of a z-score rule, in sample standard deviations.
_Z_TRIGGER = 2.0

# The present price is one of the N it is measured against, so it cannot be further out than about
# sqrt(N) deviations. With fewer bars than this an agent would run and never reach its trigger.
_BARS_MIN = 10


def z_score(candles: Candles, prices: FloatArray, *, lookback: int) -> Reading:
    """Distance from the rolling mean in sample standard deviations, inverted."""
    mean, population = indicators.mean_and_deviation(candles, lookback)
    deviation = population * math.sqrt(lookback / (lookback - 1))
    if not deviation > 0:
        return 0.0, f"the price has not moved in {lookback} bars"
    price = candles.newest.close
    z = (price - mean) / deviation
    return (
        graded(-z / _Z_TRIGGER),
        lambda: (
            f"z-score {z:+.2f}: close {price_text(price)} {'above' if z > 0 else 'below'} "
            f"the {lookback}-bar mean {price_text(mean)}"
        ),
    )


Z_SCORE = Strategy(
    name="z_score",
    family="mean reversion",
    description="z-score of the price against its rolling mean, inverted: low is bullish",
    function=z_score,
    warm_up=lambda params: int(params["lookback"]) - 1,
    params=(
        lookback_param(20, _BARS_MIN, 200, "bars of the rolling mean, the forming one included"),
        threshold_param(),
    ),
)


def bollinger_reversion(
    candles: Candles, prices: FloatArray, *, lookback: int, width: float
) -> Reading:
    """Distance from the middle Bollinger band in half-widths of the bands, inverted."""
    middle, deviation = indicators.mean_and_deviation(candles, lookback)
    half = width * deviation
    if not half > 0:
        return 0.0, f"the price has not moved in {lookback} bars"
    price = candles.newest.close
    multiple = (price - middle) / half
    return graded(
        -multiple
    ), lambda: f"close {price_text(price)} {_where_in_bands(multiple, middle, half)}"


def _where_in_bands(multiple: float, middle: float, half: float) -> str:
    """In words, where a price is that is `multiple` half-widths above the middle band."""
    if abs(multiple) < 1:
        return f"between the bands {price_text(middle - half)} and {price_text(middle + half)}"
    band, where = ("upper", "above") if multiple > 0 else ("lower", "below")
    return f"{where} the {band} band {price_text(middle + math.copysign(half, multiple))}"


BOLLINGER_REVERSION = Strategy(
    name="bollinger_reversion",
    family="mean reversion",
    description="return to the middle Bollinger band: below the lower band is bullish",
    function=bollinger_reversion,
    warm_up=lambda params: int(params["lookback"]) - 1,
    params=(
        lookback_param(20, _BARS_MIN, 200, "bars of the middle band, the forming one included"),
        Param("width", "float", 2.0, 0.5, 3.0, 0.1, "half-width of the bands, in deviations"),
        threshold_param(),
    ),
)


def rsi_signal(
    candles: Candles, prices: FloatArray, *, lookback: int, oversold: float, overbought: float
) -> Reading:
    """How far the RSI is beyond its oversold or overbought line; 0 between the two."""
    rsi = indicators.rsi(candles, lookback)
    multiple = beyond_lines(rsi, oversold, overbought)
    if multiple > 0:
        return graded(multiple), lambda: f"RSI {rsi:.1f} < {oversold:g}: oversold"
    if multiple < 0:
        return graded(multiple), lambda: f"RSI {rsi:.1f} > {overbought:g}: overbought"
    if math.isnan(rsi):
        return 0.0, f"the price has not moved in {len(prices)} bars"
    return 0.0, lambda: f"RSI {rsi:.1f} between {oversold:g} and {overbought:g}"


RSI_SIGNAL = Strategy(
    name="rsi_signal",
    family="mean reversion",
    description="RSI below oversold is bullish, above overbought bearish, between them neutral",
    function=rsi_signal,
    warm_up=lambda params: int(params["lookback"]) + 1,
    params=(
        lookback_param(14, 2, 100, "period of the RSI, in bars"),
        Param("oversold", "float", 30.0, 5.0, 49.0, 0.5, "RSI below which the price is low"),
        Param("overbought", "float", 70.0, 51.0, 95.0, 0.5, "RSI above which the price is high"),
        threshold_param(),
    ),
)


def stochastic_signal(
    candles: Candles,
    prices: FloatArray,
    *,
    lookback: int,
    smooth: int,
    oversold: float,
    overbought: float,
) -> Reading:
    """A cross of %K through %D that began beyond the oversold or overbought line; else 0."""
    k_before, d_before, k, d = levels.stochastic(candles, lookback, smooth)
    multiple = beyond_lines(d_before, oversold, overbought)
    if multiple > 0 and k_before <= d_before and k > d:
        return (
            graded(multiple),
            lambda: (
                f"%K {k:.1f} crosses above %D {d:.1f}, which was {d_before:.1f} < {oversold:g}: "
                "oversold"
            ),
        )
    if multiple < 0 and k_before >= d_before and k < d:
        return (
            graded(multiple),
            lambda: (
                f"%K {k:.1f} crosses below %D {d:.1f}, which was {d_before:.1f} > {overbought:g}: "
                "overbought"
            ),
        )
    return (
        0.0,
        lambda: f"%K {k:.1f}, %D {d:.1f}: no cross below {oversold:g} or above {overbought:g}",
    )


STOCHASTIC_SIGNAL = Strategy(
    name="stochastic_signal",
    family="mean reversion",
    description="%K crosses above %D in the oversold zone (bullish) or below it in the overbought",
    function=stochastic_signal,
    warm_up=lambda params: int(params["lookback"]) + int(params["smooth"]) - 1,
    params=(
        lookback_param(14, 3, 200, "bars of %K, the forming one included"),
        Param("smooth", "int", 3, 2, 50, 1, "values of %K that are averaged to %D"),
        Param("oversold", "float", 20.0, 5.0, 49.0, 0.5, "%D below which the price is low"),
        Param("overbought", "float", 80.0, 51.0, 95.0, 0.5, "%D above which the price is high"),
        threshold_param(),
    ),
)


def range_sr(
    candles: Candles, prices: FloatArray, *, lookback: int, zone: float, touches: int
) -> Reading:
    """Nearness to support (bullish) or resistance, as long as the level holds; else 0."""
    support, resistance, reach, lows, highs = levels.support_and_resistance(
        candles.closed, lookback, zone
    )
    price = candles.newest.close
    if not reach > 0:
        return 0.0, f"the {lookback} bars before stood still: no range to fade"
    if resistance - support <= 2 * reach:
        return (
            0.0,
            lambda: (
                f"support {price_text(support)} and resistance {price_text(resistance)} are "
                "too close to each other"
            ),
        )
    near_support = price - support <= reach
    if not near_support and resistance - price > reach:
        return (
            0.0,
            lambda: (
                f"close {price_text(price)} between support {price_text(support)} "
                f"and resistance {price_text(resistance)}"
            ),
        )
    # Positive: still inside the range.
    inside = price - support if near_support else resistance - price
    tested = lows if near_support else highs

    def seen(then: str) -> str:
        name, level = ("support", support) if near_support else ("resistance", resistance)
        return f"close {price_text(price)} at {name} {price_text(level)}, {then}"

    if tested < touches:
        return 0.0, lambda: seen(f"which {tested} of {lookback} bars have tested")
    if inside <= -reach:
        return 0.0, lambda: seen("which is broken")
    # 1 where the zone begins, 2 at the level, and nothing is left once it has given way.
    multiple = 2 - inside / reach if inside >= 0 else 2 + 2 * inside / reach
    signal = graded(multiple if near_support else -multiple)
    return signal, lambda: seen(f"tested by {tested} of {lookback} bars")


RANGE_SR = Strategy(
    name="range_sr",
    family="mean reversion",
    description="fades recent support and resistance: near a support that holds is bullish",
    function=range_sr,
    warm_up=lambda params: int(params["lookback"]) + 1,
    params=(
        lookback_param(20, 5, 200, "closed bars whose extremes are support and resistance"),
        Param("zone", "float", 0.5, 0.1, 3.0, 0.1, "ATRs within which a price is at a level"),
        Param("touches", "int", 2, 1, 10, 1, "bars that must have come so near to the level"),
        threshold_param(),
    ),
)


def bollinger_squeeze(
    candles: Candles,
    prices: FloatArray,
    *,
    lookback: int,
    width: float,
    narrow: float,
    widen: float,
) -> Reading:
    """How much the price widens bands that were narrow, with its side of the middle band."""
    before, bandwidth, narrower = levels.narrowness(candles.closed, lookback)
    if not before > 0:
        return 0.0, f"the price has not moved in {lookback} bars"
    if bandwidth >= width:
        return 0.0, lambda: f"no squeeze: bands of {bandwidth:.1%} are not below {width:.0%}"
    if narrower > narrow:
        return 0.0, lambda: f"no squeeze: {100 * narrower:.0f}% of the bands before were narrower"
    middle, deviation = indicators.mean_and_deviation(candles, lookback)
    widened = deviation / before - 1
    price = candles.newest.close

    def seen(then: str) -> str:
        squeeze = f"squeeze, {100 * narrower:.0f}% of the bands before were narrower"
        return f"{squeeze}: {then} by {100 * abs(widened):.0f}%"

    if widened < widen:
        return 0.0, lambda: seen("wider" if widened > 0 else "narrower")
    return (
        graded(math.copysign(widened / widen, price - middle)),
        lambda: (
            f"{seen('wider')}, close {price_text(price)} {'above' if price > middle else 'below'} "
            f"the middle band {price_text(middle)}"
        ),
    )


BOLLINGER_SQUEEZE = Strategy(
    name="bollinger_squeeze",
    family="mean reversion",
    description="bands that were narrow widen: in the direction in which the price widens them",
    function=bollinger_squeeze,
    warm_up=lambda params: 2 * int(params["lookback"]),
    version=2,
    params=(
        lookback_param(20, _BARS_MIN, 200, "bars of the bands"),
        Param(
            "width",
            "float",
            0.1,
            0.01,
            1.0,
            0.01,
            "distance of the bands, by their middle, below which they are narrow",
        ),
        Param("narrow", "float", 0.25, 0.05, 1.0, 0.05, "share of the bands that may be narrower"),
        Param("widen", "float", 0.1, 0.01, 1.0, 0.01, "share by which the bands must widen"),
        threshold_param(),
    ),
)
