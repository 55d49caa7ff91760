"""What must hold for every strategy of the catalogue, on candles that hypothesis makes up."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import catalog
from strategies.base import WINDOW_BARS, Candles, FloatArray, Params, Strategy

COLUMNS = ("open", "high", "low", "close")
every_strategy = pytest.mark.parametrize(
    "strategy", catalog.STRATEGIES, ids=lambda strategy: strategy.name
)
quick = settings(max_examples=25, deadline=None)
LONGEST_WARM_UP = max(strategy.warm_up_bars() for strategy in catalog.STRATEGIES)

# What they read moves with highs and lows, whether the closes move or not.
READ_EXTREMES = {
    "adx_filter",
    "aroon_signal",
    "donchian_channel",
    "heikin_ashi_trend",
    "ichimoku_signal",
    "money_flow_index",
    "range_sr",
    "stochastic_signal",
    "supertrend",
    "vwap_deviation",
}


def walk(seed: int, bars: int, step: float, start: float) -> Candles:
    """A random walk with bursts of volatility, so that strategies that wait for one see some."""
    random = np.random.default_rng(seed)
    steps = random.standard_t(3, bars) * step * np.exp(random.normal(0, 0.5, bars))
    close = start * np.exp(np.clip(np.cumsum(steps), -3, 3))
    open_ = np.concatenate([[start], close[:-1]])
    high = np.maximum(open_, close) * (1 + np.abs(random.normal(0, step / 2, bars)))
    low = np.minimum(open_, close) / (1 + np.abs(random.normal(0, step / 2, bars)))
    time = np.arange(bars, dtype=np.float64) * 60 + 1_700_000_000
    return Candles(time, open_, high, low, close, random.uniform(1, 2, bars))


walks = st.builds(
    walk,
    seed=st.integers(0, 2**32 - 1),
    bars=st.integers(LONGEST_WARM_UP + 1, WINDOW_BARS + 40),
    step=st.sampled_from([1e-5, 1e-3, 0.02]),
    start=st.sampled_from([1.3e-7, 1.0, 42_000.0]),
)


def first(candles: Candles, bars: int) -> Candles:
    return Candles(
        candles.time[:bars], candles.open[:bars], candles.high[:bars],
        candles.low[:bars], candles.close[:bars], candles.volume[:bars],
    )  # fmt: skip


def value(strategy: Strategy, candles: Candles, params: Params | None = None) -> float:
    signal = catalog.evaluate(strategy, candles, params or {})
    assert -1.0 <= signal.value <= 1.0
    assert signal.detail
    return signal.value


@st.composite
def some_params(draw: st.DrawFn, strategy: Strategy) -> Params:
    """Snapped parameters: each at its default, or anywhere in the lower part of its range."""
    given: dict[str, object] = {}
    for param in strategy.params:
        highest = min(param.max, 4 * param.default)
        if draw(st.booleans()):
            given[param.name] = param.snap(draw(st.floats(param.min, highest)))
    try:
        return catalog.snap_params(strategy, given)
    except catalog.InvalidParams:
        return strategy.defaults


@every_strategy
@quick
@given(data=st.data(), candles=walks, factor=st.floats(1e-6, 1e6))
def test_scaling_prices_changes_nothing(
    strategy: Strategy, data: st.DataObject, candles: Candles, factor: float
) -> None:
    params = data.draw(some_params(strategy))
    scaled = replace(candles, **{name: getattr(candles, name) * factor for name in COLUMNS})
    assert value(strategy, scaled, params) == pytest.approx(
        value(strategy, candles, params), abs=1e-6
    )


def typical(candles: Candles) -> FloatArray:
    price: FloatArray = (candles.high + candles.low + candles.close) / 3
    return price


@every_strategy
@quick
@given(data=st.data(), candles=walks)
def test_mirrored_prices_give_the_mirrored_signal(
    strategy: Strategy, data: st.DataObject, candles: Candles
) -> None:
    params = dict(data.draw(some_params(strategy)))
    if "oversold" in params:
        params["overbought"] = 100.0 - float(params["oversold"])
    if strategy.name == "bollinger_squeeze":
        # Which bands were narrow is a matter of per cent, and those change with the middle.
        params["narrow"] = params["width"] = 1.0
    # Reflected in the middle of its own range, so that no price drops to zero.
    sum_of_ends = candles.high.max() + candles.low.min()
    mirrored = replace(
        candles,
        open=sum_of_ends - candles.open,
        high=sum_of_ends - candles.low,
        low=sum_of_ends - candles.high,
        close=sum_of_ends - candles.close,
    )
    if strategy.name == "money_flow_index":
        # It weighs by money, and less money pays for the same volume at a lower price.
        paid = typical(candles) / typical(mirrored)
        mirrored = replace(mirrored, volume=candles.volume * paid)
    assert value(strategy, mirrored, params) == pytest.approx(
        -value(strategy, candles, params), abs=1e-6
    )


@every_strategy
@quick
@given(data=st.data(), candles=walks)
def test_bars_that_come_later_never_change_a_signal(
    strategy: Strategy, data: st.DataObject, candles: Candles
) -> None:
    now = data.draw(st.integers(45, len(candles) - 1))
    alone = first(Candles.from_bars(rows(candles)), now)
    said = catalog.evaluate(strategy, first(Candles.from_bars(rows(candles)[:now]), now), {})
    later = rows(candles)
    later[now:] = data.draw(st.sampled_from([np.nan, 1e12, 1e-12]))
    assert catalog.evaluate(strategy, first(Candles.from_bars(later), now), {}) == said
    assert catalog.evaluate(strategy, alone, {}) == said


@every_strategy
@quick
@given(candles=walks)
def test_the_past_beyond_the_window_is_forgotten(strategy: Strategy, candles: Candles) -> None:
    bars = rows(candles)
    older = np.vstack([np.full((7, 6), np.nan), bars]) if len(bars) >= WINDOW_BARS else bars
    newest = Candles.from_bars(bars[-WINDOW_BARS:])
    assert catalog.evaluate(strategy, Candles.from_bars(older), {}) == catalog.evaluate(
        strategy, newest, {}
    )


@every_strategy
@quick
@given(data=st.data(), candles=walks, bad=st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -1.0]))
def test_a_broken_price_in_the_window_gives_nothing(
    strategy: Strategy, data: st.DataObject, candles: Candles, bad: float
) -> None:
    column = data.draw(st.sampled_from(["low"] if bad in (0.0, -1.0) else COLUMNS))
    broken = getattr(candles, column).copy()
    broken[-data.draw(st.integers(1, min(len(candles), WINDOW_BARS)))] = bad
    signal = catalog.evaluate(strategy, replace(candles, **{column: broken}), {})
    assert (signal.value, signal.can_run) == (0.0, False)
    assert "window" in signal.detail


@every_strategy
@quick
@given(bars=st.integers(1, WINDOW_BARS + 5), price=st.floats(1e-9, 1e9))
def test_a_price_that_stands_still_gives_nothing(
    strategy: Strategy, bars: int, price: float
) -> None:
    still = np.full(bars, price)
    candles = Candles(np.arange(float(bars)), still, still, still, still, still)
    assert value(strategy, candles) == 0.0


@pytest.mark.parametrize(
    "strategy",
    [each for each in catalog.STRATEGIES if each.name not in READ_EXTREMES],
    ids=lambda strategy: strategy.name,
)
@quick
@given(candles=walks)
def test_closes_that_stand_still_between_moving_extremes_give_nothing(
    strategy: Strategy, candles: Candles
) -> None:
    middle = float((candles.high.max() + candles.low.min()) / 2)
    still = np.full(len(candles), middle)
    high, low = np.maximum(candles.high, middle), np.minimum(candles.low, middle)
    resting = replace(candles, open=still, close=still, high=high, low=low)
    assert value(strategy, resting) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("simple_momentum", 21),
        ("breakout", 22),
        ("z_score", 20),
        ("bollinger_reversion", 20),
        ("atr_breakout", 20),
        ("dual_momentum", 21),
        ("donchian_channel", 21),
        ("ma_crossover", 21),
        ("stochastic_signal", 18),
        ("range_sr", 21),
        ("bollinger_squeeze", 21),
        ("keltner_bollinger", 200),
        ("vwap_deviation", 51),
        # An average forgets a shock gradually, and somewhat faster than the ATR that it is
        # measured in: it takes some two hundred bars at rest until next to nothing is left.
        ("kalman_fair_value", 22),
        ("linear_regression_channel", 20),
        ("chande_momentum", 15),
        ("obv_trend", 11),
        ("money_flow_index", 15),
        ("heikin_ashi_trend", 80),
        ("variance_ratio", 102),
        ("ou_reversion", 61),
        ("ema_crossover", 200),
        ("macd_signal", 200),
        ("trix_signal", 200),
        # nothing but rounding is left of it then, and must not be measured by rounding
        ("ema_crossover", 490),
        ("macd_signal", 490),
        ("trix_signal", 490),
    ],
)
@quick
@given(candles=walks)
def test_a_price_that_came_to_rest_gives_nothing(name: str, rest: int, candles: Candles) -> None:
    bars = rows(candles)
    bars = bars[-WINDOW_BARS:]
    bars[-rest:, 1:5] = bars[-1, 4]
    remembered = {200: 0.05, 490: 1e-4}.get(rest, 1e-9)
    assert value(catalog.get(name), Candles.from_bars(bars)) == pytest.approx(0.0, abs=remembered)


MEASURED_BY_CLOSED_BARS = [
    "breakout", "donchian_channel", "ma_crossover", "ema_crossover", "macd_signal", "supertrend",
    "range_sr", "bollinger_squeeze", "atr_breakout", "keltner_bollinger", "ichimoku_signal",
    "kalman_fair_value", "time_series_momentum", "heikin_ashi_trend", "trix_signal",
    "narrow_range_breakout", "ou_reversion", "variance_ratio",
]  # fmt: skip


@pytest.mark.parametrize("name", MEASURED_BY_CLOSED_BARS)
@pytest.mark.parametrize("jump", [1.01, 0.99])
def test_a_jump_out_of_bars_that_stood_still_has_nothing_to_be_measured_by(
    name: str, jump: float
) -> None:
    bars = np.full((400, 6), 100.0)
    bars[:, 0] = np.arange(400.0) * 60
    bars[-1, 2:5] = max(100.0, 100 * jump), min(100.0, 100 * jump), 100 * jump
    assert value(catalog.get(name), Candles.from_bars(bars)) == 0.0


@every_strategy
@quick
@given(bars=st.lists(st.tuples(*[st.floats(1e-6, 1e6)] * 4), min_size=1, max_size=60))
def test_any_positive_prices_are_taken(
    strategy: Strategy, bars: list[tuple[float, float, float, float]]
) -> None:
    wild = np.array(
        [(60 * at, bar[0], max(bar), min(bar), bar[3], 1) for at, bar in enumerate(bars)]
    )
    value(strategy, Candles.from_bars(wild.astype(np.float64)))


@every_strategy
def test_candles_are_read_and_never_written(strategy: Strategy) -> None:
    candles = walk(3, 300, 0.01, 42_000.0)
    for name in ("time", *COLUMNS, "volume"):
        getattr(candles, name).flags.writeable = False
    value(strategy, candles)


@cache
def many_walks() -> list[Candles]:
    return [walk(seed, WINDOW_BARS, 0.01, 100.0) for seed in range(400)]


@every_strategy
def test_both_directions_occur(strategy: Strategy) -> None:
    # Made of independent steps, these walks are seldom called anything but random.
    params = {"significance": 1.0} if strategy.name == "variance_ratio" else {}
    values = [value(strategy, candles, params) for candles in many_walks()]
    assert sum(each >= 0.5 for each in values) >= 3
    assert sum(each <= -0.5 for each in values) >= 3


def rows(candles: Candles) -> FloatArray:
    columns = [getattr(candles, name) for name in ("time", *COLUMNS, "volume")]
    return np.column_stack(columns).astype(np.float64)
