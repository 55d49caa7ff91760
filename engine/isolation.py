"""One bad agent harms nobody: a slot for which `advance` itself raised, run without the guilty.

Rows do not depend on each other, so the guilty ones are found by halves. Commands are tried one by
one. What raises is a mistake of ours or a broken record; nobody else shall wait for its mending.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.commands import Command
from engine.draft import Draft
from engine.rows import Index, Reason, Rows, RowStatus, copy_of
from engine.schedule import rebase
from engine.tick import Outcome, SlotInputs, advance, apply_inbox

Advance = Callable[[Rows, SlotInputs], Outcome]


@dataclass(frozen=True, slots=True)
class Isolated:
    """outcome of everybody else; refused: the guilty commands, with what each raised."""

    outcome: Outcome
    refused: Sequence[tuple[Command, str]]


def advance_isolated(rows: Rows, inputs: SlotInputs, run: Advance = advance) -> Isolated:
    """The slot without what raises in it: bad commands are left out, bad rows go into ERROR."""
    started, refused = _apply_one_by_one(rows, inputs)
    rest = replace(inputs, commands=())
    guilty = _guilty(started.rows, rest, run)
    index = np.array(sorted(guilty), np.intp)
    scratch = copy_of(started.rows)
    scratch["status"][index] = RowStatus.FREE
    scratch["side"][index] = 0
    scratch["flags"][index] = 0
    ran = run(scratch, rest)
    table = copy_of(ran.rows)
    table[index] = started.rows[index]
    failed = _put_into_error(table, rest, guilty)
    events = [*started.events, *ran.events, *failed.events]
    changed = np.unique(np.concatenate([started.changed, ran.changed, failed.changed]))
    return Isolated(Outcome(failed.rows, changed, events), refused)


def _apply_one_by_one(rows: Rows, inputs: SlotInputs) -> tuple[Outcome, list[tuple[Command, str]]]:
    good: list[Command] = []
    refused: list[tuple[Command, str]] = []
    slot, skipped, folded = inputs.slot, inputs.skipped, inputs.folded_slot
    outcome = apply_inbox(rows, slot, (), skipped, folded, inputs.symbol)
    for command in inputs.commands:
        try:
            outcome = apply_inbox(rows, slot, [*good, command], skipped, folded, inputs.symbol)
        except Exception as error:
            refused.append((command, _words(error)))
        else:
            good.append(command)
    return outcome, refused


def _guilty(rows: Rows, inputs: SlotInputs, run: Advance) -> dict[int, str]:
    """Row number to what it raised."""
    guilty: dict[int, str] = {}
    pending = [(0, len(rows))] if len(rows) else []
    while pending:
        first, end = pending.pop()
        try:
            run(rows[first:end], inputs)
        except Exception as error:
            if end - first == 1:
                guilty[first] = _words(error)
            else:
                middle = (first + end) // 2
                pending += [(first, middle), (middle, end)]
    return guilty


def _put_into_error(rows: Rows, inputs: SlotInputs, guilty: dict[int, str]) -> Outcome:
    """Guilty rows say once why, and stand in ERROR; nothing else of them is touched."""
    draft = Draft(rows, inputs.slot, inputs.skipped, inputs.folded_slot)
    index: Index = np.array(
        [row for row in sorted(guilty) if rows["status"][row] != RowStatus.ERROR], np.intp
    )
    if index.size:
        table = draft.own()
        rebase(table, index, inputs.slot, inputs.skipped, inputs.folded_slot)
        table["status"][index] = RowStatus.ERROR
        table["status_reason"][index] = Reason.PLAN_FAILED
        texts = [f"the engine failed: {guilty[row]}" for row in index.tolist()]
        draft.say("failed", index, Reason.PLAN_FAILED, texts)
    return Outcome(draft.rows, index, draft.events)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
