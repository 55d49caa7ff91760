"""What a command does to its row."""

from typing import Any

import msgspec
import pytest

from engine.applying import NOT_STORED
from engine.commands import Wanted, decode_command, encode_command
from engine.errors import CommandError
from engine.events import log_lines
from engine.rows import Action, Reason, RowFlag, Rows, RowStatus, empty_rows
from engine.schedule import counts
from engine.tick import Outcome, apply_inbox
from tests.engine.builders import (
    AGENT,
    OTHER,
    PLAN,
    SLOT,
    command,
    holding,
    kinds,
    only_event,
    running,
    tick,
    values,
)

LATER = SLOT + 10


def send(rows: Rows, slot: int = LATER, **changes: Any) -> Outcome:
    """One command of the agent in row 0 (epoch 2 by default), and nothing else in the slot."""
    agent_id = rows["agent_id"][0].tobytes()
    changes = {"agent_id": agent_id if rows["status"][0] else AGENT, "epoch": 2} | changes
    return apply_inbox(rows, slot, [command(**changes)])


# The wire


def test_a_command_comes_through_the_wire() -> None:
    sent = command(max_session_loss_usd=12.5, wanted=Wanted.STOPPED)
    assert decode_command(encode_command(sent)) == sent


@pytest.mark.parametrize(
    "changes",
    [
        {"agent_id": bytes(15)},
        {"row": -1},
        {"epoch": 0},
        {"epoch": 2**32},
        {"wanted": 5},
        {"interval": 0},
        {"leverage": 0},
        {"leverage": 126},
        {"fee_cbps": 65_536},
        {"threshold": -0.1},
        {"threshold": float("nan")},
        {"max_position_usd": float("inf")},
        {"max_session_loss_usd": float("nan")},
    ],
)
def test_numbers_that_no_row_can_hold_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CommandError, match="no command"):
        decode_command(encode_command(command(**changes)))


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"text", msgspec.msgpack.encode([1, 2])])
def test_other_bytes_are_no_command(payload: bytes) -> None:
    with pytest.raises(CommandError, match="no command"):
        decode_command(payload)


# A free row


def test_an_agent_is_created_running() -> None:
    outcome = send(empty_rows(1), epoch=1)
    assert kinds(outcome) == ["created", "started"]
    row = outcome.rows[0]
    assert row["agent_id"].tobytes() == AGENT
    assert values(row, "status", "start_slot", "epoch", "seq") == [RowStatus.RUNNING, LATER, 1, 2]
    assert values(row, "plan_id", "interval", "leverage", "fee_cbps") == [1, 1, 1, 1000]
    assert values(row, "max_position_usd", "threshold") == [1000.0, 0.5]
    assert values(row, "stop_loss_ppm", "take_profit_ppm") == [20_000, 40_000]


def test_an_agent_is_created_stopped() -> None:
    outcome = send(empty_rows(1), wanted=Wanted.STOPPED)
    assert kinds(outcome) == ["created"]
    row = outcome.rows[0]
    names = ("status", "status_reason", "start_slot")
    assert values(row, *names) == [RowStatus.STOPPED, Reason.NONE, 0]


def test_a_delete_of_an_agent_that_never_came_leaves_its_epoch() -> None:
    outcome = send(empty_rows(1), wanted=Wanted.DELETED, epoch=7)
    assert kinds(outcome) == ["deleted"]
    assert values(outcome.rows[0], "status", "epoch", "seq") == [RowStatus.FREE, 7, 1]
    assert outcome.rows[0]["agent_id"].tobytes() == AGENT
    assert send(outcome.rows, epoch=6).events == []


def test_a_new_agent_in_a_used_row_counts_from_one() -> None:
    freed = send(running(), wanted=Wanted.DELETED).rows
    assert values(freed[0], "epoch", "seq") == [2, 3]
    outcome = send(freed, agent_id=OTHER, epoch=3)
    assert [event.seq for event in outcome.events] == [1, 2]
    assert outcome.rows[0]["agent_id"].tobytes() == OTHER


