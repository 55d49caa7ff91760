"""The words of the strategies that weigh a move or model it, on candles made for the purpose."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from strategies import catalog
from strategies.base import Candles, FloatArray, Params


def bars_of(close: FloatArray, volume: float = 1.0) -> Candles:
    """Bars that open where the one before closed, with highs and lows 5 beyond."""
    open_ = np.concatenate([close[:1], close[:-1]])
    high, low = np.maximum(open_, close) + 5, np.minimum(open_, close) - 5
    time = np.arange(len(close), dtype=np.float64) * 60
    return Candles(time, open_, high, low, close, np.full(len(close), volume))


def swinging(*last: float) -> Candles:
    """260 bars that swing by 10 around 42,000, then closes as given."""
    return bars_of(np.append(42_000 + 10.0 * (-1) ** np.arange(260), last))


def climbing(*last: float) -> Candles:
    """260 bars that climb by 10 each to 44,590, then closes as given."""
    return bars_of(np.append(42_000 + 10.0 * np.arange(260), last))


def returning(seed: int, *last: float) -> Candles:
    """260 bars that go a fifth of the way back to 42,000 in each bar, then closes as given."""
    prices, price = [], 42_000.0
    for noise in np.random.default_rng(seed).normal(0, 20, 260).tolist():
        price = 42_000 + 0.8 * (price - 42_000) + noise
        prices.append(price)
    return bars_of(np.array([*prices, *last]))


@pytest.mark.parametrize(
    ("name", "params", "candles", "sign", "words"),
    [
        ("obv_trend", {}, climbing(44_600.0), +1,
         "OBV +3.16 usual changes in 10 bars, price +0.22%: confirmed"),
        ("obv_trend", {}, climbing(44_400.0), 0, "price -0.22%: not confirmed"),
        ("adx_filter", {}, climbing(44_600.0), +1,
         "ADX 100.0 >= 25: trend up, +DI above -DI by 100% of their sum"),
        ("adx_filter", {"adx_min": 75.0, "lookback": 5}, climbing(*([44_590.0, 44_580.0] * 20)), 0,
         "< 75: no trend"),
        ("ichimoku_signal", {}, climbing(44_600.0), +1,
         "close 44,600 above the cloud 44,080 to 44,252.5, Tenkan 44,555 above Kijun 44,470"),
        ("ichimoku_signal", {}, climbing(44_100.0), 0, "close 44,100 inside the cloud"),
        ("ichimoku_signal", {}, swinging(41_900.0), 0, "Tenkan 41,955 level with Kijun 41,955"),
        ("money_flow_index", {}, climbing(44_600.0), -1, "MFI 100.0 > 80: money has crowded in"),
        ("money_flow_index", {"lookback": 3}, climbing(44_500.0, 44_400.0, 44_300.0), +1,
         "MFI 0.0 < 20: money has left"),
        ("money_flow_index", {}, swinging(42_003.0), 0, "MFI 50.0 between 20 and 80"),
        ("linear_regression_channel", {}, swinging(41_900.0), +1,
         "close 41,900 below the lower edge 41,934 of the falling 20-bar line"),
        ("linear_regression_channel", {}, swinging(42_100.0), -1,
         "close 42,100 above the upper edge 42,065.6 of the rising 20-bar line"),
        ("linear_regression_channel", {}, swinging(42_003.0), -1,
         "close 42,003 inside 41,979.6 to 42,020.7"),
        ("linear_regression_channel", {}, climbing(44_600.0), 0,
         "the closes of 20 bars lie on one line"),
        ("kalman_fair_value", {}, swinging(42_100.0), -1,
         "close 42,100 is 6.29 deviations above the fair value 41,998.4"),
        ("kalman_fair_value", {}, swinging(41_900.0), +1, "deviations below the fair value"),
        ("ou_reversion", {}, returning(1, 42_100.0), -1,
         "+5.83 deviations from the mean 41,979.1, half-life 1.6 bars"),
        ("ou_reversion", {}, climbing(44_600.0), 0, "no pull to a mean in 60 bars"),
        ("ou_reversion", {"half_life_max": 1.0}, returning(1, 42_100.0), 0, "the pull is weak"),
        ("variance_ratio", {}, swinging(41_900.0), +1,
         "variance ratio 0.00 (z -5.3): moves come back; faded -2.75 usual moves in 4 bars"),
        ("variance_ratio", {"significance": 4.0}, returning(1, 42_100.0), 0, "a random walk"),
        ("variance_ratio", {}, bars_of(np.append(np.full(260, 42_000.0), [42_010.0, 42_020.0])), 0,
         "too few of 100 bars moved the price to tell a regime"),
        ("time_series_momentum", {}, climbing(44_600.0), +1,
         "+9.24 usual moves: +4.47 in 20, +7.75 in 60, +15.49 in 240 bars"),
        ("heikin_ashi_trend", {}, swinging(42_100.0), 0,
         "a rising Heikin-Ashi candle with a wick against it"),
        ("heikin_ashi_trend", {}, swinging(42_250.0, 42_260.0, 42_300.0, 42_450.0), +1,
         "3 rising Heikin-Ashi candles without lower wick, body 3.43 ATR"),
        ("heikin_ashi_trend", {}, swinging(41_900.0), -1,
         "1 falling Heikin-Ashi candle without upper wick"),
        ("heikin_ashi_trend", {}, swinging(*([42_000.0] * 12)), 0, "candle is a doji"),
        ("aroon_signal", {}, climbing(44_600.0), +1,
         "Aroon +100: of 25 bars, 0 since the highest high, 25 since the lowest low"),
        ("trix_signal", {}, swinging(42_250.0, 42_260.0, 42_300.0, 42_450.0), +1,
         "TRIX +0.086 ATR a bar, signal line +0.030: up"),
        ("trix_signal", {}, climbing(44_600.0, *([44_600.0] * 9)), 0, "fading"),
        ("chande_momentum", {}, climbing(44_600.0), +1,
         "CMO +100.0: rose by 100% of the way gone in 14 bars"),
        ("chande_momentum", {}, swinging(41_900.0), -1, "CMO -31.4: fell by 31% of the way"),
        ("narrow_range_breakout", {}, swinging(42_100.0), +1,
         "close 42,100 above the narrowest bar of 7, 41,985 to 42,015"),
        ("narrow_range_breakout", {}, swinging(42_003.0), 0, "inside the narrowest bar of 7"),
        ("narrow_range_breakout", {}, swinging(42_250.0, 42_260.0), 0,
         "the last closed bar is not the narrowest of 7: range 270 > 30"),
    ],
)  # fmt: skip
def test_the_detail_says_what_was_seen(
    name: str, params: Params, candles: Candles, sign: int, words: str
) -> None:
    signal = catalog.evaluate(name, candles, params)
    assert words in signal.detail
    assert np.sign(signal.value) == sign


@pytest.mark.parametrize("name", ["obv_trend", "money_flow_index"])
@pytest.mark.parametrize("volume", [0.0, np.nan])
def test_without_volume_it_says_that_it_cannot_run(name: str, volume: float) -> None:
    signal = catalog.evaluate(name, bars_of(swinging(42_100.0).close, volume), {})
    assert (signal.value, signal.can_run) == (0.0, False)
    assert signal.detail == "needs volume, the price source gives none"


def quiet(candles: Candles, bars: int) -> Candles:
    volume = candles.volume.copy()
    volume[-bars:] = 0.0
    return replace(candles, volume=volume)


def resting(candles: Candles, bars: int) -> Candles:
    rested = {}
    for name in ("open", "high", "low", "close"):
        column = getattr(candles, name).copy()
        column[-bars:] = candles.close[-1]
        rested[name] = column
    return replace(candles, **rested)


@pytest.mark.parametrize(
    ("name", "changed", "bars", "words"),
    [
        ("obv_trend", quiet, 10, "no volume in 10 bars"),
        ("money_flow_index", quiet, 14, "no money moved the price in 14 bars"),
        ("money_flow_index", resting, 15, "no money moved the price in 14 bars"),
        ("chande_momentum", resting, 15, "the price has not moved in 14 bars"),
        ("kalman_fair_value", resting, 22, "the price has not moved in 20 bars"),
        ("ou_reversion", resting, 61, "no pull to a mean in 60 bars"),
        ("variance_ratio", resting, 102, "too few of 100 bars moved the price"),
    ],
)
def test_it_says_that_nothing_moved(
    name: str, changed: Callable[[Candles, int], Candles], bars: int, words: str
) -> None:
    signal = catalog.evaluate(name, changed(swinging(42_100.0), bars), {})
    assert signal.value == 0.0
    assert signal.can_run
    assert words in signal.detail
