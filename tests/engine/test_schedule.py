"""When rows are due, and how their ticks are counted."""

import numpy as np
import pytest

from engine.commands import Wanted
from engine.rows import Reason, Rows, RowStatus, empty_rows
from engine.schedule import (
    RANGES_MAX,
    SkippedRange,
    counts,
    due_count,
    due_mask,
    fold_skipped,
    next_due,
    running_mask,
    watched_mask,
)
from engine.tick import apply_inbox
from tests.engine.builders import SLOT, command, holding, kinds, running, tick


def every(*intervals: int) -> Rows:
    """Rows that run with these intervals since SLOT."""
    rows = running(len(intervals))
    rows["interval"] = intervals
    return rows


# Due


def test_a_row_is_due_at_its_start_and_every_interval_after_it() -> None:
    rows = every(1, 2, 3)
    due = [due_mask(rows, SLOT + later).tolist() for later in range(-1, 5)]
    assert due == [
        [False, False, False],
        [True, True, True],
        [True, False, False],
        [True, True, False],
        [True, False, True],
        [True, True, False],
    ]


@pytest.mark.parametrize("status", [RowStatus.FREE, RowStatus.STOPPED, RowStatus.ERROR])
def test_only_running_rows_are_due(status: RowStatus) -> None:
    rows = every(1, 60)
    rows["status"] = status
    assert not due_mask(rows, SLOT).any()
    assert not running_mask(rows).any()
    assert next_due(rows, SLOT) is None


def test_positions_are_watched_while_running_in_error_or_closing() -> None:
    rows = holding(1, count=5)
    rows["status"][1] = RowStatus.ERROR
    rows["status"][2:4] = RowStatus.STOPPED
    rows["flags"][3] = 1
    rows["side"][4] = 0
    assert watched_mask(rows).tolist() == [True, True, False, True, False]


@pytest.mark.parametrize(
    ("intervals", "after", "soonest"),
    [
        ((1, 60), 0, 1),
        ((60, 3600), 0, 60),
        ((60, 3600), 59, 60),
        ((60, 3600), 60, 120),
        ((7, 5), 10, 14),
        ((7, 5), -100, 0),
    ],
)
def test_next_due_is_exact(intervals: tuple[int, ...], after: int, soonest: int) -> None:
    assert next_due(every(*intervals), SLOT + after) == SLOT + soonest


def test_next_due_of_an_open_position_is_the_next_slot() -> None:
    rows = every(3600)
    rows["side"] = 1
    assert next_due(rows, SLOT + 5) == SLOT + 6
    rows["status"] = RowStatus.STOPPED
    assert next_due(rows, SLOT + 5) is None


def test_an_empty_table_is_never_due() -> None:
    assert next_due(empty_rows(0), SLOT) is None
    assert next_due(empty_rows(4), SLOT) is None


@pytest.mark.parametrize("interval", [1, 2, 7])
@pytest.mark.parametrize("first", range(-3, 12, 5))
def test_due_count_is_what_counting_gives(interval: int, first: int) -> None:
    for last in range(first - 2, 25):
        slots = [s for s in range(first, last + 1) if s >= 0 and s % interval == 0]
        assert int(due_count(0, interval, first, last)) == len(slots)


# Ticks and missed ticks


def test_ticks_follow_from_the_slot() -> None:
    row = every(60)[0]
    assert counts(row, SLOT - 1, (), -1) == (0, 0)
    assert counts(row, SLOT, (), -1) == (1, 0)
    assert counts(row, SLOT + 119, (), -1) == (2, 0)
    assert counts(row, SLOT + 120, (), -1) == (3, 0)


def test_missed_slots_are_counted_and_paused_ones_are_not() -> None:
    row = every(10)[0]
    missed = SkippedRange(SLOT + 5, SLOT + 25, paused=False)  # 2 due slots
    paused = SkippedRange(SLOT + 40, SLOT + 40, paused=True)  # 1
    assert counts(row, SLOT + 50, [missed, paused], -1) == (6 - 2 - 1, 2)


