"""The grading that makes strategies comparable, and prices in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.readings import beyond_lines, graded, price_text


@given(st.floats(-50, 50))
def test_grading_is_odd_and_keeps_to_its_bounds(multiple: float) -> None:
    assert graded(multiple) == -graded(-multiple)
    assert -1 <= graded(multiple) <= 1
    assert graded(multiple + 0.1) >= graded(multiple)


def test_the_trigger_is_half_strength_and_not_a_bit_less() -> None:
    assert 0.5 <= graded(1.0) < 0.5 + 1e-15
    assert graded(2.0) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("price", "words"),
    [
        (42310.0, "42,310"), (42310.556, "42,310.6"), (1234567.8, "1,234,568"), (1.0843, "1.0843"),
        (0.000012345678, "0.0000123457"), (1e-5, "0.00001"), (1e-30, "1e-30"), (0.0, "0"),
        (-3.2, "-3.2"), (float("nan"), "nan"),
    ],
)  # fmt: skip
def test_prices_read_as_people_write_them(price: float, words: str) -> None:
    assert price_text(price) == words


@given(st.floats(5, 49.9), st.floats(50.1, 95))
def test_an_oscillator_is_counted_from_its_middle(low: float, high: float) -> None:
    assert beyond_lines(low, low, high) == beyond_lines(high, low, high) == 0.0
    assert beyond_lines(50.0, low, high) == beyond_lines(float("nan"), low, high) == 0.0
    twice_as_far = beyond_lines(50 - 2 * (50 - low), low, high)
    assert twice_as_far == pytest.approx(2.0)
    assert beyond_lines(50 + 2 * (high - 50), low, high) == pytest.approx(-2.0)
