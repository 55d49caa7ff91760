"""Strategies that weigh a move before they go with it: by volume, by trend strength, by the cloud.

Only those that declare `needs_volume` read volumes; the others are of this family by custom.
"""

import math

from strategies import indicators, trend_indicators
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


def obv_trend(candles: Candles, prices: FloatArray, *, lookback: int) -> Reading:
    """Change of on-balance volume in usual changes; 0 where the price went the other way."""
    balance, usual = trend_indicators.volume_balance(candles, lookback)
    if not usual > 0:
        return 0.0, lambda: f"no volume in {lookback} bars"
    multiple = balance / usual
    before = float(prices[-1 - lookback])
    move = candles.newest.close - before

    def seen(then: str) -> str:
        percent = 100 * move / before
        changes = f"{multiple:+.2f} usual changes in {lookback} bars"
        return f"OBV {changes}, price {percent:+.2f}%: {then}"

    if balance * move <= 0:
        return 0.0, lambda: seen("not confirmed")
    return graded(multiple), lambda: seen("confirmed")


OBV_TREND = Strategy(
    name="obv_trend",
    family="volume",
    description="trend of on-balance volume where the price confirms it",
    function=obv_trend,
    warm_up=lambda params: int(params["lookback"]),
    needs_volume=True,
    params=(
        lookback_param(10, 3, 200, "bars over which the balance of volume is taken"),
        threshold_param(),
    ),
)


def adx_filter(candles: Candles, prices: FloatArray, *, lookback: int, adx_min: float) -> Reading:
    """ADX in multiples of its threshold with the sign of +DI less -DI; 0 below the threshold."""
    adx, share = trend_indicators.directional(candles, lookback)
    if adx < adx_min:
        return 0.0, lambda: f"ADX {adx:.1f} < {adx_min:g}: no trend"
    if share == 0:
        return 0.0, lambda: f"ADX {adx:.1f} >= {adx_min:g}: +DI and -DI are level"
    return (
        math.copysign(graded(adx / adx_min), share),
        lambda: (
            f"ADX {adx:.1f} >= {adx_min:g}: trend {'up' if share > 0 else 'down'}, "
            f"+DI {'above' if share > 0 else 'below'} -DI by {abs(share):.0%} of their sum"
        ),
    )


ADX_FILTER = Strategy(
    name="adx_filter",
    family="volume",
    description="direction of +DI and -DI while the ADX says that there is a trend",
    function=adx_filter,
    warm_up=lambda params: 2 * int(params["lookback"]),
    params=(
        lookback_param(14, 2, 100, "period of ADX, +DI and -DI, in bars"),
        Param("adx_min", "float", 25.0, 5.0, 75.0, 0.5, "ADX from which there is a trend"),
        threshold_param(),
    ),
)


def ichimoku_signal(
    candles: Candles, prices: FloatArray, *, tenkan: int, lookback: int, senkou: int
) -> Reading:
    """Tenkan against Kijun while the price is beyond the cloud on the same side; else 0."""
    quick = trend_indicators.midpoint(candles, tenkan)
    base = trend_indicators.midpoint(candles, lookback)
    bottom, top = trend_indicators.cloud(candles, tenkan, lookback, senkou)
    atr = indicators.closed_atr(candles, lookback)
    if not atr > 0:
        return 0.0, lambda: f"the {lookback} bars before stood still"
    price = candles.newest.close
    place = (price > top) - (price < bottom)
    cross = (quick > base) - (quick < base)
    # Both conditions together are the trigger, so the distance of the lines is counted from 1.
    strength = graded(1 + abs(quick - base) / atr) if place == cross else 0.0
    return (
        place * strength,
        lambda: (
            f"close {price_text(price)} {_PLACED[place]} the cloud "
            f"{price_text(bottom)} to {price_text(top)}, "
            f"Tenkan {price_text(quick)} {_COMPARED[cross]} Kijun {price_text(base)}"
        ),
    )


_COMPARED = {+1: "above", 0: "level with", -1: "below"}
_PLACED = {+1: "above", 0: "inside", -1: "below"}

ICHIMOKU_SIGNAL = Strategy(
    name="ichimoku_signal",
    family="volume",
    description="Tenkan above Kijun and price above the cloud is bullish, both below bearish",
    function=ichimoku_signal,
    warm_up=lambda params: int(params["senkou"]) + int(params["lookback"]) - 1,
    ordered=(("tenkan", "lookback"), ("lookback", "senkou")),
    params=(
        Param("tenkan", "int", 9, 2, 119, 1, "period of the Tenkan line, in bars"),
        lookback_param(26, 3, 120, "period of the Kijun line and shift of the cloud, in bars"),
        Param("senkou", "int", 52, 4, 240, 1, "period of the cloud's slow edge, in bars"),
        threshold_param(),
    ),
)


def money_flow_index(
    candles: Candles, prices: FloatArray, *, lookback: int, oversold: float, overbought: float
) -> Reading:
    """How far the MFI is beyond its oversold or overbought line; 0 between the two."""
    mfi = trend_indicators.money_flow_index(candles, lookback)
    multiple = beyond_lines(mfi, oversold, overbought)
    if multiple > 0:
        return graded(multiple), lambda: f"MFI {mfi:.1f} < {oversold:g}: money has left"
    if multiple < 0:
        return graded(multiple), lambda: f"MFI {mfi:.1f} > {overbought:g}: money has crowded in"
    if math.isnan(mfi):
        return 0.0, lambda: f"no money moved the price in {lookback} bars"
    return 0.0, lambda: f"MFI {mfi:.1f} between {oversold:g} and {overbought:g}"


MONEY_FLOW_INDEX = Strategy(
    name="money_flow_index",
    family="volume",
    description="RSI weighed by money traded: below oversold is bullish, above overbought bearish",
    function=money_flow_index,
    warm_up=lambda params: int(params["lookback"]),
    needs_volume=True,
    params=(
        lookback_param(14, 2, 100, "bars whose money flow is added up"),
        Param("oversold", "float", 20.0, 5.0, 49.0, 0.5, "MFI below which the price is low"),
        Param("overbought", "float", 80.0, 51.0, 95.0, 0.5, "MFI above which the price is high"),
        threshold_param(),
    ),
)
