"""Oracles of the strategies that hold the price against a model of it.

The standard library's regression, and the recursions and sums of the sources bar by bar.
"""

import math
import statistics

from talipp.ohlcv import OHLCV

from tests.strategies.oracles.formulas import Oracle, graded


def linear_regression_channel(
    bars: list[OHLCV], prices: list[float], lookback: int = 20, width: float = 2.0
) -> float:
    n, tail = lookback, prices[-lookback:]
    slope, intercept = statistics.linear_regression(range(n), tail)
    squares = sum((price - intercept - slope * at) ** 2 for at, price in enumerate(tail))
    end = intercept + slope * (n - 1)
    return -graded((tail[-1] - end) / math.sqrt(squares / (n - 2)) / width)


def kalman_fair_value(
    bars: list[OHLCV],
    prices: list[float],
    lookback: int = 20,
    process_noise: float = 0.01,
    measurement_noise: float = 0.1,
) -> float:
    """The scalar filter of Kalman (1960): predict, then correct, over every closed bar.

    The noises are given in units in which the model's own price changes have the variance that the
    last changes have.
    """
    end = len(prices) - 1
    changes = [prices[i] - prices[i - 1] for i in range(end - lookback, end)]
    variance = sum(change * change for change in changes) / lookback
    unit = variance / (process_noise + 2 * measurement_noise)
    process, measurement = process_noise * unit, measurement_noise * unit
    level, variance = prices[0], measurement
    for price in prices[1:-1]:
        variance += process
        gain = variance / (variance + measurement)
        level += gain * (price - level)
        variance *= 1 - gain
    expected = math.sqrt(variance + process + measurement)
    return -graded((prices[-1] - level) / expected / 2)


def ou_reversion(
    bars: list[OHLCV], prices: list[float], lookback: int = 60, half_life_max: float = 5.0
) -> float:
    """Avellaneda and Lee (2010), appendix: X[n + 1] = a + b X[n] + noise."""
    x, y = prices[-lookback - 1 : -2], prices[-lookback:-1]
    b, a = statistics.linear_regression(x, y)
    if b >= 1 or (b > 0 and -math.log(2) / math.log(b) > half_life_max):
        return 0.0
    noise = [after - a - b * before for before, after in zip(x, y, strict=True)]
    variance = sum(each * each for each in noise) / (len(noise) - 2)
    score = (prices[-1] - a / (1 - b)) / math.sqrt(variance / (1 - b * b))
    return -graded(score / 1.25)


def variance_ratio(
    bars: list[OHLCV],
    prices: list[float],
    lookback: int = 100,
    horizon: int = 4,
    significance: float = 1.6,
) -> float:
    """Lo and MacKinlay (1988): M_r(q) with unbiased variances, the smaller of z(q) and z*(q)."""
    n, q = lookback, horizon
    x = prices[-n - 2 : -1]
    mean = (x[n] - x[0]) / n
    one = [x[k] - x[k - 1] - mean for k in range(1, n + 1)]
    variance_a = sum(each * each for each in one) / (n - 1)
    m = q * (n - q + 1) * (1 - q / n)
    variance_c = sum((x[k] - x[k - q] - q * mean) ** 2 for k in range(q, n + 1)) / m
    total = sum(each * each for each in one)
    if total**2 < 10 * sum(each**4 for each in one):
        return 0.0
    theta = 0.0
    for j in range(1, q):
        delta = n * sum(one[k] ** 2 * one[k - j] ** 2 for k in range(j, n)) / total**2
        theta += (2 * (q - j) / q) ** 2 * delta
    theta = max(theta, 2 * (2 * q - 1) * (q - 1) / (3 * q))
    z = math.sqrt(n) * (variance_c / variance_a - 1) / math.sqrt(theta)
    if abs(z) < significance:
        return 0.0
    step = math.sqrt(sum((x[k] - x[k - 1]) ** 2 for k in range(1, n + 1)) / n)
    move = (prices[-1] - prices[-1 - q]) / (step * math.sqrt(q))
    return graded(move if z > 0 else -move)


ORACLES: dict[str, Oracle] = {
    "linear_regression_channel": linear_regression_channel,
    "kalman_fair_value": kalman_fair_value,
    "ou_reversion": ou_reversion,
    "variance_ratio": variance_ratio,
}
