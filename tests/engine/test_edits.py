"""Commands in the middle of a position: what moves at once, what stays, what has to wait."""

from typing import Any

import numpy as np
import pytest

from engine.commands import ExitMode, Wanted
from engine.rows import Halt, Reason, RowFlag, Rows, RowStatus
from engine.tick import Outcome
from tests.engine.builders import (
    PLAN,
    SLOT,
    command,
    holding,
    kinds,
    running,
    started,
    tick,
    values,
)

LATER = SLOT + 10


def edit(rows: Rows, slot: int = LATER, price: float = 100.0, **changes: Any) -> Outcome:
    """One more command of the agent in row 0, in a slot that is run."""
    row = rows[0]
    settings = {"agent_id": row["agent_id"].tobytes(), "epoch": int(row["epoch"]) + 1} | changes
    return tick(rows, slot, price, commands=[command(**settings)])


def stop_after(rows: Rows, **changes: Any) -> float:
    return float(edit(rows, **changes).rows[0]["stop_loss_price"])


@pytest.mark.parametrize("side", [+1, -1])
def test_stop_and_target_follow_from_the_entry_and_the_new_settings(side: int) -> None:
    row = edit(holding(side), stop_loss_ppm=30_000, take_profit_ppm=50_000).rows[0]
    assert values(row, "stop_loss_price", "take_profit_price") == [
        100.0 - side * 3.0,
        100.0 + side * 5.0,
    ]


def test_a_trailing_stop_keeps_its_best_price_while_it_stays_on() -> None:
    rows = holding(+1, trailing_stop_bps=200, take_profit_ppm=0)
    rows = tick(rows, SLOT + 2, 110.0).rows
    free: dict[str, Any] = {"price": 110.0, "take_profit_ppm": 0}
    assert stop_after(rows, trailing_stop_bps=200, threshold=0.9, **free) == 107.8
    assert stop_after(rows, trailing_stop_bps=500, **free) == 104.5
    off = edit(rows, **free).rows
    assert off[0]["stop_loss_price"] == 98.0
    on = edit(off, LATER + 1, 109.0, trailing_stop_bps=200, take_profit_ppm=0).rows
    # from the entry again, and in the same slot from the price seen
    assert values(on[0], "best_price", "stop_loss_price") == [109.0, 106.82]


def test_dynamic_exits_move_with_the_atr_of_the_entry() -> None:
    settings: dict[str, Any] = {
        "tp_sl_mode": ExitMode.DYNAMIC,
        "atr_multiple_centi": 200,
        "reward_risk_centi": 200,
    }
    rows = started(atr=0.01, **settings).rows
    rows = tick(rows, SLOT + 1, signal=1.0, atr=0.01).rows
    wider = edit(rows, **settings | {"atr_multiple_centi": 300}).rows[0]
    assert values(wider, "stop_loss_price", "take_profit_price") == [97.0, 106.0]
    fixed = edit(rows, stop_loss_ppm=10_000).rows
    assert values(fixed[0], "stop_loss_price", "entry_atr_ppm") == [99.0, 10_000]
    again = edit(fixed, LATER + 1, **settings).rows[0]
    assert again["stop_loss_price"] == 98.0


def test_a_break_even_that_was_reached_stays_unless_it_is_switched_off() -> None:
    rows = holding(+1, break_even_bps=100, stop_loss_ppm=50_000)
    rows = tick(rows, SLOT + 2, 102.0).rows
    moved = float(rows[0]["stop_loss_price"])
    assert moved > 100.0
    assert stop_after(rows, price=102.0, break_even_bps=900, stop_loss_ppm=50_000) == moved
    off = edit(rows, price=102.0, stop_loss_ppm=50_000).rows[0]
    assert (off["stop_loss_price"], off["flags"] & RowFlag.BREAK_EVEN) == (95.0, 0)


def test_a_time_stop_counts_from_the_opening() -> None:
    outcome = edit(holding(+1), time_stop_s=5)
    assert [(e.kind, Reason(e.reason)) for e in outcome.events] == [
        ("edited", Reason.NONE),
        ("closed", Reason.TIME_STOP),
    ]


