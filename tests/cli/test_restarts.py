"""What dies young waits longer each time, and nobody else does."""

from hypothesis import given
from hypothesis import strategies as st

from cli.restarts import STEADY_S, Restarts

WAITS = (0.2, 0.5, 1.0, 5.0)
YOUNG = st.floats(0.0, STEADY_S)
OLD = st.floats(STEADY_S, 1e6, exclude_min=True)


@given(st.lists(YOUNG, max_size=10))
def test_the_waits_are_taken_in_order_and_the_last_one_stays(lives: list[float]) -> None:
    restarts = Restarts(WAITS)
    told = [restarts.wait_s(lived) for lived in lives]
    assert told == [WAITS[min(n, len(WAITS) - 1)] for n in range(len(lives))]


@given(st.lists(st.one_of(YOUNG, OLD), max_size=20), OLD)
def test_who_has_worked_for_a_while_is_back_at_once(before: list[float], lived: float) -> None:
    restarts = Restarts(WAITS)
    for each in before:
        restarts.wait_s(each)
    assert restarts.wait_s(lived) == WAITS[0]
