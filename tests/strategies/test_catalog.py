"""The catalogue: names, parameters as users give them, plan keys, the list that clients read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import catalog
from strategies.base import WINDOW_BARS, Candles, Param, Reading, Strategy, threshold_param

STEPS = [0.001, 0.01, 0.05, 0.1, 0.5]
"""Of the numbers that are not whole."""
every_strategy = pytest.mark.parametrize(
    "strategy", catalog.STRATEGIES, ids=lambda strategy: strategy.name
)


def moving(bars: int) -> Candles:
    price = 100 + np.cumsum(np.random.default_rng(bars).normal(0, 1, bars))
    time = np.arange(bars, dtype=np.float64) * 60
    return Candles(time, price - 0.5, price + 1, price - 1, price, np.zeros(bars))


def problems_of(name: str, given: Mapping[str, object]) -> dict[str, str]:
    with pytest.raises(catalog.InvalidParams) as refusal:
        catalog.snap_params(name, given)
    assert all(problem.field in str(refusal.value) for problem in refusal.value.problems)
    return {problem.field: problem.message for problem in refusal.value.problems}


def test_the_documented_defaults() -> None:
    defaults = {strategy.name: strategy.defaults for strategy in catalog.STRATEGIES}
    assert defaults == {
        "simple_momentum": {"lookback": 10, "threshold": 0.5},
        "dual_momentum": {"short": 5, "lookback": 20, "threshold": 0.5},
        "breakout": {"lookback": 20, "threshold": 0.5},
        "donchian_channel": {"lookback": 20, "threshold": 0.5},
        "ma_crossover": {"fast": 10, "lookback": 20, "threshold": 0.5},
        "ema_crossover": {"fast": 9, "lookback": 21, "threshold": 0.5},
        "macd_signal": {"fast": 12, "lookback": 26, "signal": 9, "threshold": 0.5},
        "supertrend": {"lookback": 14, "multiple": 3.0, "threshold": 0.5},
        "z_score": {"lookback": 20, "threshold": 0.5},
        "bollinger_reversion": {"lookback": 20, "width": 2.0, "threshold": 0.5},
        "rsi_signal": {"lookback": 14, "oversold": 30.0, "overbought": 70.0, "threshold": 0.5},
        "stochastic_signal": {
            "lookback": 14,
            "smooth": 3,
            "oversold": 20.0,
            "overbought": 80.0,
            "threshold": 0.5,
        },
        "range_sr": {"lookback": 20, "zone": 0.5, "touches": 2, "threshold": 0.5},
        "bollinger_squeeze": {
            "lookback": 20, "width": 0.1, "narrow": 0.25, "widen": 0.1, "threshold": 0.5,
        },
        "atr_breakout": {"lookback": 14, "multiple": 1.5, "threshold": 0.5},
        "keltner_bollinger": {"lookback": 20, "width": 2.0, "multiple": 2.0, "threshold": 0.5},
        "vwap_deviation": {"lookback": 50, "width": 2.0, "threshold": 0.5},
        "obv_trend": {"lookback": 10, "threshold": 0.5},
        "adx_filter": {"lookback": 14, "adx_min": 25.0, "threshold": 0.5},
        "ichimoku_signal": {"tenkan": 9, "lookback": 26, "senkou": 52, "threshold": 0.5},
        "linear_regression_channel": {"lookback": 20, "width": 2.0, "threshold": 0.5},
        "kalman_fair_value": {
            "lookback": 20, "process_noise": 0.01, "measurement_noise": 0.1, "threshold": 0.5,
        },
        "time_series_momentum": {"lookback": 240, "threshold": 0.5},
        "heikin_ashi_trend": {"lookback": 3, "threshold": 0.5},
        "aroon_signal": {"lookback": 25, "threshold": 0.5},
        "trix_signal": {"lookback": 15, "signal": 9, "threshold": 0.5},
        "chande_momentum": {"lookback": 14, "threshold": 0.5},
        "narrow_range_breakout": {"lookback": 7, "threshold": 0.5},
        "money_flow_index": {
            "lookback": 14, "oversold": 20.0, "overbought": 80.0, "threshold": 0.5,
        },
        "ou_reversion": {"lookback": 60, "half_life_max": 5.0, "threshold": 0.5},
        "variance_ratio": {
            "lookback": 100, "horizon": 4, "significance": 1.6, "threshold": 0.5,
        },
    }  # fmt: skip


def test_an_alias_is_the_strategy_it_stands_for() -> None:
    assert catalog.get("momentum_breakout") is catalog.get("breakout")
    assert {"breakout", "momentum_breakout"} <= set(catalog.names())


def test_no_name_is_used_twice() -> None:
    declared = [
        name for strategy in catalog.STRATEGIES for name in (strategy.name, *strategy.aliases)
    ]
    declared.append(catalog.ENSEMBLE.name)
    assert len(set(declared)) == len(declared) == len(catalog.names())


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("rsi", "rsi_signal"),
        ("MACD", "macd_signal"),
        ("zscore", "z_score"),
        ("emacross", "ema_crossover"),
    ],
)
def test_an_unknown_name_is_told_with_its_neighbours(asked: str, meant: str) -> None:
    with pytest.raises(catalog.UnknownStrategy, match=meant) as refusal:
        catalog.get(asked)
    assert refusal.value.nearest[0] == meant


def test_a_name_like_no_other_has_no_neighbours() -> None:
    assert catalog.nearest("qqqqqq" * 100_000) == ()
    assert catalog.nearest("") == ()


def test_what_is_left_out_is_filled_in_and_what_is_given_is_snapped() -> None:
    assert catalog.snap_params("rsi_signal", {"oversold": 27.3, "lookback": 9.0}) == {
        "lookback": 9, "oversold": 27.5, "overbought": 70.0, "threshold": 0.5,
    }  # fmt: skip
    snapped = catalog.snap_params("breakout", {"lookback": 20.0, "threshold": 0.1 + 0.2})
    assert json.dumps(snapped) == '{"lookback": 20, "threshold": 0.3}'


def test_all_problems_are_told_at_once() -> None:
    assert problems_of(
        "macd_signal",
        {"lookback": "26", "thresold": 0.5, "signal": 9.5, "threshold": float("nan"), "fast": 1000},
    ) == {
        "lookback": "must be a number",
        "thresold": "is not a parameter of macd_signal; did you mean threshold?",
        "signal": "must be a whole number, is 9.5",
        "threshold": "must be a finite number, is nan",
        "fast": "must be between 2 and 199",
    }


@pytest.mark.parametrize(
    "given", [None, True, "20", [20], {}, 10**400, -(10**400), 1e308, float("inf"), 1, 201]
)
def test_no_value_gets_past_its_range(given: object) -> None:
    assert list(problems_of("breakout", {"lookback": given})) == ["lookback"]


def test_the_fast_period_stays_below_the_slow_one() -> None:
    assert problems_of("ema_crossover", {"fast": 30, "lookback": 30, "threshold": 2}) == {
        "fast": "must be below lookback, which is 30",
        "threshold": "must be between 0.01 and 1",
    }
    assert problems_of("ema_crossover", {"lookback": 8}) == {
        "lookback": "must be above fast, which is 9"
    }
    # A value that is wrong by itself is not compared: its default would be, and mislead.
    assert list(problems_of("ema_crossover", {"lookback": 0, "fast": 50})) == ["lookback"]


@every_strategy
@settings(max_examples=40)
@given(data=st.data())
def test_snapping_stays_in_range_and_is_done_once(strategy: Strategy, data: st.DataObject) -> None:
    given = {
        param.name: data.draw(
            st.integers(int(param.min), int(param.max))
            if param.type == "int"
            else st.floats(param.min, param.max)
        )
        for param in strategy.params
    }
    if any(given[lower] >= given[upper] for lower, upper in strategy.ordered):
        told = problems_of(strategy.name, given).values()
        assert any("must be below" in message for message in told)
        return
    snapped = catalog.snap_params(strategy, given)
    assert list(snapped) == [param.name for param in strategy.params]
    for param in strategy.params:
        value = snapped[param.name]
        assert isinstance(value, int if param.type == "int" else float)
        assert param.min <= value <= param.max
        assert abs(value - given[param.name]) <= param.step * 0.500001
    assert json.dumps(catalog.snap_params(strategy, dict(snapped))) == json.dumps(snapped)


def test_a_plan_key_is_canonical() -> None:
    key = catalog.plan_key("BTC/USDT", "1m", "momentum_breakout", {"threshold": 0.9})
    assert key == (
        '{"params":{"lookback":20},"strategy":"breakout","symbol":"BTC/USDT",'
        '"timeframe":"1m","version":1}'
    )
    strategy = catalog.get("breakout")
    assert key == catalog.plan_key("BTC/USDT", "1m", strategy, {"lookback": 20.0})
    # Defaults are spelled out, so that a default changed later does not change an old plan.
    assert catalog.plan_key("BTC/USDT", "1m", "rsi_signal", {"oversold": 30}) == catalog.plan_key(
        "BTC/USDT", "1m", "rsi_signal", {"overbought": 70.1}
    )


def test_whatever_changes_signals_changes_the_plan_key() -> None:
    strategy = catalog.get("breakout")
    keys = {
        catalog.plan_key("BTC/USDT", "1m", "breakout", {}),
        catalog.plan_key("ETH/USDT", "1m", "breakout", {}),
        catalog.plan_key("BTC/USDT", "5m", "breakout", {}),
        catalog.plan_key("BTC/USDT", "1m", "z_score", {}),
        catalog.plan_key("BTC/USDT", "1m", "breakout", {"lookback": 21}),
        catalog.plan_key("BTC/USDT", "1m", replace(strategy, version=2), {}),
    }
    assert len(keys) == 6


def test_a_plan_key_of_nonsense_is_refused() -> None:
    with pytest.raises(catalog.InvalidParams):
        catalog.plan_key("BTC/USDT", "1m", "breakout", {"lookback": float("inf")})


def test_a_plan_is_evaluated_as_it_was_stored() -> None:
    plan = json.loads(catalog.plan_key("BTC/USDT", "1m", "ema_crossover", {"lookback": 30}))
    candles = moving(120)
    stored = catalog.evaluate(plan["strategy"], candles, plan["params"])
    given = catalog.snap_params("ema_crossover", {"lookback": 30, "threshold": 0.2})
    assert stored == catalog.evaluate("ema_crossover", candles, given)
    assert stored != catalog.evaluate("ema_crossover", candles, {})


def test_the_list_that_clients_read() -> None:
    listed = catalog.describe()
    assert [entry["name"] for entry in listed] == list(catalog.names())
    assert json.loads(json.dumps(listed, allow_nan=False)) == listed
    for entry in listed:
        assert list(entry) == [
            "name", "family", "description", "warm_up_bars", "needs_volume", "params",
        ]  # fmt: skip
        params = entry["params"]
        assert isinstance(params, list)
        assert {"lookback", "threshold"} <= {param["name"] for param in params}
        for param in params:
            assert list(param) == [
                "name", "type", "default", "min", "max", "step", "choices", "description",
            ]  # fmt: skip
            if param["type"] in ("int", "float"):
                assert param["min"] <= param["default"] <= param["max"]
                assert param["step"] in (STEPS if param["type"] == "float" else [1])
                assert param["choices"] is None
            else:
                values = [param[name] for name in ("default", "min", "max", "step")]
                assert values == [None] * 4
        assert [param["name"] for param in params[-2:]] == ["session_filter", "day_of_week_filter"]
    by_name = {entry["name"]: entry for entry in listed}
    assert by_name["momentum_breakout"]["warm_up_bars"] == 21
    assert by_name["momentum_breakout"]["params"] == by_name["breakout"]["params"]


@every_strategy
def test_too_few_bars_are_counted_out(strategy: Strategy) -> None:
    needed = strategy.warm_up_bars()
    for bars in range(needed + 1):
        signal = catalog.evaluate(strategy, moving(bars), {})
        assert (signal.value, signal.can_run) == (0.0, False)
        assert signal.detail == f"needs {needed} closed bars, has {max(bars - 1, 0)}"
    assert catalog.evaluate(catalog.get("breakout"), moving(8), {}).detail == (
        "needs 21 closed bars, has 7"
    )


@every_strategy
def test_the_warm_up_is_enough_and_fits_the_window(strategy: Strategy) -> None:
    corners = [{}, *({param.name: param.max} for param in strategy.params)]
    for corner in corners:
        given = dict(corner)
        for lower, upper in strategy.ordered:
            if lower in given:
                highest = next(param.max for param in strategy.params if param.name == upper)
                given.setdefault(upper, highest)
        params = catalog.snap_params(strategy, given)
        needed = strategy.warm_up_bars(params)
        assert needed < WINDOW_BARS
        candles = moving(needed + 1)
        value, words = strategy.function(candles, candles.close, **strategy.plan_params(params))
        detail = words if isinstance(words, str) else words()
        assert np.isfinite(value), detail
        assert "not moved" not in detail
        assert "nan" not in detail


def made_of(function: Callable[..., Reading], *, needs_volume: bool = False) -> Strategy:
    lookback = Param("lookback", "int", 3, 2, 9, 1, "bars")
    return Strategy(
        name="made",
        family="momentum",
        description="made up for a test",
        function=function,
        warm_up=lambda params: int(params["lookback"]),
        params=(lookback, threshold_param()),
        needs_volume=needs_volume,
    )


@pytest.mark.parametrize(
    ("answered", "value"),
    [
        (np.nan, 0.0),
        (np.inf, 0.0),
        (-np.inf, 0.0),
        (7.0, 1.0),
        (-7.0, -1.0),
        (-0.0, 0.0),
        (0.25, 0.25),
    ],
)
def test_an_answer_is_clipped_and_finite(answered: float, value: float) -> None:
    signal = catalog.evaluate(
        made_of(lambda candles, prices, lookback: (answered, "as told")), moving(20), {}
    )
    assert repr(signal.value) == repr(value)
    assert "as told" in signal.detail


def test_a_broken_strategy_is_not_hidden() -> None:
    def broken(candles: Candles, prices: object, lookback: int) -> Reading:
        raise ZeroDivisionError("a fault of the strategy")

    with pytest.raises(ZeroDivisionError):
        catalog.evaluate(made_of(broken), moving(20), {})


def test_volume_is_asked_for_where_it_is_needed() -> None:
    strategy = made_of(lambda candles, prices, lookback: (0.5, "seen"), needs_volume=True)
    candles = moving(20)
    assert catalog.evaluate(strategy, candles, {}) == catalog.Signal(
        0.0, "needs volume, the price source gives none", can_run=False
    )
    traded = replace(candles, volume=np.ones(20))
    assert catalog.evaluate(strategy, traded, {}).value == 0.5


def test_candles_show_their_size_and_not_their_numbers() -> None:
    assert repr(moving(500)).startswith("<Candles: 500 bars, newest 29940 close ")
    assert repr(moving(0)) == "<Candles: 0 bars>"


def test_candles_of_the_wrong_shape_are_refused() -> None:
    column = np.ones(5)
    wrongs: list[Any] = [np.ones(4), np.ones((5, 1)), np.ones(5, np.float32), np.ones(10)[::2]]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="candle columns"):
            Candles(column, column, column, column, column, wrong)
