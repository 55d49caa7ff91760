"""Fetched candles: cleaned, followed by others, and taken into windows."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.candles import FetchedCandles, clean_candles, decode_candles, encode_candles
from adapters.live_windows import begun_bar, corrections, settled
from adapters.market_windows import BarLog
from engine.frames import TIME, VOLUME, WINDOW_BARS, Floats

NOW = 1_700_000_020.0
"""Forty seconds into a minute."""
FIRST = 1_699_999_200.0
NO_BAR = np.full(6, np.nan)


def rows(*bars: tuple[float, ...]) -> list[list[float]]:
    return [[*bar] for bar in bars]


def good(opened: float, price: float = 10.0, volume: float = 1.0) -> tuple[float, ...]:
    return (opened, price, price + 1, price - 1, price, volume)


def fetched(bars: Floats, source: str = "a", fill_from: float = 0.0) -> FetchedCandles:
    return FetchedCandles(source=source, fetched_at=NOW, bars=bars, fill_from=fill_from)


def series(count: int, price: float = 10.0, first: float = FIRST) -> Floats:
    bars = [good(first + 60 * n, price) for n in range(count)]
    return np.array(bars).reshape(-1, 6)


def test_order_repeats_and_the_unfinished_bar() -> None:
    minute = NOW - 40
    found = clean_candles(
        "x", "1m",
        rows(good(minute, 5), good(minute - 60, 2), good(minute - 120, 4), good(minute - 60, 3),
             good(minute + 60, 9)),
        NOW,
    )  # fmt: skip
    assert found.bars[:, TIME].tolist() == [minute - 120, minute - 60]
    assert found.bars[:, 1].tolist() == [4, 3]
    assert found.forming is not None and found.forming[1] == 5
    assert clean_candles("x", "1m", rows(good(minute - 60)), NOW).forming is None


@pytest.mark.parametrize(
    "bar",
    [
        (FIRST + 1, 1, 1, 1, 1, 1),
        (FIRST, 0, 1, 1, 1, 1),
        (FIRST, 1, 1, -1, 1, 1),
        (FIRST, math.nan, 1, 1, 1, 1),
        (FIRST, 1, math.inf, 1, 1, 1),
        (FIRST, 1, 2, 1, 3, 1),
        (FIRST, 1, 2, 1.5, 1.2, 1),
        (FIRST, 1, 1, 1, 1, -1),
        (math.nan, 1, 1, 1, 1, 1),
    ],
)
def test_what_is_no_bar_is_left_out(bar: tuple[float, ...]) -> None:
    found = clean_candles("x", "1m", rows(bar, good(FIRST + 60)), NOW)
    assert found.bars[:, TIME].tolist() == [FIRST + 60]


def test_nothing_is_nothing_and_500_are_enough() -> None:
    assert clean_candles("x", "1m", [], NOW).bars.shape == (0, 6)
    bars = [good(NOW - 40 - 60 * n) for n in range(700)]
    assert len(clean_candles("x", "1m", rows(*bars), NOW).bars) == WINDOW_BARS


def test_they_are_stored_as_they_were() -> None:
    candles = clean_candles("x", "1m", rows(good(NOW - 40), good(FIRST, volume=math.nan)), NOW)
    again = decode_candles(encode_candles(candles))
    assert np.array_equal(again.bars, candles.bars, equal_nan=True)
    assert again.forming is not None and candles.forming is not None
    assert np.array_equal(again.forming, candles.forming)
    assert (again.source, again.fetched_at, again.fill_from) == ("x", NOW, 0.0)
    assert not again.has_volume


def test_a_second_source_goes_on_where_the_first_ended() -> None:
    first = fetched(series(10), "a")
    assert fetched(series(12), "b").following(None).fill_from == 0
    assert fetched(series(12), "a").following(first).fill_from == 0
    second = fetched(series(12), "b").following(first)
    assert second.fill_from == first.newest + 1
    assert fetched(series(13), "b").following(second).fill_from == second.fill_from
    third = fetched(series(14), "a").following(second)
    assert third.fill_from == second.newest + 1


def test_volumes_take_over_and_are_not_given_back() -> None:
    without = series(10)
    without[:, VOLUME] = np.nan
    first = fetched(without, "a")
    second = fetched(series(12), "b").following(first)
    assert second.fill_from == 0
    third = fetched(without, "a").following(second)
    assert third.fill_from == math.inf
    assert not len(corrections(series(3), third))


def test_a_window_lacks_what_it_lacks_and_nothing_else() -> None:
    window = series(20)
    assert not len(corrections(window, fetched(window)))
    theirs = series(22)
    theirs[5, 2] += 1
    theirs = np.delete(theirs, 7, axis=0)
    changed = corrections(window, fetched(theirs))
    assert changed[:, TIME].tolist() == [FIRST + 60 * n for n in (5, 20, 21)]
    partly = corrections(window, fetched(theirs, fill_from=FIRST + 60 * 20))
    assert partly[:, TIME].tolist() == [FIRST + 60 * n for n in (20, 21)]
    assert len(corrections(np.empty((0, 6)), fetched(series(500)))) == WINDOW_BARS - 1


def test_a_window_that_was_corrected_needs_nothing_more() -> None:
    """However long both are: else the same bars would be put in for ever."""
    for mine, theirs in ((0, 500), (499, 500), (500, 500), (300, 450), (500, 20)):
        window = series(mine, 11.0, FIRST + 60 * (500 - mine))
        candles = fetched(series(theirs, 12.0, FIRST + 60 * (500 - theirs)))
        after = settled(np.concatenate([window, corrections(window, candles)]))
        assert not len(corrections(after[-(WINDOW_BARS - 1) :], candles))


def test_a_bar_that_was_begun_before_it_was_seen() -> None:
    forming = np.array([FIRST, 10, 12, 9, 11, math.nan])
    begun = np.array([FIRST, 8, 11, 7, 9, 5.0])
    assert begun_bar(forming, None, FIRST) is forming
    assert begun_bar(forming, begun, FIRST - 60) is forming
    whole = begun_bar(forming, begun, FIRST)
    assert whole.tolist() == [FIRST, 8, 12, 7, 11, 5]
    assert begun_bar(NO_BAR, begun, FIRST) is begun


steps = st.lists(
    st.tuples(st.integers(0, 40), st.floats(1, 9), st.booleans()), min_size=1, max_size=60
)


@given(steps, st.integers(0, 59))
def test_a_log_shows_at_each_number_what_had_been_said_by_then(
    said: list[tuple[int, float, bool]], read_at: int
) -> None:
    """A log read at some number and extended afterwards, against everything said up to each."""
    bars = np.array([good(FIRST + 60 * place, price) for place, price, _ in said])
    read_at = min(read_at, len(bars) - 1)
    log = BarLog(bars[: read_at + 1], read_at, complete=True)
    numbers = np.arange(read_at + 1, len(bars))
    assert log.extend(numbers, bars[read_at + 1 :])
    assert not log.covers(read_at - 1) and not log.covers(len(bars))
    for number in [*range(read_at, len(bars)), read_at]:
        latest = {bar[TIME]: bar for bar in bars[: number + 1]}
        expected = np.array([latest[time] for time in sorted(latest)])
        assert log.covers(number)
        window = log.window("X", "1m", number, NO_BAR)
        assert np.array_equal(window.candles.T, expected)
        forming = np.array(good(FIRST + 60 * 100))
        assert np.array_equal(log.window("X", "1m", number, forming).candles[:, -1], forming)


def test_a_log_that_lost_its_beginning_covers_whole_windows_only() -> None:
    bars = np.concatenate([series(400), series(400, 12.0)])
    assert not BarLog(bars, 800, complete=False).covers(800)
    assert BarLog(bars, 800, complete=True).covers(800)
    longer = np.concatenate([series(600), series(500, 12.0)])
    assert BarLog(longer, 1100, complete=False).covers(1100)
