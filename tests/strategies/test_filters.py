"""Hours and weekdays as parameters of any strategy."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import catalog
from strategies.base import Candles
from strategies.filters import (
    ALWAYS,
    DAYS,
    SESSIONS,
    TradingTime,
    hour_of,
    trading_time,
    weekday_of,
)

MOMENTS = st.floats(0, 4e9)


def snapped(**given: object) -> dict[str, object]:
    """The filters as they are kept."""
    kept = catalog.snap_params("breakout", given)
    return {name: kept[name] for name in kept if name.endswith("_filter")}


def problems(**given: object) -> dict[str, str]:
    with pytest.raises(catalog.InvalidParams) as refusal:
        catalog.snap_params("breakout", given)
    return {problem.field: problem.message for problem in refusal.value.problems}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("us", [13, 21]), ("US", [13, 21]), (True, [13, 21]), ([13, 21], [13, 21]),
        ([13.0, 21.0], [13, 21]), ("asia", [0, 8]), (" Eu ", [7, 15]), ([22, 2], [22, 2]),
        ([24, 5], [0, 5]), ([20, 0], [20, 24]),
    ],
)  # fmt: skip
def test_the_same_hours_have_one_form(given: object, kept: list[int]) -> None:
    assert snapped(session_filter=given) == {"session_filter": kept}
    assert snapped(session_filter=kept) == {"session_filter": kept}


@pytest.mark.parametrize("given", [None, False, [0, 24], [24, 0]])
def test_hours_that_leave_nothing_out_are_left_out(given: object) -> None:
    assert snapped(session_filter=given) == {}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["fri", "Mon"], ["mon", "fri"]), (["Tuesday", "tue"], ["tue"]),
        (True, list(DAYS[:5])), ("weekdays", list(DAYS[:5])), ("weekend", ["sat", "sun"]),
    ],
)  # fmt: skip
def test_the_same_days_have_one_form(given: object, kept: list[str]) -> None:
    assert snapped(day_of_week_filter=given) == {"day_of_week_filter": kept}
    assert snapped(day_of_week_filter=kept) == {"day_of_week_filter": kept}


@pytest.mark.parametrize("given", [None, False, list(DAYS), list(reversed(DAYS))])
def test_days_that_leave_nothing_out_are_left_out(given: object) -> None:
    assert snapped(day_of_week_filter=given) == {}


HOURS = "must be asia, eu, us or two hours like [13, 21]"
NUMBERS = "its hours must be whole numbers from 0 to 24"
A_LIST = "must be a list of mon, tue, wed, thu, fri, sat, sun"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("tokyo", HOURS), ([13], HOURS), (13, HOURS), ({"from": 13}, HOURS), ([1, 2, 3], HOURS),
        ([13, 13], "its two hours must differ"), ([24, 24], "its two hours must differ"),
        ([13, 25], NUMBERS), ([-1, 5], NUMBERS), (["13", "21"], NUMBERS), ([1.5, 4], NUMBERS),
        ([float("nan"), 4], NUMBERS), ([True, 4], NUMBERS), ([0, float("inf")], NUMBERS),
    ],
)  # fmt: skip
def test_hours_that_make_no_sense_are_refused(given: object, told: str) -> None:
    assert problems(session_filter=given) == {"session_filter": told}


@pytest.mark.parametrize("given", [[], "mon", 3, ["someday"], [1], [["mon"]], [None], ["mon"] * 8])
def test_days_that_make_no_sense_are_refused(given: object) -> None:
    assert problems(day_of_week_filter=given) == {"day_of_week_filter": A_LIST}


def test_they_are_refused_together_with_everything_else() -> None:
    told = problems(session_filter=1, day_of_week_filter=[], lookback=0, sesion_filter="us")
    assert set(told) == {"session_filter", "day_of_week_filter", "lookback", "sesion_filter"}
    assert "did you mean session_filter?" in told["sesion_filter"]


@given(MOMENTS)
def test_hours_and_weekdays_are_those_of_the_calendar(moment: float) -> None:
    day = datetime.fromtimestamp(moment, UTC)
    assert (hour_of(moment), weekday_of(moment)) == (day.hour, day.weekday())
    array = np.array([moment])
    assert (hour_of(array)[0], weekday_of(array)[0]) == (day.hour, day.weekday())


@given(
    MOMENTS,
    st.tuples(st.integers(0, 23), st.integers(1, 24)).filter(lambda hours: hours[0] != hours[1]),
    st.lists(st.sampled_from(DAYS), min_size=1, max_size=7),
)
def test_it_is_open_between_its_hours_on_its_days(
    moment: float, hours: tuple[int, int], days: list[str]
) -> None:
    open_at = trading_time(snapped(session_filter=list(hours), day_of_week_filter=days))
    day = datetime.fromtimestamp(moment, UTC)
    first, last = hours
    within = first <= day.hour < last if first < last else day.hour >= first or day.hour < last
    expected = within and DAYS[day.weekday()] in days
    assert (open_at.closed(moment) == "") == expected
    masks = open_at.hour_mask >> day.hour & 1, open_at.day_mask >> day.weekday() & 1
    assert (masks == (1, 1)) == expected


def test_the_words_say_what_is_closed() -> None:
    monday = datetime(2024, 1, 1, 3, 12, tzinfo=UTC).timestamp()
    assert TradingTime(SESSIONS["us"]).closed(monday) == (
        "outside of its hours: 13 to 21 UTC, it is 03:12"
    )
    assert TradingTime(days=("sat", "sun")).closed(monday) == (
        "no trading on Monday, only on sat sun (UTC)"
    )
    assert ALWAYS.closed(monday) == ""


def test_outside_of_its_time_a_strategy_says_nothing() -> None:
    price = np.linspace(100, 200, 60)
    candles = Candles(np.arange(60.0), price, price, price, price, np.zeros(60))
    params = catalog.snap_params("breakout", {"session_filter": "us"})
    plain = catalog.evaluate("breakout", candles, {})
    assert plain.value > 0
    closed = catalog.evaluate("breakout", candles, params, moment=12 * 3600.0)
    assert (closed.value, closed.can_run) == (0.0, True)
    assert closed.detail == "outside of its hours: 13 to 21 UTC, it is 12:00"
    assert catalog.evaluate("breakout", candles, params, moment=13 * 3600.0) == plain
    with pytest.raises(AssertionError, match="time"):
        catalog.evaluate("breakout", candles, params)


def test_a_plan_with_filters_is_another_plan() -> None:
    keys = {
        catalog.plan_key("BTC/USDT", "1m", "breakout", given)
        for given in (
            {},
            {"session_filter": None},
            {"session_filter": False, "day_of_week_filter": list(DAYS)},
        )
    }
    assert len(keys) == 1
    filtered = {
        catalog.plan_key("BTC/USDT", "1m", "breakout", {"session_filter": given})
        for given in ("us", True, [13, 21])
    }
    assert len(filtered) == 1 and not filtered & keys
