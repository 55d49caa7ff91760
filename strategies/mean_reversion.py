"""Strategies that go against the move. Positive: the price is low and expected to come back."""

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

# The usual trigger of a z-score rule, in sample standard deviations.
_Z_TRIGGER = 2.0

# The present price is one of the N it is measured against, so it cannot be further out than about
# sqrt(N) deviations. With fewer bars than this an agent would run and never reach its trigger.
_BARS_MIN = 10

# RSI of a price that gains as much as it loses.
_RSI_MIDDLE = 50.0


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
    if rsi < oversold:
        multiple = (_RSI_MIDDLE - rsi) / (_RSI_MIDDLE - oversold)
        return graded(multiple), lambda: f"RSI {rsi:.1f} < {oversold:g}: oversold"
    if rsi > overbought:
        multiple = (_RSI_MIDDLE - rsi) / (overbought - _RSI_MIDDLE)
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
