"""What stops and sizes read from candles: how far the price moves, whatever the strategy says.

Both are fractions of the price, so that they mean the same on every symbol; NaN where the candles
are too few or broken.
"""

import math

from strategies import indicators
from strategies.base import Candles

ATR_PERIOD = 14
"""Bars of the average true range; Wilder, "New Concepts in Technical Trading Systems" (1978)."""

_YEAR_S = 365 * 86_400
"""Crypto trades around the clock, so a year has 365 days."""

_RANGE_PER_DEVIATION = math.sqrt(8 / math.pi)
"""The range that a random walk is expected to cover, in standard deviations of its change: Feller,
"The asymptotic distribution of the range of sums of independent random variables", Annals of
Mathematical Statistics 22 (1951); Parkinson, "The extreme value method for estimating the variance
of the rate of return", Journal of Business 53 (1980).
"""


def atr_of_closed(candles: Candles) -> float:
    """Wilder's ATR(14) over the closed bars, in price; NaN below 15 of them."""
    if len(candles) < ATR_PERIOD + 2 or candles.flaw:
        return math.nan
    return indicators.closed_atr(candles, ATR_PERIOD)


def volatility_per_atr(timeframe_s: int) -> float:
    """What turns ATR / price of bars of so many seconds into a volatility for a year (0.2 = 20 %).

    The range of a bar stands for its standard deviation, as in Parkinson's estimator, and grows
    with the square root of time. Sizes that aim at a volatility are divided by it: Moskowitz, Ooi,
    Pedersen, "Time series momentum", Journal of Financial Economics 104 (2012).
    """
    return math.sqrt(_YEAR_S / timeframe_s) / _RANGE_PER_DEVIATION
