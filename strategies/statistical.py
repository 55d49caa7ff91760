"""Strategies that hold the price against a model of it. Positive: the model expects it to rise.

The models are fitted on closed bars, but for the regression line, which takes the newest price in.
"""

import math

from strategies import estimates, indicators
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

# Innovations outside of this many deviations are those that the model expects once in twenty bars.
_KALMAN_TRIGGER = 2.0

# Where Avellaneda and Lee open: deviations in equilibrium from the mean.
_S_SCORE_TRIGGER = 1.25


def linear_regression_channel(
    candles: Candles, prices: FloatArray, *, lookback: int, width: float
) -> Reading:
    """Distance from the regression line in half-widths of its channel, inverted."""
    line = estimates.regression_line(candles, lookback)
    half = width * line.deviation
    if not half > 0:
        return 0.0, lambda: f"the closes of {lookback} bars lie on one line"
    price = candles.newest.close
    multiple = (price - line.end) / half

    def seen() -> str:
        slope = f"{'rising' if line.slope > 0 else 'falling'} {lookback}-bar line"
        low, high = price_text(line.end - half), price_text(line.end + half)
        if abs(multiple) < 1:
            return f"close {price_text(price)} inside {low} to {high} of the {slope}"
        edge = f"above the upper edge {high}" if multiple > 0 else f"below the lower edge {low}"
        return f"close {price_text(price)} {edge} of the {slope}"

    return graded(-multiple), seen


LINEAR_REGRESSION_CHANNEL = Strategy(
    name="linear_regression_channel",
    family="statistical",
    description="return to the regression line: below the lower edge of its channel is bullish",
    function=linear_regression_channel,
    warm_up=lambda params: int(params["lookback"]) - 1,
    params=(
        lookback_param(20, 10, 200, "bars of the regression line, the forming one included"),
        Param("width", "float", 2.0, 0.5, 3.0, 0.1, "half-width, in deviations from the line"),
        threshold_param(),
    ),
)


def kalman_fair_value(
    candles: Candles,
    prices: FloatArray,
    *,
    lookback: int,
    process_noise: float,
    measurement_noise: float,
) -> Reading:
    """Distance from what the filter expects, in deviations of that expectation, inverted."""
    fair = estimates.kalman_level(candles.closed, lookback, process_noise / measurement_noise)
    if not fair.deviation > 0:
        return 0.0, lambda: f"the price has not moved in {lookback} bars"
    price = candles.newest.close
    deviations = (price - fair.price) / fair.deviation
    return (
        graded(-deviations / _KALMAN_TRIGGER),
        lambda: (
            f"close {price_text(price)} is {abs(deviations):.2f} deviations "
            f"{'above' if deviations > 0 else 'below'} the fair value {price_text(fair.price)}"
        ),
    )


KALMAN_FAIR_VALUE = Strategy(
    name="kalman_fair_value",
    family="statistical",
    description="price against its one-dimensional Kalman estimate: below it is bullish",
    function=kalman_fair_value,
    warm_up=lambda params: int(params["lookback"]) + 1,
    params=(
        lookback_param(20, 10, 200, "closed bars that say how far the price goes in a bar"),
        Param(
            "process_noise", "float", 0.01, 0.001, 1.0, 0.001,
            "variance of the fair value's own steps; larger follows the price faster",
        ),
        Param(
            "measurement_noise", "float", 0.1, 0.01, 10.0, 0.01,
            "variance of the price around its fair value; larger follows more slowly",
        ),
        threshold_param(),
    ),
)  # fmt: skip


def ou_reversion(
    candles: Candles, prices: FloatArray, *, lookback: int, half_life_max: float
) -> Reading:
    """Distance from the mean of an Ornstein-Uhlenbeck fit, inverted; 0 where the pull is weak."""
    pull = estimates.pull_to_mean(candles.closed, lookback)
    if math.isinf(pull.half_life):
        return 0.0, lambda: f"no pull to a mean in {lookback} bars"
    if pull.half_life > half_life_max:
        return (
            0.0,
            lambda: f"half-life {pull.half_life:.1f} bars > {half_life_max:g}: the pull is weak",
        )
    if not pull.deviation > 0:
        return 0.0, lambda: f"the closes of {lookback} bars have no noise to measure by"
    score = (candles.newest.close - pull.mean) / pull.deviation
    return (
        graded(-score / _S_SCORE_TRIGGER),
        lambda: (
            f"{score:+.2f} deviations from the mean {price_text(pull.mean)}, "
            f"half-life {pull.half_life:.1f} bars"
        ),
    )


OU_REVERSION = Strategy(
    name="ou_reversion",
    family="statistical",
    description="return to the mean of an Ornstein-Uhlenbeck process with a short half-life",
    function=ou_reversion,
    warm_up=lambda params: int(params["lookback"]),
    params=(
        lookback_param(60, 20, 400, "closed bars that the process is fitted to"),
        Param(
            "half_life_max", "float", 5.0, 0.5, 100.0, 0.5,
            "bars within which half of a distance must come back, or the strategy is silent",
        ),
        threshold_param(),
    ),
)  # fmt: skip


def variance_ratio(
    candles: Candles, prices: FloatArray, *, lookback: int, horizon: int, significance: float
) -> Reading:
    """The last move, followed where moves persist and faded where they come back; else 0."""
    tested = estimates.variance_ratio(candles.closed, lookback, horizon)
    if tested is None:
        return 0.0, lambda: f"too few of {lookback} bars moved the price to tell a regime"

    def regime(of: str) -> str:
        return f"variance ratio {tested.ratio:.2f} (z {tested.z:+.1f}): {of}"

    if abs(tested.z) < significance:
        return 0.0, lambda: regime("a random walk")
    usual = indicators.typical_step(candles.closed, lookback) * math.sqrt(horizon)
    move = (candles.newest.close - float(prices[-1 - horizon])) / usual
    persists = tested.z > 0
    kind = "moves go on; followed" if persists else "moves come back; faded"
    return (
        graded(move if persists else -move),
        lambda: f"{regime(kind)} {move:+.2f} usual moves in {horizon} bars",
    )


VARIANCE_RATIO = Strategy(
    name="variance_ratio",
    family="statistical",
    description="follows the last move where moves persist, fades it where they come back",
    function=variance_ratio,
    warm_up=lambda params: int(params["lookback"]) + 1,
    params=(
        lookback_param(100, 40, 400, "changes of closed bars that are tested"),
        Param("horizon", "int", 4, 2, 16, 1, "bars of the longer change, and of the move"),
        Param(
            "significance", "float", 1.6, 0.5, 4.0, 0.1,
            "standard errors from a random walk from which a regime is believed",
        ),
        threshold_param(),
    ),
)  # fmt: skip
