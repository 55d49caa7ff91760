"""Estimates against the recursions they stand for, and on series whose true values are known."""

import math

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import estimates
from strategies.base import Candles, FloatArray

seeds = st.integers(0, 2**32 - 1)


def closes(prices: FloatArray) -> Candles:
    return Candles(np.arange(float(len(prices))), prices, prices, prices, prices, prices)


def walk(seed: int, bars: int) -> FloatArray:
    prices: FloatArray = 100 + np.cumsum(np.random.default_rng(seed).normal(0, 0.3, bars))
    return prices


@given(seed=seeds, bars=st.integers(40, 200), period=st.integers(3, 40))
def test_the_line_is_the_least_squares_one(seed: int, bars: int, period: int) -> None:
    prices = walk(seed, bars)
    line = estimates.regression_line(closes(prices), period)
    assert line.end == pytest.approx(talib.LINEARREG(prices, period)[-1], rel=1e-10)
    assert line.slope == pytest.approx(talib.LINEARREG_SLOPE(prices, period)[-1], abs=1e-9)
    fitted = line.end - line.slope * np.arange(period - 1, -1, -1)
    squares = np.square(prices[-period:] - fitted).sum()
    assert line.deviation == pytest.approx(math.sqrt(squares / (period - 2)), rel=1e-5, abs=1e-9)


@given(start=st.floats(1e-7, 1e6), slope=st.floats(-1e-3, 1e-2), period=st.integers(10, 200))
def test_prices_on_one_line_have_no_deviation(start: float, slope: float, period: int) -> None:
    prices: FloatArray = start * (1 + slope * np.arange(220.0))
    assert estimates.regression_line(closes(prices), period).deviation == 0.0


@given(
    seed=seeds,
    bars=st.integers(30, 500),
    process=st.floats(0.001, 1.0),
    measurement=st.floats(0.01, 10.0),
)
def test_the_level_is_that_of_the_filter_run_price_by_price(
    seed: int, bars: int, process: float, measurement: float
) -> None:
    prices = walk(seed, bars)
    fair = estimates.kalman_level(closes(prices), 20, process / measurement)
    level, variance = float(prices[0]), measurement
    for price in prices[1:].tolist():
        variance += process
        gain = variance / (variance + measurement)
        level += gain * (price - level)
        variance *= 1 - gain
    assert fair.price == pytest.approx(level, rel=1e-10)
    step = math.sqrt(np.square(np.diff(prices[-21:])).mean())
    unit = step / math.sqrt(process + 2 * measurement)
    expected = unit * math.sqrt(variance + process + measurement)
    assert fair.deviation == pytest.approx(expected, rel=1e-9)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, process=st.sampled_from([0.02, 0.1, 0.5]))
def test_the_filter_knows_how_far_off_it_is(seed: int, process: float) -> None:
    """On prices made by its own model two thirds of them are within one deviation."""
    random = np.random.default_rng(seed)
    fair = 1000 + np.cumsum(random.normal(0, math.sqrt(process), 900))
    prices = fair + random.normal(0, 1.0, 900)
    within = 0
    for end in range(500, 900):
        known = estimates.kalman_level(closes(prices[end - 400 : end]), 200, process)
        within += abs(prices[end] - known.price) <= known.deviation
    assert 0.55 <= within / 400 <= 0.80


@given(seed=seeds, half_life=st.floats(2.0, 20.0))
def test_the_half_life_of_a_known_process_is_found(seed: int, half_life: float) -> None:
    kept, random = 0.5 ** (1 / half_life), np.random.default_rng(seed)
    prices = np.empty(5000)
    price = 100.0
    for bar, noise in enumerate(random.normal(0, 0.1, 5000).tolist()):
        prices[bar] = price = 100 + kept * (price - 100) + noise
    pull = estimates.pull_to_mean(closes(prices), 4900)
    assert pull.half_life == pytest.approx(half_life, rel=0.5)
    assert pull.mean == pytest.approx(100, abs=0.5)
    assert pull.deviation == pytest.approx(0.1 / math.sqrt(1 - kept * kept), rel=0.3)


def test_a_price_that_runs_away_has_no_pull() -> None:
    prices = 100 * 1.01 ** np.arange(100.0)
    assert math.isinf(estimates.pull_to_mean(closes(prices), 60).half_life)
    assert math.isinf(estimates.pull_to_mean(closes(np.full(100, 5.0)), 60).half_life)


@pytest.mark.parametrize(("kept", "low", "high"), [(0.3, 2, 99), (0.0, -4, 4), (-0.3, -99, -2)])
def test_the_ratio_tells_persistence_from_reversal(kept: float, low: int, high: int) -> None:
    """Changes that keep a share of the change before: 1 + 2 x sum of (1 - j/4) x share^j."""
    random = np.random.default_rng(5)
    changes = np.empty(4001)
    change = 0.0
    for bar, noise in enumerate(random.normal(0, 1, 4001).tolist()):
        changes[bar] = change = kept * change + noise
    tested = estimates.variance_ratio(closes(10_000 + np.cumsum(changes)), 4000, 4)
    assert tested is not None
    truth = 1 + 2 * sum((1 - j / 4) * kept**j for j in (1, 2, 3))
    assert tested.ratio == pytest.approx(truth, rel=0.1)
    assert low < tested.z < high


def test_a_random_walk_is_seldom_called_anything_else() -> None:
    called = 0
    for seed in range(400):
        tested = estimates.variance_ratio(closes(walk(seed, 400)), 399, 4)
        assert tested is not None
        called += abs(tested.z) >= 1.96
    assert called <= 0.09 * 400


def test_a_few_jumps_among_resting_bars_tell_no_regime() -> None:
    prices = np.full(200, 100.0)
    assert estimates.variance_ratio(closes(prices), 100, 4) is None
    prices[-1] = 101.0
    assert estimates.variance_ratio(closes(prices), 100, 4) is None
    prices[-30:] = 101.0
    prices[-60:-40] = 99.0
    assert estimates.variance_ratio(closes(prices), 100, 4) is None


@given(seed=seeds, bars=st.integers(30, 500))
def test_newer_steps_weigh_more(seed: int, bars: int) -> None:
    prices = walk(seed, bars)
    weights = [(60 / 61) ** age for age in range(bars - 1)]
    squares = np.square(np.diff(prices))[::-1]
    expected = math.sqrt(float(np.dot(weights, squares)) / sum(weights))
    assert estimates.smoothed_step(closes(prices)) == pytest.approx(expected, rel=1e-9)
