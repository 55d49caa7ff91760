"""Statistical estimates that TA-Lib does not have, or has only half of.

They work on differences of prices, never on logarithms, so that mirrored prices give mirrored
answers, and are made `once` for closed bars. None of them loops over bars in every slot.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from strategies.base import WINDOW_BARS, Candles, FloatArray
from strategies.indicators import ROUNDING, once, typical_step

# Fewer changes of one size than this tell no regime.
_CHANGES_MIN = 10

# Moskowitz, Ooi and Pedersen weigh squared changes with a center of mass of 60 bars.
_VOLATILITY_CENTER_BARS = 60
_volatility_weights = np.power(
    _VOLATILITY_CENTER_BARS / (_VOLATILITY_CENTER_BARS + 1),
    np.arange(WINDOW_BARS, 0, -1, dtype=np.float64),
)
_volatility_weights.flags.writeable = False


@once
def smoothed_step(bars: Candles) -> float:
    """Root mean square change from close to close, newer bars weighing more, in price."""
    squares = np.square(bars.close[1:] - bars.close[:-1])
    weights = _volatility_weights[-len(squares) :]
    return math.sqrt(weights.dot(squares) / weights.sum())


class Line(NamedTuple):
    """A least-squares line through the newest prices."""

    end: float  # its value at the newest bar
    slope: float  # price a bar
    deviation: float  # standard error of the estimate, N - 2 degrees of freedom; 0 = all on it


@once
def _moments(bars: Candles, period: int) -> tuple[float, float, float]:
    """Sums of d, of i x d and of d x d, d being closes less the newest, i counting from 0."""
    apart = bars.close[-period:] - bars.newest.close
    return float(apart.sum()), float(apart.dot(np.arange(float(period)))), float(apart.dot(apart))


def regression_line(candles: Candles, period: int) -> Line:
    """The line through the last `period` prices, and how far they lie from it."""
    total, sloped, squares = _moments(candles.closed, period - 1)
    base = candles.closed.newest.close
    apart = candles.newest.close - base
    total += apart
    sloped += (period - 1) * apart
    squares += apart * apart
    middle, spread = (period - 1) / 2, period * (period * period - 1) / 12
    slope = (sloped - middle * total) / spread
    scatter = squares - total * total / period
    unexplained = scatter - slope * slope * spread
    # What the subtractions leave of prices on one line is rounding, not deviation.
    on_line = unexplained <= 1e-12 * squares or math.sqrt(unexplained / period) <= ROUNDING * base
    deviation = 0.0 if on_line else math.sqrt(unexplained / (period - 2))
    return Line(base + total / period + slope * middle, slope, deviation)


class FairValue(NamedTuple):
    """What a Kalman filter expects of the next price."""

    price: float
    deviation: float  # standard deviation of the next price around it


@lru_cache(maxsize=256)
def _level_weights(noise_ratio: float, bars: int) -> tuple[FloatArray, float]:
    """Weight of each of `bars` prices in the filtered level, and the next price's variance.

    The gains of the filter depend on the noises and not on the prices, so its recursion is one
    weighted sum. Variances are in units of the measurement noise.
    """
    gains = np.empty(bars)
    gain = gains[0] = 1.0  # the level starts at the first price
    for bar in range(1, bars):
        before = gain
        gain = gains[bar] = (before + noise_ratio) / (before + noise_ratio + 1)
        if gain == before:
            gains[bar:] = gain
            break
    kept = np.ones(bars)
    kept[:-1] = np.multiply.accumulate(1 - gains[:0:-1])[::-1]
    weights = gains * kept
    weights.flags.writeable = False
    return weights, gain + noise_ratio + 1


@once
def kalman_level(bars: Candles, period: int, noise_ratio: float) -> FairValue:
    """The local-level model x += w, price = x + v over all bars, with var w / var v given.

    The absolute size of the two noises follows from the last `period` changes from close to close,
    whose variance is var w + 2 var v in this model. The deviation is 0 without any change.
    """
    weights, variance = _level_weights(noise_ratio, len(bars))
    start = float(bars.close[0])
    level = start + float(weights.dot(bars.close - start))
    return FairValue(level, typical_step(bars, period) * math.sqrt(variance / (noise_ratio + 2)))


class Pull(NamedTuple):
    """An Ornstein-Uhlenbeck process fitted to prices."""

    half_life: float  # bars in which half of a distance is made good; inf = no pull at all
    mean: float
    deviation: float  # standard deviation in equilibrium, in price


_NO_PULL = Pull(math.inf, math.nan, math.nan)


@once
def pull_to_mean(bars: Candles, period: int) -> Pull:
    """Fit of x[t + 1] = a + b x[t] + noise to the last `period` closes."""
    tail = bars.close[-period:]
    x, y = tail[:-1], tail[1:]
    mean_x, mean_y = float(x.mean()), float(y.mean())
    dx, dy = x - mean_x, y - mean_y
    spread = float(dx.dot(dx))
    if not spread > (ROUNDING * mean_x) ** 2 * period:
        return _NO_PULL
    b = float(dx.dot(dy)) / spread
    if b >= 1 or b <= -1:
        return _NO_PULL
    noise = dy - b * dx
    deviation = math.sqrt(noise.dot(noise) / (period - 3) / (1 - b * b))
    # With b at or below zero a distance is made good within one bar.
    half_life = -math.log(2) / math.log(b) if b > 0 else 0.0
    return Pull(half_life, (mean_y - b * mean_x) / (1 - b), deviation)


class VarianceRatio(NamedTuple):
    """Variance of changes over q bars against q times that over one; 1 for a random walk."""

    ratio: float
    z: float  # (ratio - 1) in standard errors


@once
def variance_ratio(bars: Candles, period: int, horizon: int) -> VarianceRatio | None:
    """VR(horizon) of the last `period` changes from close to close, after Lo and MacKinlay.

    None where a few changes outweigh all others: a single jump has nothing to persist or reverse,
    and its standard error would be that of the bars at rest around it.
    """
    tail = bars.close[-period - 1 :]
    drift = float(tail[-1] - tail[0]) / period
    changes = tail[1:] - tail[:-1] - drift
    squares = np.square(changes)
    sum_of_squares = float(squares.sum())
    if not sum_of_squares > (ROUNDING * float(tail[-1])) ** 2 * period:
        return None
    # As many changes of one size would have this sum of squares and this sum of fourth powers.
    if sum_of_squares**2 < _CHANGES_MIN * float(squares.dot(squares)):
        return None
    longer = tail[horizon:] - tail[:-horizon] - horizon * drift
    overlapping = horizon * (period - horizon + 1) * (1 - horizon / period)
    ratio = float(longer.dot(longer)) / overlapping / (sum_of_squares / (period - 1))
    error = 0.0
    for lag in range(1, horizon):
        weight = 2 * (horizon - lag) / horizon
        error += weight * weight * float(squares[lag:].dot(squares[:-lag]))
    # The larger of their two errors, for changing volatility and for constant volatility: with
    # bars at rest between the changes, the former can be next to nothing.
    constant = 2 * (2 * horizon - 1) * (horizon - 1) / (3 * horizon * period)
    return VarianceRatio(ratio, (ratio - 1) / math.sqrt(max(error / sum_of_squares**2, constant)))