def test_what_was_skipped_before_the_start_or_is_not_yet_covered_does_not_count() -> None:
    row = every(10)[0]
    before = SkippedRange(SLOT - 50, SLOT - 1, paused=False)
    beyond = SkippedRange(SLOT + 10, SLOT + 30, paused=False)
    assert counts(row, SLOT + 20, [before, beyond], -1) == (1, 2)


def test_a_stopped_row_has_the_counts_of_its_base() -> None:
    missed = SkippedRange(SLOT + 2, SLOT + 3, paused=False)
    stop = command(agent_id=bytes(16), epoch=2, wanted=Wanted.STOPPED)
    rows = apply_inbox(running(), SLOT + 10, [stop], [missed]).rows
    assert counts(rows[0], SLOT + 500, [missed], -1) == (8, 2)
    again = command(agent_id=bytes(16), epoch=3)
    rows = apply_inbox(rows, SLOT + 500, [again], [missed]).rows
    assert counts(rows[0], SLOT + 504, [missed], -1) == (8 + 5, 2)


def test_an_edited_interval_keeps_the_counts() -> None:
    missed = SkippedRange(SLOT + 2, SLOT + 3, paused=False)
    edit = command(agent_id=bytes(16), epoch=2, interval=5)
    rows = apply_inbox(running(), SLOT + 10, [edit], [missed]).rows
    assert counts(rows[0], SLOT + 9, [missed], -1) == (8, 2)
    assert counts(rows[0], SLOT + 20, [missed], -1) == (8 + 3, 2)


def test_the_tick_that_ends_the_run_counts() -> None:
    failed = tick(running(), SLOT + 4, failed={1: "boom"})
    assert kinds(failed) == ["failed"]
    assert counts(failed.rows[0], SLOT + 99, (), -1) == (5, 0)
    lost = tick(holding(1, max_session_loss_usd=5.0), SLOT + 4, price=90.0)
    assert lost.events[-1].reason == Reason.SESSION_LOSS
    assert counts(lost.rows[0], SLOT + 99, (), -1) == (5, 0)


# Folding


def ranges(count: int) -> list[SkippedRange]:
    """Of three slots each, every ten slots, each third one paused."""
    starts = (SLOT + 10 * number for number in range(count))
    return [SkippedRange(s, s + 2, paused=n % 3 == 0) for n, s in enumerate(starts)]


def test_up_to_the_limit_nothing_is_folded() -> None:
    rows, skipped = every(1, 7), ranges(RANGES_MAX)
    folded = fold_skipped(rows, SLOT + 10_000, skipped, -1)
    assert folded.rows is rows
    assert (folded.skipped, folded.folded_slot) == (skipped, -1)


def test_folding_changes_no_count() -> None:
    rows, skipped = every(1, 7, 600, 4), ranges(RANGES_MAX + 1)
    rows["status"][3] = RowStatus.STOPPED
    rows["start_slot"][2] = SLOT + 10_000  # begins later than all of it
    head = SLOT + 10_050
    folded = fold_skipped(rows, head, skipped, -1)
    assert len(folded.skipped) == RANGES_MAX // 2
    assert folded.folded_slot == skipped[RANGES_MAX // 2].last
    for before, after in zip(rows, folded.rows, strict=True):
        for slot in (head, head + 77):
            assert counts(after, slot, folded.skipped, folded.folded_slot) == counts(
                before, slot, skipped, -1
            )
    assert np.array_equal(rows["ticks_base"], [0, 0, 0, 0])


def test_a_stop_after_folding_counts_right() -> None:
    skipped = ranges(RANGES_MAX + 1)
    head = SLOT + 10_000
    expected = counts(running()[0], head - 1, skipped, -1)
    folded = fold_skipped(running(), head, skipped, -1)
    stop = command(agent_id=bytes(16), epoch=2, wanted=Wanted.STOPPED)
    rows = apply_inbox(folded.rows, head, [stop], folded.skipped, folded.folded_slot).rows
    assert counts(rows[0], head, folded.skipped, folded.folded_slot) == expected
