"""Indicators of trend and volume against TA-Lib run over all bars, and against plain recursions."""

import math

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st

from strategies import indicators, trend_indicators
from strategies.base import Candles

seeds = st.integers(0, 2**32 - 1)


def walk(seed: int, bars: int) -> Candles:
    """Prices on a coarse grid, so that highs, lows and closes often repeat."""
    random = np.random.default_rng(seed)
    close = np.maximum(100 + np.cumsum(random.integers(-2, 3, bars)) * 0.5, 1.0)
    open_ = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(open_, close) + random.integers(0, 3, bars) * 0.5
    low = np.minimum(open_, close) - random.integers(0, 2, bars) * 0.5
    volume = random.integers(0, 5, bars).astype(np.float64)
    return Candles(np.arange(float(bars)), open_, high, low, close, volume)


@given(seed=seeds, bars=st.integers(80, 300), period=st.integers(2, 30))
def test_a_forming_bar_is_added_as_talib_would(seed: int, bars: int, period: int) -> None:
    candles = walk(seed, bars)
    high, low, close = candles.high, candles.low, candles.close
    adx, share = trend_indicators.directional(candles, period)
    assert adx == pytest.approx(talib.ADX(high, low, close, period)[-1], abs=1e-9)
    up = talib.PLUS_DI(high, low, close, period)[-1]
    down = talib.MINUS_DI(high, low, close, period)[-1]
    assert share == pytest.approx((up - down) / (up + down) if up + down else 0.0, abs=1e-9)

    high_age, low_age = trend_indicators.aroon_ages(candles, period)
    oscillator = talib.AROONOSC(high, low, period)[-1]
    assert 100 * (low_age - high_age) / period == pytest.approx(oscillator, abs=1e-9)

    middle = (high[-period:].max() + low[-period:].min()) / 2
    assert trend_indicators.midpoint(candles, period) == middle
    balance, usual = trend_indicators.volume_balance(candles, period)
    expected = talib.OBV(close, candles.volume)
    assert balance == expected[-1] - expected[-1 - period]
    assert usual == pytest.approx(math.sqrt(np.square(candles.volume[-period:]).sum()))


@given(seed=seeds, bars=st.integers(40, 300), period=st.integers(2, 30))
def test_money_flow_is_that_of_talib_where_there_is_any(seed: int, bars: int, period: int) -> None:
    candles = walk(seed, bars)
    found = trend_indicators.money_flow_index(candles, period)
    money = (candles.high, candles.low, candles.close, candles.volume)
    # TA-Lib answers 0 both for nothing but outflow and for no flow.
    assert (0.0 if math.isnan(found) else found) == pytest.approx(
        talib.MFI(*money, period)[-1], abs=1e-9
    )


@given(seed=seeds, bars=st.integers(130, 300), period=st.integers(2, 30))
def test_trix_is_that_of_talib_times_the_average(seed: int, bars: int, period: int) -> None:
    candles = walk(seed, bars)
    smooth = candles.close
    for _ in range(3):
        smooth = talib.EMA(smooth, period)
    percent = talib.TRIX(candles.close, period)
    slopes = percent[1:] * smooth[:-1] / 100
    slope, signal_line = indicators.trix(candles, period, 9)
    assert slope == pytest.approx(slopes[-1], abs=1e-9)
    assert signal_line == pytest.approx(talib.EMA(slopes, 9)[-1], abs=1e-9)


@given(seed=seeds, bars=st.integers(90, 300), longest=st.integers(2, 20))
def test_heikin_ashi_runs_are_those_of_candles_made_one_by_one(
    seed: int, bars: int, longest: int
) -> None:
    candles, doji = walk(seed, bars), 0.3
    found = trend_indicators.heikin_ashi(candles, doji, longest)
    open_, run = float(candles.open[0]), 0
    for at in range(bars):
        low, high = candles.low[at], candles.high[at]
        close = (candles.open[at] + high + low + candles.close[at]) / 4
        if close - open_ >= doji and low >= open_:
            run = max(run, 0) + 1
        elif open_ - close >= doji and high <= open_:
            run = min(run, 0) - 1
        else:
            run = 0
        candle = open_, close
        open_ = (open_ + close) / 2
    assert (found.open, found.close) == pytest.approx(candle, abs=1e-12)
    assert found.run == min(abs(run), longest)
