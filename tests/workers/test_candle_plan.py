"""Which candles are fetched first, and which of agents again."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from adapters.candle_store import Asked
from adapters.candles import WindowName
from workers.candle_plan import REFRESH_BARS, Use, WindowSight, errands, newest_gap

NOW = 1_700_000_000.0
A, B, C = ("A/USDT", "1m"), ("B/USDT", "1m"), ("C/USDT", "1h")


def names(
    asked: Sequence[Asked] = (),
    uses: Mapping[WindowName, Use] | None = None,
    sights: Mapping[WindowName, WindowSight] | None = None,
    fetched_at: Mapping[WindowName, float] | None = None,
) -> list[str]:
    """The bases of what is to be fetched, in order."""
    found = errands(asked, uses or {}, sights or {}, fetched_at or {}, NOW)
    return [errand.name[0][0] for errand in found]


def sight(bars: int, newest: float, *, gap: int = 0) -> WindowSight:
    times = np.array([newest - 60.0 * n for n in reversed(range(bars))])
    if gap:
        times[:-gap] -= 180
    return WindowSight(times)


def test_the_most_wanted_first_then_who_waits_longest() -> None:
    asked = [Asked(A, NOW - 1, 1), Asked(B, NOW - 2, 5), Asked(C, NOW - 3, 1)]
    assert names(asked=asked) == ["B", "C", "A"]
    uses = {A: Use(owners=9, needs_volume=False)}
    assert names(asked=asked, uses=uses) == ["A", "B", "C"]


def test_who_asks_again_and_again_holds_up_nobody_for_long() -> None:
    asked = [Asked(A, NOW - 1, 900), Asked(B, NOW - 2, 5)]
    assert names(asked=asked) == ["B", "A"]


def test_what_is_fresh_is_not_fetched_again() -> None:
    asked = [Asked(A, NOW - 1, 1), Asked(B, NOW - 1, 1)]
    assert names(asked=asked, fetched_at={A: NOW - 59, B: NOW - 61}) == ["B"]


def test_agents_that_have_none_come_with_those_who_wait() -> None:
    uses = {A: Use(1, False), B: Use(7, False)}
    assert names(uses=uses, asked=[Asked(C, NOW, 3)]) == ["B", "C", "A"]
    assert names(uses=uses, fetched_at={A: NOW, B: NOW}) == []


@pytest.mark.parametrize(
    ("seen", "fetched", "needs_volume", "is_due"),
    [
        (sight(50, NOW - 60), NOW - 100, False, False),
        (sight(50, NOW - 60), NOW - 60 * REFRESH_BARS, False, True),
        (sight(50, NOW - 60, gap=5), NOW - 600, False, True),
        (sight(50, NOW - 60, gap=5), NOW - 100, False, False),  # asked since: there is none
        (sight(50, NOW - 60), NOW - 31, True, True),
        (sight(50, NOW - 60), NOW - 29, True, False),
        (sight(50, NOW - 60), NOW - 29, False, False),
        (sight(0, NOW), NOW - 100, True, False),
    ],
)
def test_what_agents_have_is_refreshed_when_it_has_to_be(
    seen: WindowSight, fetched: float, needs_volume: bool, is_due: bool
) -> None:
    found = names(uses={A: Use(1, needs_volume)}, sights={A: seen}, fetched_at={A: fetched})
    assert (found == ["A"]) == is_due


def test_the_newest_gap() -> None:
    assert newest_gap(np.array([0.0, 60, 120]), 60) is None
    assert newest_gap(np.array([0.0, 120, 180, 300, 360]), 60) == 300
    assert newest_gap(np.array([5.0]), 60) is None