def test_a_drawdown_limit_that_is_switched_on_begins_at_what_the_session_has_won() -> None:
    rows = tick(holding(+1), SLOT + 2, 105.0).rows  # won 47.95
    assert edit(rows, max_drawdown_bps=100).rows[0]["session_peak_usd"] == 47.95
    lost = tick(holding(+1), SLOT + 2, 97.0).rows
    assert edit(lost, max_drawdown_bps=100).rows[0]["session_peak_usd"] == 0.0


def test_a_pause_can_be_lifted_by_an_edit_and_outlasts_a_start() -> None:
    lost = tick(holding(+1, cooldown_s=1000), SLOT + 2, 97.0).rows
    assert tick(lost, SLOT + 3, signal=1.0).events == []
    assert kinds(tick(edit(lost).rows, LATER + 1, signal=1.0)) == ["opened"]
    stopped = edit(lost, wanted=Wanted.STOPPED, cooldown_s=1000).rows
    begun = edit(stopped, LATER + 1, cooldown_s=1000).rows
    assert tick(begun, LATER + 2, signal=1.0).events == []


# Halts


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (Halt.ACTIVE, Halt.REDUCING, ["reducing"]),
        (Halt.REDUCING, Halt.HALTED, ["halted"]),
        (Halt.HALTED, Halt.ACTIVE, ["resumed"]),
        (Halt.HALTED, Halt.HALTED, ["edited"]),
    ],
)
def test_a_halt_is_one_event_and_an_edit_beside_it_one_more(
    before: Halt, after: Halt, said: list[str]
) -> None:
    rows = running(halt=before)
    assert kinds(edit(rows, halt=after)) == said
    beside = ["edited", *said] if before != after else said
    assert kinds(edit(rows, halt=after, threshold=0.7)) == beside


def test_a_halt_stands_when_an_agent_is_made_stopped_and_started() -> None:
    assert kinds(started(halt=Halt.HALTED)) == ["created", "started", "halted"]
    rows = edit(running(), wanted=Wanted.STOPPED).rows
    assert kinds(edit(rows, LATER + 1, halt=Halt.REDUCING)) == ["started", "reducing"]


# Another symbol

HERE_AND_THERE = np.array([0, 0, 1, -1])
"""Plans 0 and 1 are of one symbol, 2 of another, 3 is not known."""


def move(rows: Rows, plan: int, slot: int = LATER, **changes: Any) -> Outcome:
    row = rows[0]
    settings = {"agent_id": row["agent_id"].tobytes(), "epoch": int(row["epoch"]) + 1} | changes
    told = [command(plan_id=plan, **settings)]
    return tick(rows, slot, commands=told, symbol=HERE_AND_THERE)


def test_a_position_is_closed_before_its_agent_moves_to_another_symbol() -> None:
    first = move(holding(+1), 2)
    assert [(e.kind, Reason(e.reason)) for e in first.events] == [
        ("moving", Reason.NONE),
        ("closed", Reason.STOPPED),
    ]
    row = first.rows[0]
    assert values(row, "epoch", "plan_id", "status") == [1, PLAN, RowStatus.RUNNING]
    waiting = tick(first.rows, LATER + 1, signal=1.0, symbol=HERE_AND_THERE)
    assert waiting.events == []
    again = move(waiting.rows, 2, LATER + 2)
    assert kinds(again) == ["edited", "stale"]  # this table has no price of plan 2
    assert values(again.rows[0], "epoch", "plan_id") == [2, 2]
    assert not again.rows[0]["flags"] & RowFlag.MOVING


@pytest.mark.parametrize("plan", [0, 3, 99])
def test_another_plan_of_the_symbol_or_one_that_is_not_known_is_taken_at_once(plan: int) -> None:
    outcome = move(holding(+1), plan)
    assert values(outcome.rows[0], "epoch", "plan_id", "side") == [2, plan, 1]


@pytest.mark.parametrize("wanted", [Wanted.STOPPED, Wanted.DELETED])
def test_a_stop_never_waits(wanted: Wanted) -> None:
    outcome = move(holding(+1), 2, wanted=wanted)
    assert kinds(outcome)[:2] == ["stopped", "closed"]
    assert outcome.rows[0]["epoch"] == 2


def test_the_newest_wish_wins_while_a_move_waits() -> None:
    waiting = move(holding(+1), 2).rows
    back = edit(waiting, LATER + 1)
    assert kinds(back) == ["edited"]
    assert kinds(tick(back.rows, LATER + 2, signal=1.0)) == ["opened"]
