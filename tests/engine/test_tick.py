"""One slot of one table: the trading rule, exits, limits, and what is said about it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.commands import Wanted
from engine.rows import ROW, Action, Reason, RowFlag, RowStatus, copy_of, empty_rows
from engine.tick import Outcome, SlotInputs, advance
from tests.engine.builders import (
    SLOT,
    command,
    holding,
    inputs,
    kinds,
    only_event,
    running,
    tick,
    values,
)

LONG, SHORT = 1, -1
NEXT = SLOT + 2


def reasons(outcome: Outcome) -> list[Reason]:
    return [Reason(event.reason) for event in outcome.events]


# Nothing happens


def test_a_slot_without_change_gives_the_table_itself_back() -> None:
    rows = running(3)
    outcome = tick(rows, NEXT)
    assert outcome.rows is rows
    assert (outcome.changed.tolist(), outcome.events) == ([], [])


@pytest.mark.parametrize("count", [0, 4])
def test_free_rows_do_nothing(count: int) -> None:
    rows = empty_rows(count)
    assert tick(rows, SLOT, signal=1.0).rows is rows


def test_the_given_table_is_never_written() -> None:
    rows = running(3)
    before = rows.tobytes()
    rows.setflags(write=False)
    outcome = tick(rows, NEXT, signal=1.0)
    assert rows.tobytes() == before
    assert outcome.changed.tolist() == [0, 1, 2]


# Signals


@pytest.mark.parametrize(
    ("signal", "side", "action"),
    [(0.5, LONG, Action.OPEN_LONG), (-0.9, SHORT, Action.OPEN_SHORT)],
)
def test_a_flat_row_opens_in_the_direction_of_a_strong_signal(
    signal: float, side: int, action: Action
) -> None:
    outcome = tick(running(), NEXT, signal=signal)
    assert kinds(outcome) == ["opened"]
    row = outcome.rows[0]
    assert values(row, "side", "entry_price", "quantity") == [side, 100.0, 10.0]
    assert values(row, "entry_fee_usd", "fees_usd", "realized_pnl_usd") == [1.0, 1.0, 0.0]
    assert values(row, "stop_loss_price", "take_profit_price") == [100 - 2 * side, 100 + 4 * side]
    names = ("last_action", "last_reason", "action_slot", "opened_slot", "trade_seq", "seq")
    assert values(row, *names) == [action, Reason.SIGNAL, NEXT, NEXT, 3, 3]


@pytest.mark.parametrize("signal", [0.49, -0.49, 0.0, -0.0, float("nan"), float("inf")])
def test_a_weak_signal_or_none_does_nothing(signal: float) -> None:
    assert tick(running(), NEXT, signal=signal).events == []


def test_a_signal_of_zero_has_no_direction() -> None:
    assert tick(running(threshold=0.0), NEXT, signal=0.0).events == []
    assert kinds(tick(running(threshold=0.0), NEXT, signal=1e-9)) == ["opened"]


def test_signals_wait_for_the_interval() -> None:
    rows = running(interval=10)
    assert tick(rows, SLOT + 9, signal=1.0).events == []
    assert kinds(tick(rows, SLOT + 10, signal=1.0)) == ["opened"]


def test_the_same_direction_keeps_the_position() -> None:
    rows = holding(LONG)
    assert tick(rows, NEXT, signal=1.0).rows is rows


def test_an_opposite_signal_closes_and_the_next_due_tick_may_open() -> None:
    closed = tick(holding(LONG), NEXT, price=101.0, signal=-0.5)
    assert kinds(closed) == ["closed"]
    assert (closed.events[0].reason, closed.events[0].signal) == (Reason.SIGNAL, -0.5)
    assert kinds(tick(closed.rows, NEXT + 1, signal=-0.5)) == ["opened"]


def test_a_row_that_closed_by_its_stop_does_not_open_in_the_same_slot() -> None:
    closed = tick(holding(LONG), NEXT, price=97.0, signal=-1.0)
    assert kinds(closed) == ["closed"]
    assert closed.rows[0]["side"] == 0


def test_money_that_buys_nothing_opens_nothing() -> None:
    rows = running(max_position_usd=0.0)
    assert tick(rows, NEXT, signal=1.0).rows is rows


# Closing


def test_a_close_books_the_trade_net_of_both_fees() -> None:
    outcome = tick(holding(LONG, slippage_cbps=0), NEXT, price=101.0, signal=-1.0)
    event = only_event(outcome)
    assert (event.price, event.fee_usd, event.pnl_usd) == (101.0, 1.01, 10 - 1 - 1.01)
    row = outcome.rows[0]
    assert values(row, "realized_pnl_usd", "fees_usd") == [7.99, 2.01]
    flat = ("side", "entry_price", "quantity", "entry_fee_usd", "stop_loss_price")
    assert values(row, *flat, "take_profit_price") == [0] * 6
    names = ("last_action", "last_reason", "action_slot", "opened_slot", "trade_seq")
    assert values(row, *names) == [Action.CLOSE, Reason.SIGNAL, NEXT, SLOT + 1, 3]


@pytest.mark.parametrize(
    ("side", "price", "reason"),
    [
        (LONG, 98.0, Reason.STOP_LOSS),
        (LONG, 104.0, Reason.TAKE_PROFIT),
        (SHORT, 102.0, Reason.STOP_LOSS),
        (SHORT, 96.0, Reason.TAKE_PROFIT),
    ],
)
def test_stop_and_target_close_at_the_price_that_reaches_them(
    side: int, price: float, reason: Reason
) -> None:
    rows = holding(side)
    just_before = price + (1e-9 if price < 100 else -1e-9)
    assert tick(rows, NEXT, price=just_before).events == []
    event = only_event(tick(rows, NEXT, price=price))
    assert (event.kind, event.reason, event.price) == ("closed", reason, price)


def test_exits_do_not_wait_for_the_interval() -> None:
    rows = tick(running(interval=60), SLOT + 60, signal=1.0).rows
    assert kinds(tick(rows, SLOT + 61, price=97.0)) == ["closed"]


@pytest.mark.parametrize("price", [1e-9, 1e9])
def test_without_ppm_there_is_neither_stop_nor_target(price: float) -> None:
    rows = holding(LONG, stop_loss_ppm=0, take_profit_ppm=0)
    assert rows[0]["stop_loss_price"] == rows[0]["take_profit_price"] == 0.0
    assert tick(rows, NEXT, price=price).rows is rows


@pytest.mark.parametrize(
    ("side", "price", "exit_price"), [(LONG, 85.0, 90.0), (SHORT, 115.0, 110.0)]
)
def test_liquidation_comes_first_and_costs_no_more_than_the_margin(
    side: int, price: float, exit_price: float
) -> None:
    event = only_event(tick(holding(side, leverage=10), NEXT, price=price))
    assert (event.reason, event.price) == (Reason.LIQUIDATION, exit_price)
    gross = event.pnl_usd + event.entry_fee_usd + event.fee_usd
    assert gross == pytest.approx(-100.0)


def test_a_close_that_was_asked_for_comes_before_the_stop() -> None:
    stop = command(agent_id=bytes(16), epoch=2, wanted=Wanted.STOPPED)
    outcome = tick(holding(LONG), NEXT, price=97.0, commands=[stop])
    assert kinds(outcome) == ["stopped", "closed"]
    assert reasons(outcome) == [Reason.BY_USER, Reason.STOPPED]


def test_the_position_of_a_row_in_error_is_still_watched() -> None:
    failed = tick(holding(LONG), NEXT, failed={1: "boom"})
    assert failed.rows[0]["status"] == RowStatus.ERROR
    outcome = tick(failed.rows, NEXT + 1, price=97.0, signal=1.0)
    assert kinds(outcome) == ["closed"]
    assert tick(outcome.rows, NEXT + 2, signal=1.0).events == []


# Session loss


def test_a_session_at_its_limit_closes_and_stops() -> None:
    rows = holding(LONG, max_session_loss_usd=10.0)
    assert tick(rows, NEXT, price=99.11).events == []
    outcome = tick(rows, NEXT, price=99.1)  # 9 USD lost, and the fee of the entry
    assert kinds(outcome) == ["closed", "stopped"]
    assert reasons(outcome) == [Reason.SESSION_LOSS, Reason.SESSION_LOSS]
    row = outcome.rows[0]
    names = ("status", "status_reason", "last_reason")
    assert values(row, *names) == [RowStatus.STOPPED, Reason.SESSION_LOSS, Reason.SESSION_LOSS]


def test_a_session_that_a_stop_takes_beyond_its_limit_stops_too() -> None:
    outcome = tick(holding(LONG, max_session_loss_usd=22.0), NEXT, price=97.9)
    assert kinds(outcome) == ["closed", "stopped"]
    assert reasons(outcome) == [Reason.STOP_LOSS, Reason.SESSION_LOSS]


def test_the_limit_is_of_the_session_not_of_all_time() -> None:
    rows = copy_of(holding(LONG, max_session_loss_usd=10.0))
    rows["realized_pnl_usd"] = rows["session_base_usd"] = -500.0
    assert tick(rows, NEXT).events == []
    rows["session_base_usd"] = -495.0
    assert kinds(tick(rows, NEXT, price=99.6)) == ["closed", "stopped"]


def test_a_row_that_was_stopped_before_is_not_stopped_again() -> None:
    stop = command(agent_id=bytes(16), epoch=2, wanted=Wanted.STOPPED, max_session_loss_usd=1.0)
    outcome = tick(holding(LONG), NEXT, price=97.0, commands=[stop])
    assert kinds(outcome) == ["stopped", "closed"]
    assert outcome.rows[0]["status_reason"] == Reason.BY_USER


# Prices that cannot be used


@pytest.mark.parametrize(
    "seen",
    [
        {"fresh": False},
        {"price": float("nan")},
        {"price": 0.0},
        {"price": -5.0},
        {"price": float("inf")},
    ],
)
def test_a_price_that_is_stale_or_none_opens_and_closes_nothing(seen: dict[str, Any]) -> None:
    flat = tick(running(), NEXT, signal=1.0, **seen)
    assert kinds(flat) == ["stale"]
    open_rows = copy_of(holding(LONG))
    open_rows["stop_loss_price"] = 1e9
    assert kinds(tick(open_rows, NEXT, signal=-1.0, **seen)) == ["stale"]


def test_stale_and_fresh_are_each_said_once() -> None:
    said = []
    rows = running()
    for slot, fresh in enumerate([True, False, False, True, True, False], start=NEXT):
        outcome = tick(rows, slot, fresh=fresh)
        rows = outcome.rows
        said.append(kinds(outcome))
    assert said == [[], ["stale"], [], ["fresh"], [], ["stale"]]
    assert rows[0]["flags"] == RowFlag.STALE_SAID


def test_staleness_is_said_when_a_row_has_work() -> None:
    assert tick(running(interval=10), SLOT + 5, fresh=False).events == []
    rows = copy_of(holding(LONG))
    rows["interval"] = 10
    assert kinds(tick(rows, SLOT + 5, fresh=False)) == ["stale"]


def test_fresh_is_said_before_what_the_price_leads_to() -> None:
    rows = tick(holding(LONG), NEXT, fresh=False).rows
    assert kinds(tick(rows, NEXT + 1, price=97.0)) == ["fresh", "closed"]


def test_a_plan_beyond_the_arrays_has_no_price() -> None:
    rows = running(2)
    rows["plan_id"][1] = 2
    outcome = tick(rows, NEXT, signal=1.0)
    assert [(event.kind, event.row) for event in outcome.events] == [("stale", 1), ("opened", 0)]
    nothing = SlotInputs(NEXT, np.empty(0), np.empty(0, np.bool_), np.empty(0))
    assert kinds(advance(rows, nothing)) == ["stale", "stale"]


# Plans that raise


def test_a_plan_that_raised_puts_its_due_rows_into_error() -> None:
    rows = running(3)
    rows["plan_id"][1] = 0
    rows["interval"][2] = 60
    outcome = tick(rows, NEXT, signal=1.0, failed={1: "division by zero"})
    assert [(event.kind, event.row) for event in outcome.events] == [("failed", 0), ("opened", 1)]
    assert outcome.events[0].text == "division by zero"
    names = ("status", "status_reason")
    assert values(outcome.rows[0], *names) == [RowStatus.ERROR, Reason.PLAN_FAILED]


def test_exits_come_before_the_failure() -> None:
    outcome = tick(holding(LONG), NEXT, price=97.0, failed={1: "boom"})
    assert kinds(outcome) == ["closed", "failed"]


# Many rows


def test_events_come_by_commands_then_staleness_then_exits_then_signals() -> None:
    rows = np.concatenate([holding(LONG, count=3), running(5)[3:]])
    rows["max_session_loss_usd"][1] = 5.0
    rows["flags"][2] |= RowFlag.STALE_SAID
    rows["take_profit_price"][0] = 1000.0
    rows["stop_loss_price"][0] = 1.0
    edits = [command(agent_id=bytes([row]) * 16, row=row, epoch=2) for row in (4, 3)]
    outcome = tick(rows, NEXT, price=97.0, signal=-1.0, commands=edits)
    assert [(event.kind, event.row) for event in outcome.events] == [
        ("edited", 4),
        ("edited", 3),
        ("fresh", 2),
        ("closed", 1),
        ("stopped", 1),
        ("closed", 2),
        ("closed", 0),
        ("opened", 3),
        ("opened", 4),
    ]
    assert outcome.changed.tolist() == [0, 1, 2, 3, 4]


def test_many_rows_do_what_each_does_alone() -> None:
    sizes = np.linspace(10.0, 1e6, 50)
    rows = running(50, slippage_cbps=137, fee_cbps=333, leverage=3)
    rows["max_position_usd"] = sizes
    together = tick(rows, NEXT, price=1 / 3, signal=1.0)
    later = tick(together.rows, NEXT + 1, price=0.3, signal=1.0)
    for row in range(50):
        alone = tick(rows[row : row + 1], NEXT, price=1 / 3, signal=1.0)
        assert alone.rows[0].tobytes() == together.rows[row].tobytes()
        later_alone = tick(alone.rows, NEXT + 1, price=0.3, signal=1.0)
        assert later_alone.rows[0].tobytes() == later.rows[row].tobytes()


@pytest.mark.parametrize("field", [n for n in ROW.names or () if ROW[n] == np.float64])
def test_a_row_with_a_broken_number_harms_no_other(field: str) -> None:
    rows = holding(LONG, count=3, max_session_loss_usd=500.0)
    broken = copy_of(rows)
    broken[field][1] = np.nan
    for price in (97.0, 100.0, 105.0):
        good = tick(rows, NEXT, price=price, signal=-1.0)
        outcome = tick(broken, NEXT, price=price, signal=-1.0)
        for row in (0, 2):
            assert outcome.rows[row].tobytes() == good.rows[row].tobytes()
            of_row = [event for event in outcome.events if event.row == row]
            assert of_row == [event for event in good.events if event.row == row]


def test_the_same_inputs_give_the_same_outcome() -> None:
    rows, seen = holding(SHORT, count=4), inputs(NEXT, 103.0, 1.0)
    first, second = advance(rows, seen), advance(rows, seen)
    assert first.rows.tobytes() == second.rows.tobytes()
    assert first.events == second.events


# Preconditions


def test_a_callers_mistake_is_an_assert() -> None:
    rows, good = running(), inputs(NEXT)
    with pytest.raises(AssertionError, match="not a table"):
        advance(rows.view(np.uint8), good)
    with pytest.raises(AssertionError, match="not a table"):
        advance(running(4)[::2], good)
    for wrong in (
        {"slot": 2**32},
        {"price": np.zeros(2, np.float32)},
        {"signal": np.zeros(3)},
        {"fresh": np.zeros(2)},
    ):
        with pytest.raises(AssertionError):
            advance(rows, replace(good, **wrong))