def test_the_same_agent_in_its_old_row_counts_on() -> None:
    freed = send(running(agent_id=AGENT), wanted=Wanted.DELETED).rows
    assert [event.seq for event in send(freed, epoch=3).events] == [4, 5]


# Epochs and rows


@pytest.mark.parametrize("epoch", [3, 2, 1])
def test_an_epoch_that_is_not_newer_is_ignored(epoch: int) -> None:
    rows = running(epoch=3)
    outcome = send(rows, epoch=epoch, wanted=Wanted.DELETED)
    assert outcome.events == []
    assert outcome.rows is rows


def test_a_row_that_another_agent_holds_is_not_given_away() -> None:
    rows = running()
    outcome = send(rows, agent_id=OTHER, epoch=99)
    assert outcome.events == []
    assert outcome.rows is rows


@pytest.mark.parametrize("row", [1, 4096, -1])
def test_a_row_beyond_the_table_is_refused(row: int) -> None:
    with pytest.raises(CommandError, match=f"row {row} "):
        send(empty_rows(1), row=row)


def test_commands_apply_in_inbox_order() -> None:
    commands = [
        command(row=1, agent_id=OTHER),
        command(),
        command(epoch=3, wanted=Wanted.STOPPED),
        command(epoch=2),
    ]
    outcome = apply_inbox(empty_rows(2), SLOT, commands)
    assert [(event.kind, event.row) for event in outcome.events] == [
        ("created", 1),
        ("started", 1),
        ("created", 0),
        ("started", 0),
        ("stopped", 0),
    ]
    assert outcome.changed.tolist() == [0, 1]


# Start, edit, stop


@pytest.mark.parametrize("status", [RowStatus.STOPPED, RowStatus.ERROR])
def test_start_begins_a_new_session(status: RowStatus) -> None:
    rows = running()
    rows["status"], rows["status_reason"], rows["realized_pnl_usd"] = status, Reason.BY_USER, -7.0
    outcome = send(rows, interval=5)
    assert kinds(outcome) == ["started"]
    row = outcome.rows[0]
    names = ("status", "status_reason", "start_slot", "session_base_usd", "interval")
    assert values(row, *names) == [RowStatus.RUNNING, Reason.NONE, LATER, -7.0, 5]


def test_start_takes_back_a_close_that_was_not_filled_yet() -> None:
    stopped = send(holding(1), wanted=Wanted.STOPPED).rows
    row = send(stopped, epoch=3).rows[0]
    assert values(row, "flags", "close_reason", "side") == [0, Reason.NONE, 1]


def test_edit_keeps_the_session_and_the_schedule() -> None:
    outcome = send(running(interval=60), interval=60, threshold=0.9, leverage=7)
    assert kinds(outcome) == ["edited"]
    names = ("start_slot", "threshold", "leverage", "epoch")
    assert values(outcome.rows[0], *names) == [SLOT, 0.9, 7, 2]


def test_an_edited_interval_counts_from_now_and_ticks_are_kept() -> None:
    outcome = send(running(interval=2), interval=3)
    row = outcome.rows[0]
    assert values(row, "start_slot", "interval", "ticks_base") == [LATER, 3, 5]
    assert counts(row, LATER + 3, (), -1) == (5 + 2, 0)


def test_an_edited_stop_moves_with_the_position() -> None:
    outcome = send(holding(-1), stop_loss_ppm=50_000, take_profit_ppm=0)
    assert values(outcome.rows[0], "stop_loss_price", "take_profit_price") == [105.0, 0.0]


def test_an_open_position_keeps_its_leverage() -> None:
    outcome = send(holding(1, leverage=2), leverage=50)
    assert outcome.rows[0]["leverage"] == 2


