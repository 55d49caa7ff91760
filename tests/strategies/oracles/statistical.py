"""Oracles of the strategies that hold the price against a model of it.

The standard library's regression, and the recursions and sums of the sources bar by bar.
"""

import math
import statistics

from talipp.ohlcv import OHLCV

from tests.strategies.oracles.formulas import Oracle, graded


def linear_regression_channel(bars: list[OHLCV], prices: list[float]) -> float:
    tail = prices[-20:]
    slope, intercept = statistics.linear_regression(range(20), tail)
    squares = sum((price - intercept - slope * at) ** 2 for at, price in enumerate(tail))
    return -graded((tail[-1] - intercept - slope * 19) / math.sqrt(squares / 18) / 2)


def kalman_fair_value(bars: list[OHLCV], prices: list[float]) -> float:
    """The scalar filter of Kalman (1960): predict, then correct, over every closed bar.

    The noises are given in units in which the model's own price changes have the variance that the
    last 20 changes have.
    """
    changes = [prices[i] - prices[i - 1] for i in range(len(prices) - 21, len(prices) - 1)]
    unit = sum(change * change for change in changes) / 20 / (0.01 + 2 * 0.1)
    process, measurement = 0.01 * unit, 0.1 * unit
    level, variance = prices[0], measurement
    for price in prices[1:-1]:
        variance += process
        gain = variance / (variance + measurement)
        level += gain * (price - level)
        variance *= 1 - gain
    expected = math.sqrt(variance + process + measurement)
    return -graded((prices[-1] - level) / expected / 2)


def ou_reversion(bars: list[OHLCV], prices: list[float]) -> float:
    """Avellaneda and Lee (2010), appendix: X[n + 1] = a + b X[n] + noise."""
    x, y = prices[-61:-2], prices[-60:-1]
    b, a = statistics.linear_regression(x, y)
    if b >= 1 or (b > 0 and -math.log(2) / math.log(b) > 5):
        return 0.0
    noise = [after - a - b * before for before, after in zip(x, y, strict=True)]
    variance = sum(each * each for each in noise) / (len(noise) - 2)
    score = (prices[-1] - a / (1 - b)) / math.sqrt(variance / (1 - b * b))
    return -graded(score / 1.25)


def variance_ratio(bars: list[OHLCV], prices: list[float]) -> float:
    """Lo and MacKinlay (1988): M_r(q) with unbiased variances, the smaller of z(q) and z*(q)."""
    n, q = 100, 4
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
    if abs(z) < 1.6:
        return 0.0
    step = math.sqrt(sum((x[k] - x[k - 1]) ** 2 for k in range(1, n + 1)) / n)
    move = (prices[-1] - prices[-5]) / (step * math.sqrt(q))
    return graded(move if z > 0 else -move)


ORACLES: dict[str, Oracle] = {
    "linear_regression_channel": linear_regression_channel,
    "kalman_fair_value": kalman_fair_value,
    "ou_reversion": ou_reversion,
    "variance_ratio": variance_ratio,
}
