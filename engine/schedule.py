"""When rows are due, and how many ticks they ran and missed; all of it follows from the slot.

A RUNNING row is due at start_slot and every `interval` seconds after it; an open position is looked
at in every slot. Slots that were not run lie in the skipped ranges of the shard's head, ascending
and disjoint; what was due in them was missed or, if they were paused, does not count at all.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from engine.rows import Index, Mask, RowFlag, Rows, RowStatus, copy_of, rows_at

RANGES_MAX: Final = 64  # that a head carries; above it the oldest are folded into the rows

# Exact ints: an array compared with an IntEnum is widened to int64 first, at five times the cost.
_RUNNING: Final = int(RowStatus.RUNNING)
_AWAKE: Final = int(RowStatus.RUNNING & RowStatus.ERROR)
assert _AWAKE == RowFlag.CLOSING and not RowStatus.STOPPED & _AWAKE, "one bit says: watched"

Slots: TypeAlias = npt.NDArray[np.int64]


class SkippedRange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Slots first..last (both inside) that were not run: paused in order, or missed."""

    first: int
    last: int
    paused: bool


class Folded(NamedTuple):
    """What fold_skipped gives back, for the table and the head."""

    rows: Rows
    skipped: Sequence[SkippedRange]
    folded_slot: int


def running_mask(rows: Rows) -> Mask:
    running: Mask = rows["status"].copy() == _RUNNING
    return running


def watched_mask(rows: Rows) -> Mask:
    """Rows whose open position is looked at in every slot: RUNNING or ERROR, or to be closed."""
    watched: Mask = rows["side"].copy() != 0
    if watched.any():
        watched &= ((rows["status"].copy() | rows["flags"].copy()) & _AWAKE) != 0
    return watched


def due_mask(rows: Rows, slot: int) -> Mask:
    """Rows whose signal is due in `slot`."""
    start = rows["start_slot"].copy()
    due = running_mask(rows)
    due &= start <= slot
    interval = rows["interval"].copy()
    if interval.max(initial=1) > 1:
        since = slot - start.astype(np.int64)
        due &= since % np.maximum(interval, 1) == 0
    return due


def next_due(rows: Rows, after_slot: int) -> int | None:
    """The first slot above `after_slot` in which any row has work; None if none ever has."""
    soonest = after_slot + 1
    if due_mask(rows, soonest).any() or watched_mask(rows).any():
        return soonest
    running = np.flatnonzero(running_mask(rows))
    if not running.size:
        return None
    start = rows["start_slot"][running].astype(np.int64)
    interval = np.maximum(rows["interval"][running].astype(np.int64), 1)
    turns = np.maximum(-((start - soonest) // interval), 0)  # whole intervals until `soonest`, up
    return int((start + turns * interval).min())


def due_count(
    start: Slots | int, interval: Slots | int, first: Slots | int, last: Slots | int
) -> Slots:
    """How many of start, start + interval, ... lie in first..last; 0 if it is empty. Broadcasts."""
    start = np.asarray(start, np.int64)
    before = np.maximum(first, start) - 1 - start
    return np.maximum((last - start) // interval - before // interval, 0)


def tally(
    rows: Rows, head_slot: int, skipped: Sequence[SkippedRange], folded_slot: int
) -> tuple[Slots, Slots]:
    """(ticks, missed) of each row through `head_slot`.

    A row's bases hold what was before start_slot and up to folded_slot; while it is RUNNING, what
    came after both is added to them.
    """
    ticks, missed = rows["ticks_base"].astype(np.int64), rows["missed_base"].astype(np.int64)
    running = np.flatnonzero(running_mask(rows))
    start = rows["start_slot"][running].astype(np.int64)
    interval = np.maximum(rows["interval"][running].astype(np.int64), 1)
    first = np.maximum(start, folded_slot + 1)
    due = due_count(start, interval, first, head_slot)
    if skipped:
        firsts, lasts = np.array([[r.first, r.last] for r in skipped], np.int64).T
        lost = np.array([not r.paused for r in skipped])
        skipped_due = due_count(
            start[:, None],
            interval[:, None],
            np.maximum(first[:, None], firsts),
            np.minimum(lasts, head_slot),
        )
        due -= skipped_due.sum(axis=1)
        missed[running] += skipped_due[:, lost].sum(axis=1)
    ticks[running] += due
    return ticks, missed


def counts(
    row: np.void, head_slot: int, skipped: Sequence[SkippedRange], folded_slot: int
) -> tuple[int, int]:
    """(ticks, missed) of one row through `head_slot`, with the ranges of its head."""
    ticks, missed = tally(row.reshape(1), head_slot, skipped, folded_slot)
    return int(ticks[0]), int(missed[0])


def rebase(
    rows: Rows, index: Index, last_slot: int, skipped: Sequence[SkippedRange], folded_slot: int
) -> None:
    """Counts rows through `last_slot` into their bases: they stop running or start_slot changes."""
    ticks, missed = tally(rows_at(rows, index), last_slot, skipped, folded_slot)
    rows["ticks_base"][index] = ticks
    rows["missed_base"][index] = missed


def restart(
    rows: Rows, index: Index, last_slot: int, skipped: Sequence[SkippedRange], folded_slot: int
) -> None:
    """Counts rows through `last_slot` into their bases and lets their schedule go on after it, in
    the same rhythm: they may go on under another head.
    """
    rebase(rows, index, last_slot, skipped, folded_slot)
    running = index[running_mask(rows)[index]]
    start = rows["start_slot"][running].astype(np.int64)
    interval = np.maximum(rows["interval"][running].astype(np.int64), 1)
    turns = np.maximum((last_slot - start) // interval + 1, 0)
    rows["start_slot"][running] = start + turns * interval


def fold_skipped(
    rows: Rows, head_slot: int, skipped: Sequence[SkippedRange], folded_slot: int
) -> Folded:
    """The same counts with at most RANGES_MAX ranges: the oldest go into the rows' bases.

    Up to RANGES_MAX nothing happens; above it half of them go at once, as it rewrites the table.
    """
    if len(skipped) <= RANGES_MAX:
        return Folded(rows, skipped, folded_slot)
    keep = RANGES_MAX // 2
    through = min(skipped[-keep - 1].last, head_slot)
    rows = copy_of(rows)
    rebase(rows, np.flatnonzero(running_mask(rows)), through, skipped, folded_slot)
    return Folded(rows, skipped[-keep:], through)
