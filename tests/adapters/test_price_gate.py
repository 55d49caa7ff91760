"""What is no price is dropped, and a level that is true is taken in the end."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.price_feed import PriceBuffer
from adapters.price_gate import CONFIRMED_AFTER_S, PriceGate, PriceUpdate

NOW = 1_700_000_000.0


def at(price: float, seconds: float = 0.0) -> PriceUpdate:
    return PriceUpdate("BTC/USDT", price, NOW + seconds)


def refusals(gate: PriceGate, *updates: PriceUpdate) -> list[str | None]:
    return [gate.refuses(update, max(NOW, update.publish_time)) for update in updates]


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_what_is_not_above_zero_and_finite_is_no_price(price: float) -> None:
    gate = PriceGate(0.2)
    assert refusals(gate, at(price), at(100), at(price)) == ["not_a_price", None, "not_a_price"]


def test_a_price_from_the_future_or_the_past_is_dropped() -> None:
    gate = PriceGate(0.2)
    assert gate.refuses(at(100, 6), NOW) == "future"
    assert gate.refuses(at(100, 4), NOW) is None
    assert gate.refuses(at(100, 3), NOW) == "late"
    assert gate.refuses(PriceUpdate("BTC/USDT", 100, math.nan), NOW) == "not_a_price"


def test_a_jump_is_dropped_and_the_old_level_goes_on() -> None:
    gate = PriceGate(0.2)
    said = refusals(gate, at(100), at(121, 1), at(101, 2), at(79, 3), at(100.5, 4))
    assert said == [None, "jump", None, "jump", None]


def test_twenty_per_cent_is_no_jump_yet() -> None:
    assert refusals(PriceGate(0.2), at(100), at(120, 1), at(96, 2)) == [None, None, None]


def test_a_shift_is_taken_once_others_confirm_it_over_some_seconds() -> None:
    gate = PriceGate(0.2)
    many = [at(50 + n % 2, n / 10) for n in range(40)]
    assert set(refusals(gate, at(100), *many)[1:]) == {"jump"}  # four seconds of it are too short
    assert refusals(gate, at(50, CONFIRMED_AFTER_S), at(51, 6)) == [None, None]


def test_a_shift_needs_several_updates_however_far_apart() -> None:
    gate = PriceGate(0.2)
    said = refusals(gate, at(100), at(50, 10), at(50, 20), at(50, 30), at(50, 40))
    assert said == [None, "jump", "jump", "jump", None]


def test_nonsense_that_jumps_about_is_never_taken() -> None:
    gate = PriceGate(0.2)
    wild = [at(10.0 ** (n % 3 + 3), n) for n in range(60)]
    assert set(refusals(gate, at(100), *wild)[1:]) == {"jump"}
    assert refusals(gate, at(101, 61)) == [None]


def test_a_confirmation_begins_anew_after_a_price_of_the_old_level() -> None:
    gate = PriceGate(0.2)
    said = refusals(
        gate, at(100), at(50, 1), at(50, 3), at(100, 4), at(50, 5), at(50, 6), at(50, 7)
    )
    assert said == [None, "jump", "jump", None, "jump", "jump", "jump"]


def test_who_takes_over_knows_the_level_of_before() -> None:
    gate = PriceGate(0.2)
    gate.start_from("BTC/USDT", 100, NOW - 5)
    assert refusals(gate, at(50), at(100)) == ["jump", None]
    gate.forget("BTC/USDT")
    assert refusals(gate, at(50)) == [None]


prices = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.floats(50, 150), st.just(100.0)
)


@given(st.lists(st.tuples(prices, st.floats(0, 3)), max_size=60))
def test_neighbors_never_differ_by_more_than_a_jump_unless_confirmed(
    path: list[tuple[float, float]],
) -> None:
    """Whatever is sent: a price that is taken is near the one before, or seconds have passed."""
    gate, moment = PriceGate(0.2), NOW
    taken: tuple[float, float] | None = None
    for price, later in path:
        moment += later
        if gate.refuses(PriceUpdate("X", price, moment), moment) is None:
            assert price > 0
            if taken is not None and abs(price / taken[0] - 1) > 0.2:
                assert moment - taken[1] >= CONFIRMED_AFTER_S
            taken = (price, moment)


def test_the_buffer_keeps_the_path_between_two_writes() -> None:
    buffer = PriceBuffer(PriceGate(0.2), lambda: NOW + 10)
    buffer.put([at(100, 1), at(110, 2), at(95, 3), at(0, 4), at(101, 5)])
    (seen,) = taken = buffer.take()
    assert (seen.open, seen.high, seen.low, seen.close) == (100, 110, 95, 101)
    assert seen.publish_time == NOW + 5
    assert buffer.dropped == {"not_a_price": 1}
    assert buffer.take() == []
    buffer.put([at(120, 6)])
    buffer.put_back(taken)
    (again,) = buffer.take()
    assert (again.open, again.high, again.low, again.close) == (100, 120, 95, 120)
    assert again.publish_time == NOW + 6
