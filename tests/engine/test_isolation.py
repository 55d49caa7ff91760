"""One bad agent harms nobody: the others run in the same slot."""

import numpy as np
import pytest

from engine.commands import Command, Wanted
from engine.isolation import advance_isolated, damaged_rows, put_into_error
from engine.rows import ROW, Reason, Rows, RowStatus, empty_rows
from engine.tick import Outcome, SlotInputs, advance

SLOT = 1_700_000_000
BAD = b"bad agent " * 2


def command(row: int, agent: bytes, epoch: int = 1) -> Command:
    return Command(
        agent_id=agent.ljust(16, b".")[:16],
        row=row,
        epoch=epoch,
        wanted=Wanted.RUNNING,
        close_position=True,
        plan_id=1,
        interval=1,
        threshold=0.5,
        max_position_usd=100.0,
        stop_loss_ppm=20_000,
        take_profit_ppm=40_000,
        leverage=1,
        fee_cbps=0,
        slippage_cbps=0,
        max_session_loss_usd=0.0,
    )


def inputs(slot: int = SLOT, *commands: Command) -> SlotInputs:
    price, signal = np.array([np.nan, 100.0]), np.array([np.nan, 1.0])
    return SlotInputs(slot, price, np.array([False, True]), signal, commands=commands)


def eight_agents() -> Rows:
    """Eight running rows; the one in row 5 makes the engine below raise."""
    made = [command(row, BAD if row == 5 else b"good %d" % row) for row in range(8)]
    return advance(empty_rows(8), inputs(SLOT - 1, *made)).rows


def raising(rows: Rows, given: SlotInputs) -> Outcome:
    """An engine with a mistake in it: it cannot bear one agent."""
    held = rows["agent_id"] == np.void(BAD[:16])
    if (held & (rows["status"] != RowStatus.FREE)).any():
        raise ZeroDivisionError("a mistake of ours")
    return advance(rows, given)


def test_everybody_else_runs_and_the_guilty_one_says_why() -> None:
    rows = eight_agents()
    isolated = advance_isolated(rows, inputs(), raising)
    undisturbed = advance(rows, inputs())
    others = [row for row in range(8) if row != 5]
    assert (isolated.outcome.rows[others] == undisturbed.rows[others]).all()
    guilty = isolated.outcome.rows[5]
    assert (guilty["status"], guilty["status_reason"]) == (RowStatus.ERROR, Reason.PLAN_FAILED)
    failed = [event for event in isolated.outcome.events if event.kind == "failed"]
    assert [(event.row, event.text) for event in failed] == [
        (5, "the engine failed: ZeroDivisionError: a mistake of ours")
    ]


def test_it_is_said_once() -> None:
    first = advance_isolated(eight_agents(), inputs(), raising)
    second = advance_isolated(first.outcome.rows, inputs(SLOT + 1), raising)
    assert not [event for event in second.outcome.events if event.row == 5]
    assert (second.outcome.rows[5] == first.outcome.rows[5]).all()


def test_the_position_of_the_guilty_one_is_kept() -> None:
    opened = advance(eight_agents(), inputs()).rows
    after = advance_isolated(opened, inputs(SLOT + 1), raising).outcome.rows[5]
    assert after["side"] == opened[5]["side"] == 1
    assert after["quantity"] == opened[5]["quantity"]


def test_a_command_that_raises_is_handed_back_and_the_others_apply() -> None:
    bad = command(99, b"nowhere", 2)
    rows = empty_rows(2)
    given = inputs(SLOT, command(0, b"one"), bad, command(1, b"two"))
    isolated = advance_isolated(rows, given)
    assert [refused for refused, _ in isolated.refused] == [bad]
    assert isolated.outcome.rows["status"].tolist() == [RowStatus.RUNNING] * 2


def test_the_given_table_is_not_written() -> None:
    rows = eight_agents()
    before = rows.tobytes()
    advance_isolated(rows, inputs(), raising)
    assert rows.tobytes() == before
    assert rows.dtype == ROW


def test_without_entries_positions_close_and_none_opens() -> None:
    rows = advance(empty_rows(2), inputs(SLOT - 2, command(0, b"one"))).rows
    assert rows[0]["side"] == 1
    against = np.array([np.nan, -1.0])
    given = SlotInputs(
        SLOT,
        np.array([np.nan, 100.0]),
        np.array([False, True]),
        against,
        commands=[command(1, b"two")],
        entries=False,
    )
    after = advance(rows, given).rows
    assert after["side"].tolist() == [0, 0]


def test_rows_of_the_engine_are_not_damaged() -> None:
    rows = eight_agents()
    opened = advance(rows, inputs()).rows
    assert (opened["side"] == 1).all()
    assert damaged_rows(rows) == damaged_rows(opened) == damaged_rows(empty_rows(3)) == {}


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        *((name, np.nan, f"{name} is nan") for name in ROW.names or () if ROW[name].kind == "f"),
        ("entry_price", np.inf, "entry_price is inf"),
        ("entry_price", 0.0, "entry_price is 0.0"),
        ("quantity", -1.0, "quantity is -1.0"),
        ("side", 5, "side is 5"),
        ("status", 9, "status is 9"),
        ("interval", 0, "interval is 0"),
        ("leverage", 0, "leverage is 0"),
    ],
)
def test_a_damaged_row_is_found_and_says_once_what_is_wrong(
    column: str, value: float, said: str
) -> None:
    rows = advance(eight_agents(), inputs()).rows.copy()
    rows[column][3] = value
    assert damaged_rows(rows) == {3: f"its row is damaged: {said}"}
    outcome = put_into_error(rows, SLOT + 1, (), -1, damaged_rows(rows))
    (event,) = outcome.events
    assert (event.kind, event.row, event.text) == ("failed", 3, f"its row is damaged: {said}")
    assert outcome.rows["status"][3] == RowStatus.ERROR
    assert (np.delete(outcome.rows, 3) == np.delete(rows, 3)).all()
    again = put_into_error(outcome.rows, SLOT + 2, (), -1, damaged_rows(outcome.rows))
    assert not again.events
