"""Strategies that go with the move and ask how steady it is. Positive: the price has been rising.

Their family is momentum; those that take the move at its word are in strategies/momentum.py.
"""

import math

from strategies import estimates, indicators, trend_indicators
from strategies.base import (
    Candles,
    FloatArray,
    Param,
    Reading,
    Strategy,
    lookback_param,
    threshold_param,
)
from strategies.readings import graded

# The one, three and twelve months of the literature, as shares of the longest.
_HORIZON_SHARES = (12, 4, 1)

# Period of the ATR that tells the body of a Heikin-Ashi candle from a doji.
_HEIKIN_ASHI_ATR_BARS = 14

# A Heikin-Ashi candle whose body is smaller than this part of the ATR has no color.
_DOJI_ATR = 0.1

# Runs longer than this many times the lookback say no more.
_RUN_MULTIPLES_MAX = 4

# Change a bar of the triple average, in average true ranges, at which it clearly points somewhere.
_TRIX_ATR = 0.05

# Half of the way gone was gone in one direction.
_CHANDE_TRIGGER = 50.0

# One extreme is younger than the other by half of the lookback.
_AROON_TRIGGER = 50.0


def time_series_momentum(candles: Candles, prices: FloatArray, *, lookback: int) -> Reading:
    """Moves over three horizons in multiples of expected volatility, averaged."""
    step = estimates.smoothed_step(candles.closed)
    if not step > 0:
        return 0.0, "the bars before stood still: no volatility to measure a move by"
    price = candles.newest.close
    horizons = [lookback // share for share in _HORIZON_SHARES]
    moves = [(price - float(prices[-1 - bars])) / (step * math.sqrt(bars)) for bars in horizons]
    multiple = sum(moves) / len(moves)

    def seen() -> str:
        each = [f"{move:+.2f} in {bars}" for move, bars in zip(moves, horizons, strict=True)]
        return f"{multiple:+.2f} usual moves: {', '.join(each)} bars"

    return graded(multiple), seen


TIME_SERIES_MOMENTUM = Strategy(
    name="time_series_momentum",
    family="momentum",
    description="volatility-scaled returns over a short, a middle and a long horizon, averaged",
    function=time_series_momentum,
    warm_up=lambda params: max(int(params["lookback"]), 60),
    params=(
        lookback_param(240, 24, 480, "bars of the long horizon; a quarter and a twelfth join it"),
        threshold_param(),
    ),
)


def heikin_ashi_trend(candles: Candles, prices: FloatArray, *, lookback: int) -> Reading:
    """Heikin-Ashi candles in a row without a wick against them, in multiples of the lookback."""
    atr = indicators.closed_atr(candles, _HEIKIN_ASHI_ATR_BARS)
    if not atr > 0:
        return 0.0, "the bars before stood still: no range to measure a candle by"
    longest = _RUN_MULTIPLES_MAX * lookback
    newest = trend_indicators.heikin_ashi(candles, _DOJI_ATR * atr, longest)
    body = newest.close - newest.open

    def seen() -> str:
        color, wick = ("rising", "lower") if body > 0 else ("falling", "upper")
        candle = f"Heikin-Ashi candle{'' if newest.run == 1 else 's'}"
        size = f"body {abs(body) / atr:.2f} ATR"
        if newest.run:
            return f"{newest.run} {color} {candle} without {wick} wick, {size}"
        if abs(body) < _DOJI_ATR * atr:
            return f"the Heikin-Ashi candle is a doji, {size}"
        return f"a {color} Heikin-Ashi candle with a wick against it, {size}"

    return math.copysign(graded(newest.run / lookback), body), seen


HEIKIN_ASHI_TREND = Strategy(
    name="heikin_ashi_trend",
    family="momentum",
    description="a run of Heikin-Ashi candles of one color, without a wick against them",
    function=heikin_ashi_trend,
    warm_up=lambda params: (
        trend_indicators.HEIKIN_ASHI_SETTLES_BARS + _RUN_MULTIPLES_MAX * int(params["lookback"])
    ),
    params=(
        lookback_param(3, 1, 20, "candles in a row that make a trend"),
        threshold_param(),
    ),
)


def aroon_signal(candles: Candles, prices: FloatArray, *, lookback: int) -> Reading:
    """Which extreme of the lookback is the younger one, and by how much."""
    high_age, low_age = trend_indicators.aroon_ages(candles, lookback)
    oscillator = 100 * (low_age - high_age) / lookback
    return (
        graded(oscillator / _AROON_TRIGGER),
        lambda: (
            f"Aroon {oscillator:+.0f}: of {lookback} bars, {high_age} since the highest high, "
            f"{low_age} since the lowest low"
        ),
    )


AROON_SIGNAL = Strategy(
    name="aroon_signal",
    family="momentum",
    description="Aroon oscillator: a high that is younger than the low is bullish",
    function=aroon_signal,
    warm_up=lambda params: int(params["lookback"]),
    params=(
        lookback_param(25, 4, 200, "bars whose highest high and lowest low are looked for"),
        threshold_param(),
    ),
)


def trix_signal(candles: Candles, prices: FloatArray, *, lookback: int, signal: int) -> Reading:
    """Slope of the triple EMA in ATRs while it grows; 0 while it is on its way back."""
    slope, signal_line = indicators.trix(candles, lookback, signal)
    atr = indicators.closed_atr(candles, lookback)
    if not atr > 0:
        return 0.0, lambda: f"the {lookback} bars before stood still"

    def seen(then: str) -> str:
        return f"TRIX {slope / atr:+.3f} ATR a bar, signal line {signal_line / atr:+.3f}: {then}"

    if slope * (slope - signal_line) <= 0:
        return 0.0, lambda: seen("fading")
    return graded(slope / atr / _TRIX_ATR), lambda: seen("up" if slope > 0 else "down")


TRIX_SIGNAL = Strategy(
    name="trix_signal",
    family="momentum",
    description="slope of the triple exponential average while it is beyond its signal line",
    function=trix_signal,
    warm_up=lambda params: 3 * (int(params["lookback"]) - 1) + int(params["signal"]) + 1,
    params=(
        lookback_param(15, 2, 100, "period of each of the three averages and of the ATR, in bars"),
        Param("signal", "int", 9, 2, 100, 1, "period of the signal line, in bars"),
        threshold_param(),
    ),
)


def chande_momentum(candles: Candles, prices: FloatArray, *, lookback: int) -> Reading:
    """Net change over the way gone: 100 is a straight line up, 0 a price that came back."""
    momentum = trend_indicators.chande_momentum(candles, lookback)
    if math.isnan(momentum):
        return 0.0, lambda: f"the price has not moved in {lookback} bars"
    return (
        graded(momentum / _CHANDE_TRIGGER),
        lambda: (
            f"CMO {momentum:+.1f}: {'rose' if momentum > 0 else 'fell'} by {abs(momentum):.0f}% "
            f"of the way gone in {lookback} bars"
        ),
    )


CHANDE_MOMENTUM = Strategy(
    name="chande_momentum",
    family="momentum",
    description="Chande momentum oscillator: how straight the price went up or down",
    function=chande_momentum,
    warm_up=lambda params: int(params["lookback"]),
    params=(
        lookback_param(14, 4, 200, "changes that are added up, the forming bar's included"),
        threshold_param(),
    ),
)
