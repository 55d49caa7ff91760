"""One bad agent harms nobody: a slot for which `advance` itself raised, run without the guilty.

Rows do not depend on each other, so the guilty ones are found by halves. Commands are tried one by
one. What raises is a mistake of ours or a broken record; nobody else shall wait for its mending.
A record that can be seen to be damaged is put into ERROR before it decides anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from engine.commands import Command
from engine.draft import Draft
from engine.rows import ROW, Index, Reason, Rows, RowStatus, copy_of
from engine.schedule import SkippedRange, rebase
from engine.tick import Outcome, SlotInputs, advance, apply_inbox

Advance = Callable[[Rows, SlotInputs], Outcome]

_FLOATS: Final = [name for name in ROW.names or () if ROW[name].kind == "f"]


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
    texts = {row: f"the engine failed: {guilty[row]}" for row in guilty}
    failed = put_into_error(table, inputs.slot, inputs.skipped, inputs.folded_slot, texts)
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


def damaged_rows(rows: Rows) -> dict[int, str]:
    """Row number to what is wrong with it, of rows that no command and no slot can have made."""
    held = rows["status"] != RowStatus.FREE
    found: dict[int, str] = {}
    for name in _FLOATS:
        for row in np.flatnonzero(held & ~np.isfinite(rows[name])).tolist():
            found.setdefault(row, f"{name} is {rows[name][row]}")
    is_open = held & (rows["side"] != 0)
    for name, wrong in (
        ("status", held & (rows["status"] > RowStatus.ERROR)),
        ("side", np.abs(rows["side"].astype(np.int64)) > 1),
        ("interval", held & (rows["interval"] == 0)),
        ("entry_price", is_open & (rows["entry_price"] <= 0)),
        ("quantity", is_open & (rows["quantity"] <= 0)),
        ("leverage", is_open & (rows["leverage"] == 0)),
    ):
        for row in np.flatnonzero(held & wrong).tolist():
            found.setdefault(row, f"{name} is {rows[name][row]}")
    return {row: f"its row is damaged: {text}" for row, text in found.items()}


def put_into_error(
    rows: Rows,
    slot: int,
    skipped: Sequence[SkippedRange],
    folded_slot: int,
    texts: Mapping[int, str],
) -> Outcome:
    """These rows say once why, and stand in ERROR; nothing else of them is touched."""
    draft = Draft(rows, slot, skipped, folded_slot)
    index: Index = np.array(
        [row for row in sorted(texts) if rows["status"][row] != RowStatus.ERROR], np.intp
    )
    if index.size:
        table = draft.own()
        rebase(table, index, slot, skipped, folded_slot)
        table["status"][index] = RowStatus.ERROR
        table["status_reason"][index] = Reason.PLAN_FAILED
        draft.say("failed", index, Reason.PLAN_FAILED, [texts[row] for row in index.tolist()])
    return Outcome(draft.rows, index, draft.events)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
