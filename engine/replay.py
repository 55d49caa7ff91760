"""One agent's slot again, from what was recorded: the row before it, its events, its inputs.

Commands are not kept as such: the events that answer them carry the row as they left it. What
comes after them in a slot is decided anew and compared with what the journal says was decided.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from engine.events import Event
from engine.isolation import advance_isolated
from engine.rows import ROW_SCHEMA, Reason, Rows
from engine.schemas import record_from_bytes, record_schema, rows_to_bytes
from engine.tick import SlotInputs, advance

_COMMANDED: Final = frozenset(
    {
        "created",
        "started",
        "edited",
        "stopped",
        "deleted",
        "failed",
        "halted",
        "reducing",
        "resumed",
        "moving",
    }
)
_COMPARED: Final = (
    "kind", "seq", "slot", "reason", "price", "side", "quantity", "fee_usd", "pnl_usd",
    "entry_price", "entry_fee_usd", "opened_slot", "trade_seq", "leverage", "open_reason", "signal",
)  # fmt: skip
_UNCOMPARED_OF_ROW: Final = ("ticks_base", "missed_base")
"""They count slots that were not run, which is told of a whole shard and not in the journal."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """rows: the agent after the slot, a table of one; decided: what the engine decides now;
    commanded: the recorded events that answered commands; recorded: the decisions on record;
    raised: what the engine raised, or "".
    """

    rows: Rows
    commanded: Sequence[Event]
    decided: Sequence[Event]
    recorded: Sequence[Event]
    raised: str = ""

    @property
    def differences(self) -> list[str]:
        """In words, what is decided otherwise than recorded; none when all is the same."""
        found = [
            wrong
            for now, then in zip(self.decided, self.recorded, strict=False)
            if (wrong := difference(now, then))
        ]
        shared = min(len(self.decided), len(self.recorded))
        found += [f"{event.kind} is not on record" for event in self.decided[shared:]]
        found += [f"{event.kind} is not decided again" for event in self.recorded[shared:]]
        return found


def row_after(event: Event) -> Rows:
    """The agent's row as the event left it, a table of one."""
    return record_from_bytes(event.row_after)


def split_commanded(events: Sequence[Event]) -> tuple[Sequence[Event], Sequence[Event]]:
    """A slot's events of one agent: those that answered commands come first, then decisions.

    A `stopped` that follows a limit is a decision: it comes after a close, or says its limit.
    """
    count = 0
    while count < len(events):
        event = events[count]
        by_command = event.reason in {Reason.NONE, Reason.BY_USER, Reason.DELETED}
        if event.kind not in _COMMANDED or not by_command:
            break
        count += 1
    return events[:count], events[count:]


def replay_slot(rows: Rows, inputs: SlotInputs, events: Sequence[Event]) -> Replayed:
    """The slot of a table of one row; events are the agent's recorded ones of the slot."""
    commanded, recorded = split_commanded(events)
    if commanded:
        rows = row_after(commanded[-1])
    inputs = replace(inputs, commands=())
    raised = ""
    try:
        outcome = advance(rows, inputs)
    except Exception as error:
        # The pool runs a slot that raised in the same way: the guilty row says so and stands.
        raised = repr(error)
        outcome = advance_isolated(rows, inputs).outcome
    rows = outcome.rows
    if recorded and record_schema(recorded[-1].row_after) != ROW_SCHEMA:
        rows = row_after(recorded[-1])  # it went on from what an older schema keeps
    return Replayed(rows, commanded, outcome.events, recorded, raised)


def commands_only(rows: Rows, events: Sequence[Event]) -> Replayed:
    """A slot that was not run: only commands applied in it."""
    commanded, recorded = split_commanded(events)
    return Replayed(row_after(commanded[-1]) if commanded else rows, commanded, (), recorded)


def difference(now: Event, then: Event) -> str:
    """What is not the same in two tellings of an event, in words; "" when nothing is."""
    for name in _COMPARED:
        if getattr(now, name) != getattr(then, name):
            return f"{then.kind}: {name} is {getattr(now, name)!r}, was {getattr(then, name)!r}"
    schema = record_schema(then.row_after)
    kept = record_from_bytes(rows_to_bytes(row_after(now), schema))
    wrong = row_difference(kept[0], row_after(then)[0])
    return f"{then.kind}: {wrong} of the row" if wrong else ""


def row_difference(row: np.void, was: np.void) -> str:
    """What is not the same in two states of an agent, in words; "" when nothing is."""
    for name in row.dtype.names or ():
        if name == "start_slot" and _same_rhythm(row, was):
            continue
        if name not in _UNCOMPARED_OF_ROW and row[name].tobytes() != was[name].tobytes():
            return f"{name} is {row[name]}, was {was[name]}"
    return ""


def _same_rhythm(row: np.void, was: np.void) -> bool:
    """Whether both are due in the same slots: a move to another shard begins the count anew."""
    apart = int(row["start_slot"]) - int(was["start_slot"])
    return apart % max(int(was["interval"]), 1) == 0
