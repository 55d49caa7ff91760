"""What a window remembers of its bars, and that no signal depends on what was computed before."""

from dataclasses import replace

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import catalog, indicators
from strategies.base import Candles, FloatArray, Params, Signal


def walk(seed: int, bars: int) -> Candles:
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.standard_t(3, bars) * 0.004))
    open_ = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(open_, close) * (1 + random.uniform(0, 0.002, bars))
    low = np.minimum(open_, close) / (1 + random.uniform(0, 0.002, bars))
    time = np.arange(bars, dtype=np.float64) * 60
    return Candles(time, open_, high, low, close, random.uniform(1, 2, bars))


def moved(candles: Candles, share: float) -> Candles:
    """The same window some moments later: the forming bar's close is elsewhere."""

    def ended(column: FloatArray, last: float) -> FloatArray:
        return np.append(column[:-1], last)

    bar = candles.newest
    close = bar.close * (1 + share)
    return Candles(
        candles.time.copy(), candles.open.copy(), ended(candles.high, max(bar.high, close)),
        ended(candles.low, min(bar.low, close)), ended(candles.close, close),
        ended(candles.volume, bar.volume * 1.5),
    )  # fmt: skip


def some_plans(seed: int) -> list[tuple[str, Params]]:
    """Every strategy at its defaults and with parameters somewhere in their ranges, shuffled."""
    random = np.random.default_rng(seed)
    plans: list[tuple[str, Params]] = [(each.name, {}) for each in catalog.STRATEGIES]
    for strategy in catalog.STRATEGIES:
        drawn = {
            param.name: param.snap(random.uniform(param.min, min(param.max, 3 * param.default)))
            for param in strategy.params
        }
        if all(drawn[lower] < drawn[upper] for lower, upper in strategy.ordered):
            plans.append((strategy.name, drawn))
    return [plans[place] for place in random.permutation(len(plans)).tolist()]


def said(candles: Candles, plans: list[tuple[str, Params]]) -> dict[str, Signal]:
    return {f"{name} {params}": catalog.evaluate(name, candles, params) for name, params in plans}


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, bars=st.integers(120, 500), share=st.floats(-0.02, 0.02))
def test_signals_are_the_same_whatever_was_computed_before(
    seed: int, bars: int, share: float
) -> None:
    earlier = walk(seed, bars)
    later = moved(earlier, share)
    plans = some_plans(seed)
    # each on a window of its own
    alone: dict[str, Signal] = {}
    for plan in plans:
        alone |= said(moved(earlier, share), [plan])
    said(earlier, some_plans(seed + 1))
    later.follow(earlier)
    assert later.closed is earlier.closed
    # values to the last bit, and the words
    assert said(later, plans[::-1]) == alone
    assert said(later, plans) == alone


@given(
    seed=seeds,
    column=st.sampled_from(["time", "open", "high", "low", "close", "volume"]),
    place=st.integers(0, 98),
)
def test_nothing_is_taken_over_from_other_bars(seed: int, column: str, place: int) -> None:
    earlier = walk(seed, 100)
    changed = getattr(earlier, column).copy()
    changed[place] = np.nextafter(changed[place], np.inf)
    later = replace(earlier, **{column: changed})
    later.follow(earlier)
    assert later.closed is not earlier.closed
    shorter = earlier.last(99)
    shorter.follow(earlier)
    assert shorter.closed is not earlier.closed


def test_once_computes_once_for_the_same_bars_and_numbers() -> None:
    computed = []

    @indicators.once
    def span(bars: Candles, period: int) -> float:
        computed.append(period)
        return float(bars.close[-period:].max())

    candles = walk(1, 60)
    assert span(candles, 5) == span(candles, 5) == candles.close[-5:].max()
    assert span(candles, 6) == candles.close[-6:].max()
    assert span(candles.closed, 5) == candles.close[-6:-1].max()
    assert computed == [5, 6, 5]


@given(seed=seeds, bars=st.integers(60, 500), period=st.integers(2, 40))
def test_a_forming_bar_is_added_as_talib_would(seed: int, bars: int, period: int) -> None:
    candles = walk(seed, bars)
    close = candles.close
    same = pytest.approx
    mean, deviation = indicators.mean_and_deviation(candles, period)
    assert indicators.ema(candles, period) == same(talib.EMA(close, period)[-1], rel=1e-12)
    assert indicators.sma(candles, period) == same(talib.SMA(close, period)[-1], rel=1e-12)
    assert indicators.rsi(candles, period) == same(talib.RSI(close, period)[-1], abs=1e-9)
    assert mean == same(talib.SMA(close, period)[-1], rel=1e-12)
    assert deviation == same(talib.STDDEV(close, period)[-1], rel=1e-9)
    line, signal_line, _ = talib.MACD(close, period, period + 7, 9)
    found = indicators.macd(candles, period, period + 7, 9)
    assert found[0] == same(line[-1], abs=1e-10)
    assert found[1] == same(signal_line[-1], abs=1e-10)
    true_range = talib.TRANGE(candles.high, candles.low, candles.close)[-1]
    assert indicators.forming_true_range(candles) == same(true_range, rel=1e-12)