def test_stop_asks_for_the_close_and_counts_up_to_before_its_slot() -> None:
    outcome = send(holding(1), wanted=Wanted.STOPPED)
    event = only_event(outcome)
    assert (event.kind, event.reason) == ("stopped", Reason.BY_USER)
    row = outcome.rows[0]
    assert values(row, "status", "status_reason", "flags", "close_reason", "ticks_base") == [
        RowStatus.STOPPED,
        Reason.BY_USER,
        RowFlag.CLOSING,
        Reason.STOPPED,
        10,
    ]
    closed = tick(outcome.rows, LATER, price=101.0)
    assert kinds(closed) == ["closed"]
    assert closed.events[0].reason == Reason.STOPPED
    names = ("flags", "close_reason", "last_action")
    assert values(closed.rows[0], *names) == [0, 0, Action.CLOSE]


def test_stop_can_keep_the_position_and_nobody_watches_it() -> None:
    kept = send(holding(1), wanted=Wanted.STOPPED, close_position=False).rows
    assert values(kept[0], "status", "flags", "side") == [RowStatus.STOPPED, 0, 1]
    assert tick(kept, LATER, price=1.0).events == []
    closing = send(kept, epoch=3, wanted=Wanted.STOPPED).rows
    assert closing["flags"][0] == RowFlag.CLOSING
    kept_again = send(closing, epoch=4, wanted=Wanted.STOPPED, close_position=False).rows
    assert values(kept_again[0], "flags", "close_reason") == [0, Reason.NONE]


def test_stop_takes_the_settings_too() -> None:
    stopped = send(running(), wanted=Wanted.STOPPED).rows
    edited = send(stopped, epoch=3, wanted=Wanted.STOPPED, threshold=0.25)
    assert kinds(edited) == ["stopped"]
    assert edited.rows[0]["threshold"] == 0.25


# Delete


def test_deleting_a_flat_agent_frees_its_row() -> None:
    rows = running()
    rows["realized_pnl_usd"], rows["fees_usd"] = 5.0, 2.0
    outcome = send(rows, wanted=Wanted.DELETED)
    event = only_event(outcome)
    assert (event.kind, event.reason) == ("deleted", Reason.DELETED)
    row = outcome.rows[0]
    assert row["agent_id"].tobytes() == rows["agent_id"][0].tobytes()
    assert values(row, "epoch", "seq") == [2, 3]
    kept = {"agent_id", "epoch", "seq"}
    assert all(row[name] == 0 for name in row.dtype.names or () if name not in kept)


def test_deleting_an_open_agent_waits_for_its_close() -> None:
    outcome = send(holding(1), wanted=Wanted.DELETED)
    event = only_event(outcome)
    assert (event.kind, event.reason) == ("stopped", Reason.DELETED)
    names = ("status", "status_reason", "flags", "close_reason", "side")
    assert values(outcome.rows[0], *names) == [
        RowStatus.STOPPED,
        Reason.DELETED,
        RowFlag.CLOSING | RowFlag.DELETING,
        Reason.DELETED,
        1,
    ]
    gone = tick(outcome.rows, LATER)
    assert kinds(gone) == ["closed", "deleted"]
    assert gone.events[0].reason == Reason.DELETED
    assert values(gone.rows[0], "status", "epoch", "seq") == [RowStatus.FREE, 2, 6]


def test_what_is_being_deleted_stays_deleted() -> None:
    deleting = send(holding(1), wanted=Wanted.DELETED).rows
    outcome = send(deleting, epoch=3, wanted=Wanted.RUNNING)
    assert kinds(outcome) == ["stopped"]
    assert values(outcome.rows[0], "status", "epoch") == [RowStatus.STOPPED, 3]
    assert kinds(tick(outcome.rows, LATER)) == ["closed", "deleted"]


# Edits carry a wish that the row has met already


def test_an_edit_does_not_start_what_a_limit_has_stopped() -> None:
    losing = send(holding(1), max_session_loss_usd=10.0).rows
    lost = tick(losing, SLOT + 2, 98.5)
    assert kinds(lost) == ["closed", "stopped"]
    edited = send(lost.rows, epoch=3, asked_epoch=1, threshold=0.9)
    assert kinds(edited) == ["edited"]
    names = ("status", "status_reason", "threshold", "epoch", "start_slot")
    assert values(edited.rows[0], *names) == [
        RowStatus.STOPPED,
        Reason.SESSION_LOSS,
        0.9,
        3,
        SLOT,
    ]
    assert kinds(send(edited.rows, epoch=4, asked_epoch=4)) == ["started"]


