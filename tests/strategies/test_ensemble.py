"""The ensemble: the weighted mean of its members, one plan for equal wishes."""

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adapters.db import models
from strategies import catalog
from strategies.base import Candles
from strategies.ensemble import MEMBERS_MAX

KEY = ("BTC/USDT", "1m", "ensemble")


def moving(bars: int, seed: int = 1, volume: float = 1.0) -> Candles:
    price = 100 + np.cumsum(np.random.default_rng(seed).normal(0, 1, bars))
    price -= min(price.min() - 2, 0)
    time = np.arange(bars, dtype=np.float64) * 60
    return Candles(time, price - 0.5, price + 1, price - 1, price, np.full(bars, volume))


def key(*members: Any, **others: Any) -> str:
    return catalog.plan_key(*KEY, {"members": list(members), **others})


def plan(*members: Any, **others: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(key(*members, **others))["params"]["members"]
    return found


def problems(given: dict[str, object]) -> dict[str, str]:
    with pytest.raises(catalog.InvalidParams) as refusal:
        catalog.snap_params("ensemble", given)
    return {problem.field: problem.message for problem in refusal.value.problems}


@st.composite
def some_member(draw: st.DrawFn) -> dict[str, Any]:
    """A strategy, perhaps with a weight, perhaps with a slightly longer lookback than usual."""
    strategy = draw(st.sampled_from(catalog.STRATEGIES))
    member: dict[str, Any] = {"strategy_name": strategy.name}
    if draw(st.booleans()):
        member["weight"] = draw(st.integers(1, 100)) / 10
    if draw(st.booleans()):
        lookback = strategy.defaults["lookback"] + draw(st.integers(0, 5))
        member["params"] = {"lookback": lookback}
        try:
            catalog.snap_params(strategy, member["params"])
        except catalog.InvalidParams:
            del member["params"]
    return member


members = st.lists(some_member(), min_size=2, max_size=MEMBERS_MAX)


@settings(max_examples=60, deadline=None)
@given(members, st.integers(0, 1000))
def test_the_signal_is_the_weighted_mean(chosen: list[dict[str, Any]], seed: int) -> None:
    candles = moving(400, seed)
    said = [
        (catalog.evaluate(each["strategy_name"], candles, each.get("params", {})), each)
        for each in chosen
    ]
    able = [(signal.value, each.get("weight", 1.0)) for signal, each in said if signal.can_run]
    assume(able)
    values, weights = zip(*able, strict=True)
    expected = float(np.average(values, weights=weights))
    params = catalog.snap_params("ensemble", {"members": chosen})
    signal = catalog.evaluate("ensemble", candles, params)
    assert signal.value == pytest.approx(expected, abs=1e-12)
    assert signal.can_run
    stored = json.loads(catalog.plan_key(*KEY, params))["params"]
    assert catalog.evaluate("ensemble", candles, stored) == signal


@given(members, st.randoms(use_true_random=False), st.sampled_from([0.5, 2.0]))
def test_the_same_wish_is_the_same_plan(
    chosen: list[dict[str, Any]], order: random.Random, factor: float
) -> None:
    shuffled = [dict(each) for each in chosen]
    order.shuffle(shuffled)
    wanted = key(*chosen)
    assert key(*shuffled) == wanted
    heavier = [{**each, "weight": each.get("weight", 1.0) * factor} for each in chosen]
    if all(0.1 <= each["weight"] <= 10 and (each["weight"] * 10) % 1 == 0 for each in heavier):
        assert key(*heavier) == wanted
    params = catalog.snap_params("ensemble", {"members": chosen})
    assert catalog.snap_params("ensemble", params) == params
    assert catalog.plan_key(*KEY, params) == wanted
    again = json.loads(wanted)["params"]
    assert catalog.get("ensemble").plan_params(again) == again


def test_one_form_for_names_weights_aliases_and_doubles() -> None:
    assert plan("breakout", "rsi_signal") == plan(
        {"strategy_name": "rsi_signal", "weight": 2},
        {"strategy_name": "momentum_breakout", "params": {"lookback": 20.0}},
        {"strategy_name": "momentum_breakout"},
    )
    assert [each["weight"] for each in plan("breakout", "rsi_signal")] == [1, 1]
    assert all("threshold" not in each["params"] for each in plan("breakout", "rsi_signal"))


def test_its_lookback_is_that_of_members_that_name_none() -> None:
    slow = {"strategy_name": "z_score", "params": {"lookback": 50}}
    channel = {"strategy_name": "breakout", "params": {"lookback": 30}}
    assert plan("breakout", slow, lookback=30) == plan(channel, slow)
    assert "lookback" not in json.loads(key("breakout", slow, lookback=30))["params"]
    kept = catalog.snap_params("ensemble", {"members": ["breakout", slow]})
    assert catalog.plan_key(*KEY, {**kept, "lookback": 30}) == key(channel, slow)


def test_left_out_its_members_are_three_that_follow_the_move() -> None:
    default = json.loads(catalog.plan_key(*KEY, {}))["params"]["members"]
    assert [each["strategy_name"] for each in default] == [
        "ema_crossover", "macd_signal", "simple_momentum",
    ]  # fmt: skip
    signal = catalog.evaluate("ensemble", moving(400), {})
    assert signal.can_run and signal.value != 0


def test_every_problem_is_told_with_its_place() -> None:
    assert problems(
        {
            "members": [
                {"strategy_name": "breakot"},
                {"strategy_name": "ensemble", "weight": 0},
                {"strategy_name": "breakout", "params": {"lookback": 1, "width": 2}, "wieght": 1},
                {"strategy_name": "z_score", "params": {"threshold": 0.5, "session_filter": "us"}},
                {"strategy_name": "rsi_signal", "params": [14]},
                14,
                {"name": "rsi_signal"},
            ],
            "threshold": 2,
            "session_filter": "moon",
        }
    ) == {
        "threshold": "must be between 0.01 and 1",
        "members[0].strategy_name": "no such strategy; did you mean breakout?",
        "members[1].weight": "must be between 0.1 and 10",
        "members[1].strategy_name": "an ensemble can't be a member of another",
        "members[2].wieght": "is not known; it takes strategy_name, params, weight",
        "members[2].params.lookback": "must be between 2 and 200",
        "members[2].params.width": "is not a parameter of breakout; it takes lookback, threshold,"
        " session_filter, day_of_week_filter",
        "members[3].params.threshold": "belongs to the ensemble, not to a member",
        "members[3].params.session_filter": "belongs to the ensemble, not to a member",
        "members[4].params": "must be an object",
        "members[5]": "must be a strategy's name or {strategy_name, params, weight}",
        "members[6]": "must be a strategy's name or {strategy_name, params, weight}",
        "session_filter": "must be asia, eu, us or two hours like [13, 21]",
    }  # fmt: skip


@pytest.mark.parametrize("given", [[], ["breakout"], ["breakout"] * 9, "breakout", {}, 3])
def test_the_number_of_members_is_bounded(given: object) -> None:
    assert problems({"members": given}) == {"members": "must be a list of 2 to 8 strategies"}


def test_a_lookback_that_a_member_can_not_take_is_told() -> None:
    assert problems({"members": ["breakout", "ema_crossover"], "lookback": 8}) == {
        "lookback": "for ema_crossover: lookback must be above fast, which is 9"
    }


def test_a_member_that_cannot_run_drops_out() -> None:
    candles = moving(18)
    young = {"members": [{"strategy_name": "rsi_signal", "weight": 3}, "breakout"]}
    params = catalog.snap_params("ensemble", young)
    signal = catalog.evaluate("ensemble", candles, params)
    alone = catalog.evaluate("rsi_signal", candles, {})
    assert signal.can_run and signal.value == alone.value
    assert signal.detail == (
        "breakout cannot run (needs 21 closed bars, has 17);"
        f" rsi_signal {alone.value:+.2f} x3 ({alone.detail})"
    )


def test_none_can_run() -> None:
    few = catalog.evaluate("ensemble", moving(5), {})
    assert (few.value, few.can_run) == (0.0, False)
    assert few.detail == "needs 20 closed bars, has 4"


def test_members_of_one_strategy_are_told_apart() -> None:
    fast = {"strategy_name": "breakout", "params": {"lookback": 10}}
    params = catalog.snap_params("ensemble", {"members": [fast, "breakout"]})
    detail = catalog.evaluate("ensemble", moving(60), params).detail
    assert detail.startswith("breakout(10) ") and "; breakout(20) " in detail


def test_the_longest_ensemble_fits_its_column() -> None:
    def widest(strategy: catalog.Strategy, turn: int) -> dict[str, Any]:
        paired = {name for pair in strategy.ordered for name in pair}
        params: dict[str, Any] = {}
        for param in strategy.params:
            if param.name not in paired | {"threshold"}:
                some = (param.max, param.min + param.step, param.min)
                params[param.name] = max((param.snap(each) for each in some), key=width)
        params["lookback"] = next(p.max for p in strategy.params if p.name == "lookback") - turn
        return {"strategy_name": strategy.name, "params": params, "weight": 9.9 - turn / 10}

    def width(value: object) -> int:
        return len(json.dumps(value))

    longest = sorted(catalog.STRATEGIES, key=lambda each: width(widest(each, 0)))[:-3:-1]
    given = {
        "members": [widest(longest[turn % 2], turn) for turn in range(MEMBERS_MAX)],
        "session_filter": [13, 21],
        "day_of_week_filter": ["mon", "tue", "wed", "thu", "fri", "sat"],
    }
    found = catalog.plan_key("A" * 32, "15m", "ensemble", given)
    assert len(json.loads(found)["params"]["members"]) == MEMBERS_MAX
    assert 1200 < len(found) <= models.PLAN_KEY_CHARACTERS_MAX
