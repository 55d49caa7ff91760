"""What a command does to its row. It applies before the slot it is stamped with, if its epoch is
above the row's, and is answered by one event.

An agent created to run says two, `created` and `started`; a change of halt is said on top. One that
the record could not keep up with stands in ERROR, and its exits are watched. An edit
carries the wish that came before it, and a wish that a row has met neither starts nor stops it.
A position belongs to the symbol it was opened on: a command to run on another one closes it first
(`moving`) and applies when it comes again, which it does as long as the row's epoch is behind.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

import numpy as np

from engine.commands import Command, Wanted
from engine.draft import Draft
from engine.errors import CommandError
from engine.levels import set_exit_prices
from engine.rounding import round_usd
from engine.rows import Halt, Index, Reason, RowFlag, RowRule, RowStatus

_SETTINGS: Final = (
    "interval",
    "threshold",
    "max_position_usd",
    "stop_loss_ppm",
    "take_profit_ppm",
    "fee_cbps",
    "slippage_cbps",
    "max_session_loss_usd",
    "time_stop_s",
    "cooldown_s",
    "rules",
    "atr_multiple_centi",
    "reward_risk_centi",
    "trailing_stop_bps",
    "break_even_bps",
    "max_drawdown_bps",
    "max_trades_per_day",
    "halt",
)
"""Columns that a command sets to its fields of the same names; for plan and leverage, see below."""
NOT_STORED: Final = "an event of it could not be stored; its log says which, and why"
_settings_of: Final = attrgetter(*_SETTINGS)
_CLOSING: Final = int(RowFlag.CLOSING)
_MOVING: Final = int(RowFlag.MOVING)
_MOVING_OR_EVEN: Final = int(RowFlag.MOVING | RowFlag.BREAK_EVEN)
MANY_COMMANDS: Final = 16
"""Commands from which on counting all rows together costs less than one after the other."""
_HALT_KINDS: Final = {Halt.ACTIVE: "resumed", Halt.REDUCING: "reducing", Halt.HALTED: "halted"}


def apply_commands(draft: Draft, commands: Sequence[Command]) -> None:
    """In inbox order. Raises CommandError for a row that the table does not have."""
    if len(commands) >= MANY_COMMANDS:
        draft.count_ahead()
    for command in commands:
        if _apply(draft, command):
            draft.forget_count(command.row)


def _apply(draft: Draft, command: Command) -> bool:
    """Whether the command was taken up: not one of an old epoch, nor of an agent that asks for a
    row which another one still holds.

    What is being deleted stays deleted: a later command is taken as one more DELETED.
    """
    if not 0 <= command.row < len(draft.rows):
        raise CommandError(f"row {command.row} is not in a table of {len(draft.rows)}")
    row = draft.rows[command.row]
    if command.epoch <= row["epoch"]:
        return False
    status, flags = int(row["status"]), int(row["flags"])
    met_already = 0 < command.asked_epoch <= row["epoch"]
    same_agent = row["agent_id"].tobytes() == command.agent_id
    if status != RowStatus.FREE and not same_agent:
        return False
    runs = status == RowStatus.RUNNING if met_already else command.wanted == Wanted.RUNNING
    if runs and not flags & RowFlag.DELETING and _is_on_another_symbol(draft, command):
        _close_first(draft, command.row)
        return False
    row = draft.own()[command.row]
    if not same_agent:
        row["agent_id"] = command.agent_id
        row["seq"] = 0  # counts per agent
    row["epoch"] = command.epoch
    if command.wanted == Wanted.DELETED or flags & RowFlag.DELETING:
        _delete(draft, command.row)
    elif status == RowStatus.FREE:
        _create(draft, command)
    elif met_already:
        _edit(draft, command)
    elif command.wanted == Wanted.STOPPED:
        _stop(draft, command)
    elif command.wanted == Wanted.FAILED:
        _fail(draft, command)
    elif status == RowStatus.RUNNING:
        _edit(draft, command)
    else:
        _start(draft, command)
    return True


def _create(draft: Draft, command: Command) -> None:
    """Both events show the row as it is from now on, running or stopped."""
    draft.clear(command.row)
    row = draft.rows[command.row]
    running = command.wanted == Wanted.RUNNING
    row["status"] = RowStatus.RUNNING if running else RowStatus.STOPPED
    if running:
        row["start_slot"] = draft.slot
    _take_settings(draft, command)
    draft.say_one("created", command.row)
    if running:
        draft.say_one("started", command.row)
    _say_halt(draft, command.row, Halt.ACTIVE)
    if command.wanted == Wanted.FAILED:
        _stand_in_error(draft, command.row)


def _start(draft: Draft, command: Command) -> None:
    """A new session: its first due slot is this one, its loss is counted from here."""
    row = draft.rows[command.row]
    row["status"] = RowStatus.RUNNING
    row["status_reason"] = Reason.NONE
    row["start_slot"] = draft.slot
    row["session_base_usd"] = row["realized_pnl_usd"]
    row["session_peak_usd"] = 0.0
    _ask_no_close(row)
    halt = _take_settings(draft, command)
    draft.say_one("started", command.row)
    _say_halt(draft, command.row, halt)


def _edit(draft: Draft, command: Command) -> None:
    """The same session goes on, or the agent stands as before, with what was asked of its position.

    A new interval counts its slots from this one.
    """
    row = draft.rows[command.row]
    before = row.copy()
    if row["status"] == RowStatus.RUNNING and row["interval"] != command.interval:
        draft.count_row(command.row)
        row["start_slot"] = draft.slot
    halt = _take_settings(draft, command)
    before["halt"] = row["halt"]
    if halt == row["halt"] or before.tobytes() != row.tobytes():
        draft.say_one("edited", command.row)
    _say_halt(draft, command.row, halt)


def _stop(draft: Draft, command: Command) -> None:
    """Takes the settings, too: agents are edited while they stand. The last close_position wins."""
    row = draft.rows[command.row]
    draft.count_row(command.row)
    row["status"] = RowStatus.STOPPED
    row["status_reason"] = Reason.BY_USER
    halt = _take_settings(draft, command)
    if row["side"] and command.close_position:
        row["flags"] |= int(RowFlag.CLOSING)
        row["close_reason"] = Reason.STOPPED
    else:
        _ask_no_close(row)
    draft.say_one("stopped", command.row, Reason.BY_USER)
    _say_halt(draft, command.row, halt)


def _fail(draft: Draft, command: Command) -> None:
    """Only what runs can fail: one that was stopped meanwhile stays so, and takes the settings."""
    if draft.rows["status"][command.row] != RowStatus.RUNNING:
        _edit(draft, command)
        return
    draft.count_row(command.row)
    halt = _take_settings(draft, command)
    _stand_in_error(draft, command.row)
    _say_halt(draft, command.row, halt)


def _stand_in_error(draft: Draft, number: int) -> None:
    """Says `failed` without a reason, which tells it from a failure that a slot decided."""
    row = draft.rows[number]
    row["status"] = RowStatus.ERROR
    row["status_reason"] = Reason.PLAN_FAILED
    draft.say("failed", _only(number), Reason.NONE, [NOT_STORED])


def _delete(draft: Draft, number: int) -> None:
    """Flat, it is free at once; open, it stops now and `deleted` comes when it has been closed."""
    row = draft.rows[number]
    if not row["side"]:
        draft.free(_only(number))
        return
    draft.count_row(number)
    row["status"] = RowStatus.STOPPED
    row["status_reason"] = Reason.DELETED
    row["flags"] |= int(RowFlag.CLOSING | RowFlag.DELETING)
    row["close_reason"] = Reason.DELETED
    draft.say_one("stopped", number, Reason.DELETED)


def _only(number: int) -> Index:
    return np.array([number])


def _ask_no_close(row: np.void) -> None:
    _drop_flags(row, _CLOSING)
    row["close_reason"] = Reason.NONE


def _is_on_another_symbol(draft: Draft, command: Command) -> bool:
    """The row's position is on a symbol that the command's plan is not on, as far as is known."""
    row, symbol = draft.rows[command.row], draft.symbol
    if not row["side"] or symbol is None or max(row["plan_id"], command.plan_id) >= len(symbol):
        return False
    one, other = int(symbol[row["plan_id"]]), int(symbol[command.plan_id])
    return min(one, other) >= 0 and one != other


def _close_first(draft: Draft, number: int) -> None:
    """Leaves the command for another time: until it comes, nothing is opened on the old symbol."""
    if draft.rows["flags"][number] & RowFlag.MOVING:
        return
    row = draft.own()[number]
    row["flags"] |= int(RowFlag.CLOSING | RowFlag.MOVING)
    row["close_reason"] = Reason.STOPPED
    draft.say_one("moving", number)


def _take_settings(draft: Draft, command: Command) -> Halt:
    """An open position keeps its leverage, and its plan if that is on another symbol; its stop and
    target follow from its entry. Answers how it was halted before.
    """
    row = draft.rows[command.row]
    before, as_it_was = Halt(int(row["halt"])), row.tobytes()
    _begin_marks(row, command)
    if not _is_on_another_symbol(draft, command):
        row["plan_id"] = command.plan_id
    for column, value in zip(draft.columns(_SETTINGS), _settings_of(command), strict=True):
        column[command.row] = value
    _drop_flags(row, _MOVING if command.break_even_bps else _MOVING_OR_EVEN)
    if row["side"]:
        if row.tobytes() != as_it_was:  # else stop and target are what follows from it
            set_exit_prices(draft.rows, _only(command.row))
    else:
        row["leverage"] = command.leverage
    return before


def _drop_flags(row: np.void, flags: int) -> None:
    found = int(row["flags"])
    if found & flags:
        row["flags"] = found & ~flags


def _begin_marks(row: np.void, command: Command) -> None:
    """What was not kept, because no rule asked for it, begins from what is known."""
    begins = ~int(row["rules"]) & command.rules
    if not begins:
        return
    if begins & RowRule.TRAILING:
        row["best_price"] = row["entry_price"]
    if begins & RowRule.DRAWDOWN:
        won = round_usd(float(row["realized_pnl_usd"] - row["session_base_usd"]))
        row["session_peak_usd"] = np.maximum(won, 0.0)


def _say_halt(draft: Draft, number: int, before: Halt) -> None:
    halt = Halt(int(draft.rows["halt"][number]))
    if halt != before:
        draft.say_one(_HALT_KINDS[halt], number)
