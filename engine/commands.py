"""A command carries the whole wanted state of an agent; the newest epoch wins, so that commands may
be lost, doubled or late.

One applies, before the slot it is stamped with, if its epoch is above the row's, and is answered by
one event; an agent created to run by two, `created` and `started`. An edit carries the wish that
came before it, and a wish that a row has met already neither starts nor stops it again.
"""

from collections.abc import Sequence
from enum import IntEnum
from math import isfinite
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta

from engine.draft import Draft
from engine.errors import CommandError
from engine.rows import Index, Reason, RowFlag, RowStatus
from engine.schedule import rebase
from engine.trades import set_exit_prices

_U4_MAX: Final = 2**32 - 1
_CBPS_MAX: Final = 2**16 - 1

AgentId = Annotated[bytes, Meta(min_length=16, max_length=16)]
Count = Annotated[int, Meta(ge=0, le=_U4_MAX)]
Positive = Annotated[int, Meta(ge=1, le=_U4_MAX)]
CentiBps = Annotated[int, Meta(ge=0, le=_CBPS_MAX)]
Usd = Annotated[float, Meta(ge=0.0)]


class Wanted(IntEnum):
    RUNNING = 1
    STOPPED = 2
    DELETED = 3


class Command(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The wanted state of the agent that holds, or is to hold, `row`. Units as in rows.ROW."""

    agent_id: AgentId
    row: Count
    epoch: Positive
    wanted: Wanted
    close_position: bool  # with STOPPED: close what is open, else keep it, unwatched
    plan_id: Count
    interval: Positive
    threshold: Usd
    max_position_usd: Usd
    stop_loss_ppm: Count
    take_profit_ppm: Count
    leverage: Annotated[int, Meta(ge=1, le=125)]
    fee_cbps: CentiBps
    slippage_cbps: CentiBps
    max_session_loss_usd: Usd
    asked_epoch: Count = 0  # in which `wanted` was asked for; 0: with this command


_decoder = msgspec.msgpack.Decoder(Command)


def encode_command(command: Command) -> bytes:
    return msgspec.msgpack.encode(command)


def decode_command(payload: bytes) -> Command:
    """Raises CommandError for what is no command or holds a number that no row can hold."""
    try:
        command = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"no command: {error}") from error
    for name in ("threshold", "max_position_usd", "max_session_loss_usd"):
        if not isfinite(getattr(command, name)):
            raise CommandError(f"no command: {name} is not finite")
    return command


def apply_commands(draft: Draft, commands: Sequence[Command]) -> None:
    """In inbox order. Raises CommandError for a row that the table does not have."""
    for command in commands:
        _apply(draft, command)


def _apply(draft: Draft, command: Command) -> None:
    """Ignores an old epoch, and an agent that asks for a row which another one still holds.

    What is being deleted stays deleted: a later command is taken as one more DELETED.
    """
    if not 0 <= command.row < len(draft.rows):
        raise CommandError(f"row {command.row} is not in a table of {len(draft.rows)}")
    row = draft.rows[command.row]
    if command.epoch <= row["epoch"]:
        return
    status, flags = int(row["status"]), int(row["flags"])
    met_already = 0 < command.asked_epoch <= row["epoch"]
    same_agent = row["agent_id"].tobytes() == command.agent_id
    if status != RowStatus.FREE and not same_agent:
        return
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
    elif status == RowStatus.RUNNING:
        _edit(draft, command)
    else:
        _start(draft, command)


def _create(draft: Draft, command: Command) -> None:
    """Both events show the row as it is from now on, running or stopped."""
    draft.clear(command.row)
    row = draft.rows[command.row]
    running = command.wanted == Wanted.RUNNING
    row["status"] = RowStatus.RUNNING if running else RowStatus.STOPPED
    if running:
        row["start_slot"] = draft.slot
    _take_settings(draft, command)
    draft.say("created", _only(command.row))
    if running:
        draft.say("started", _only(command.row))


def _start(draft: Draft, command: Command) -> None:
    """A new session: its first due slot is this one, its loss is counted from here."""
    row = draft.rows[command.row]
    row["status"] = RowStatus.RUNNING
    row["status_reason"] = Reason.NONE
    row["start_slot"] = draft.slot
    row["session_base_usd"] = row["realized_pnl_usd"]
    _ask_no_close(row)
    _take_settings(draft, command)
    draft.say("started", _only(command.row))


def _edit(draft: Draft, command: Command) -> None:
    """The same session goes on, or the agent stands as before, with what was asked of its position.

    A new interval counts its slots from this one.
    """
    row = draft.rows[command.row]
    if row["status"] == RowStatus.RUNNING and row["interval"] != command.interval:
        _count_up_to_here(draft, command.row)
        row["start_slot"] = draft.slot
    _take_settings(draft, command)
    draft.say("edited", _only(command.row))


def _stop(draft: Draft, command: Command) -> None:
    """Takes the settings, too: agents are edited while they stand. The last close_position wins."""
    row = draft.rows[command.row]
    _count_up_to_here(draft, command.row)
    row["status"] = RowStatus.STOPPED
    row["status_reason"] = Reason.BY_USER
    _take_settings(draft, command)
    if row["side"] and command.close_position:
        row["flags"] |= int(RowFlag.CLOSING)
        row["close_reason"] = Reason.STOPPED
    else:
        _ask_no_close(row)
    draft.say("stopped", _only(command.row), Reason.BY_USER)


def _delete(draft: Draft, number: int) -> None:
    """Flat, it is free at once; open, it stops now and `deleted` comes when it has been closed."""
    row = draft.rows[number]
    if not row["side"]:
        draft.free(_only(number))
        return
    _count_up_to_here(draft, number)
    row["status"] = RowStatus.STOPPED
    row["status_reason"] = Reason.DELETED
    row["flags"] |= int(RowFlag.CLOSING | RowFlag.DELETING)
    row["close_reason"] = Reason.DELETED
    draft.say("stopped", _only(number), Reason.DELETED)


def _only(number: int) -> Index:
    return np.array([number])


def _ask_no_close(row: np.void) -> None:
    row["flags"] &= 0xFF & ~int(RowFlag.CLOSING)
    row["close_reason"] = Reason.NONE


def _count_up_to_here(draft: Draft, number: int) -> None:
    """Without this slot: a command comes before it, and a new schedule counts it."""
    rebase(draft.rows, _only(number), draft.slot - 1, draft.skipped, draft.folded_slot)


def _take_settings(draft: Draft, command: Command) -> None:
    """An open position keeps its leverage; its stop and target follow from its entry."""
    row = draft.rows[command.row]
    row["plan_id"] = command.plan_id
    row["interval"] = command.interval
    row["threshold"] = command.threshold
    row["max_position_usd"] = command.max_position_usd
    row["stop_loss_ppm"] = command.stop_loss_ppm
    row["take_profit_ppm"] = command.take_profit_ppm
    row["fee_cbps"] = command.fee_cbps
    row["slippage_cbps"] = command.slippage_cbps
    row["max_session_loss_usd"] = command.max_session_loss_usd
    if row["side"]:
        set_exit_prices(draft.rows, _only(command.row))
    else:
        row["leverage"] = command.leverage
