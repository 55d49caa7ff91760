"""Derived log lines: which slots have one, and what it says."""

import pytest

from api.tick_lines import Held, Schedule, held_at, tick_line, tick_lines, ticked_slots
from engine.schedule import SkippedRange, due_mask
from tests.api.rows import START, advanced, agent, sight

LONG = Held(1, 0.5, 100.0, START + 2, START + 5)
SHORT = Held(-1, 2.0, 110.0, START + 6)


@pytest.mark.parametrize(
    ("schedule", "first", "last", "slots"),
    [
        (Schedule(START, 1), 0, 3, [0, 1, 2, 3]),
        (Schedule(START, 1), -100, 1, [0, 1]),
        (Schedule(START, 5), 1, 11, [5, 10]),
        (Schedule(START, 5), 0, 4, [0]),
        (Schedule(START, 1, START + 2), 0, 9, [0, 1, 2]),
        (Schedule(START + 50, 1), 0, 9, []),
        (Schedule(START, 86_400), 1, 300, []),
    ],
)
def test_slots(schedule: Schedule, first: int, last: int, slots: list[int]) -> None:
    assert ticked_slots(schedule, START + first, START + last, ()) == [START + s for s in slots]


def test_slots_that_were_not_run_have_no_line() -> None:
    gaps = [
        SkippedRange(START + 1, START + 2, paused=False),
        SkippedRange(START + 4, START + 4, True),
    ]
    slots = ticked_slots(Schedule(START, 1), START, START + 5, gaps)
    assert slots == [START, START + 3, START + 5]


def test_slots_are_those_in_which_the_engine_finds_it_due() -> None:
    rows = advanced(None, START, 100.0, wanted=agent(interval_seconds=7))
    due = [slot for slot in range(START, START + 60) if due_mask(rows, slot)[0]]
    assert ticked_slots(Schedule(START, 7), START, START + 59, ()) == due


def test_positions_over_time() -> None:
    held = [held_at(START + s, [LONG, SHORT]) for s in range(8)]
    assert held == [None, None, LONG, LONG, LONG, None, SHORT, SHORT]


def test_lines() -> None:
    seen = {START: sight(64231.5, signal=0.41234), START + 2: sight(101.0, signal=None, detail="")}
    lines = list(tick_lines([START, START + 1, START + 2], seen.get, [LONG]))
    assert [(line.ts[-8:], line.level, line.message) for line in lines] == [
        (":00.000Z", "tick", "price 64231.5, signal +0.4123 (quiet), flat"),
        (":02.000Z", "tick", "price 101, no signal, long 0.5 at 100, P&L +0.50 USD"),
    ]
    stale = tick_line(START + 7, sight(111.0, stale=True), SHORT)
    assert stale.message == (
        "price 111 (stale), signal +0.0000 (quiet), short 2 at 110, P&L -2.00 USD"
    )
    blind = tick_line(START, sight(None, detail="no prices yet", signal=None), SHORT)
    assert blind.message == "no price, no signal (no prices yet), short 2 at 110"