def test_an_edit_brings_a_wish_that_got_lost() -> None:
    outcome = send(running(), epoch=3, asked_epoch=2, wanted=Wanted.STOPPED)
    assert kinds(outcome) == ["stopped"]
    again = send(outcome.rows, epoch=5, asked_epoch=4, wanted=Wanted.RUNNING)
    assert kinds(again) == ["started"]


def test_an_edit_of_one_that_stands_keeps_what_was_asked_of_its_position() -> None:
    closing = send(holding(1), wanted=Wanted.STOPPED).rows
    for rows in (closing, send(holding(1), wanted=Wanted.STOPPED, close_position=False).rows):
        edited = send(
            rows, epoch=3, asked_epoch=2, wanted=Wanted.STOPPED, stop_loss_ppm=10_000, interval=60
        )
        assert kinds(edited) == ["edited"]
        kept = ("status", "status_reason", "flags", "close_reason", "start_slot", "ticks_base")
        assert values(edited.rows[0], *kept) == values(rows[0], *kept)
        assert values(edited.rows[0], "stop_loss_price", "interval") == [99.0, 60]


def test_an_edit_does_not_wake_a_plan_that_failed() -> None:
    failed = tick(running(), SLOT + 1, failed={PLAN: "it broke"}).rows
    edited = send(failed, epoch=2, asked_epoch=1)
    assert (kinds(edited), edited.rows[0]["status"]) == (["edited"], RowStatus.ERROR)


# With a slot that is run


def test_a_command_is_applied_before_its_slot_is_run() -> None:
    new = command(interval=60)
    outcome = tick(empty_rows(1), SLOT, signal=1.0, commands=[new])
    assert kinds(outcome) == ["created", "started", "opened"]
    stopped = command(agent_id=bytes(16), epoch=2, wanted=Wanted.STOPPED)
    assert kinds(tick(running(), LATER, signal=1.0, commands=[stopped])) == ["stopped"]


def test_an_inbox_alone_neither_trades_nor_speaks_of_prices() -> None:
    outcome = apply_inbox(empty_rows(1), SLOT, [command()])
    assert kinds(outcome) == ["created", "started"]
    assert outcome.changed.tolist() == [0]


# An event that the record refused


def test_an_agent_that_the_record_refused_stands_in_error_and_its_exits_are_watched() -> None:
    outcome = send(holding(1), wanted=Wanted.FAILED)
    assert kinds(outcome) == ["failed"]
    (said,) = outcome.events
    assert (said.reason, said.text) == (Reason.NONE, NOT_STORED)
    assert log_lines(said) == [("error", f"agent failed: {NOT_STORED}")]
    row = outcome.rows[0]
    assert values(row, "status", "epoch", "side") == [RowStatus.ERROR, 2, 1]
    assert "closed" in kinds(tick(outcome.rows, LATER + 1, price=1e-3))


def test_it_runs_again_when_its_owner_starts_it() -> None:
    failed = send(running(), wanted=Wanted.FAILED).rows
    started = send(failed, epoch=3)
    assert kinds(started) == ["started"]
    assert started.rows[0]["status"] == RowStatus.RUNNING


def test_one_that_was_stopped_meanwhile_stays_stopped() -> None:
    stopped = send(running(), wanted=Wanted.STOPPED).rows
    outcome = send(stopped, epoch=3, wanted=Wanted.FAILED)
    assert kinds(outcome) == ["edited"]
    assert values(outcome.rows[0], "status", "epoch") == [RowStatus.STOPPED, 3]


def test_a_row_that_was_lost_comes_back_in_error() -> None:
    outcome = send(empty_rows(1), wanted=Wanted.FAILED)
    assert kinds(outcome) == ["created", "failed"]
    assert outcome.rows[0]["status"] == RowStatus.ERROR
