"""What a shard goes on from after a loss, case by case."""

from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.db.shards import NewestRow, ShardProgress
from adapters.recovery import recovered_state
from adapters.shard_records import Head, ShardState, united
from engine.errors import RowsError
from engine.rows import ROW_SCHEMA, Rows, empty_rows
from engine.schedule import SkippedRange
from engine.schemas import rows_to_bytes

NOW = 1_800_000_000
AGENT = uuid4()


def progress(version: int = 0, slot: int = 0) -> ShardProgress:
    return ShardProgress(0, "BTC/USDT", version, slot, "new", None)


def table(epoch: int, seq: int) -> Rows:
    rows = empty_rows(1)
    rows["agent_id"] = np.void(AGENT.bytes)
    rows["epoch"], rows["seq"] = epoch, seq
    return rows


def on_record(epoch: int, seq: int, row: int = 0) -> NewestRow:
    record = table(epoch, seq)[0].tobytes()
    return NewestRow(row, AGENT, epoch, seq, 1, record)


def in_redis(
    rows: Rows, version: int = 5, slot: int = NOW - 20, paused: bool = False
) -> ShardState:
    skipped = (SkippedRange(1, 2, True),)
    head = Head(version, slot, None, ROW_SCHEMA, "old", skipped, 7, paused)
    return ShardState(head, rows, ())


def recovered(
    seen: ShardState | None, cursor: ShardProgress, newest: list[NewestRow]
) -> ShardState:
    return recovered_state(seen, cursor, newest, "new", NOW)


def test_a_new_shard_begins_now() -> None:
    given_out = NewestRow(0, AGENT, 1, 0, 0, None)
    state = recovered(None, progress(), [given_out])
    assert state.head.slot == NOW - 1
    assert state.head.version == 1
    assert not state.rows["status"].any()


def test_an_empty_redis_goes_on_from_the_record() -> None:
    state = recovered(None, progress(version=41, slot=NOW - 300), [on_record(3, 12, row=2)])
    assert (state.head.version, state.head.slot) == (42, NOW - 1)
    assert state.head.skipped == (SkippedRange(NOW - 299, NOW - 1, False),)
    assert state.rows["seq"].tolist() == [0, 0, 12]
    assert state.head.run_id == "new"


@pytest.mark.parametrize("stored", [NOW, NOW + 3])
def test_an_empty_redis_never_goes_back_before_what_is_on_record(stored: int) -> None:
    """Loss and recovery within the slot of an event, or a Redis whose clock was set back."""
    head = recovered(None, progress(version=41, slot=stored), [on_record(3, 12)]).head
    assert (head.slot, head.skipped) == (stored, ())


def test_an_event_of_the_slot_before_leaves_nothing_to_miss() -> None:
    head = recovered(None, progress(version=41, slot=NOW - 1), [on_record(3, 12)]).head
    assert (head.slot, head.skipped) == (NOW - 1, ())


def test_slots_that_were_not_run_are_known_after_the_loss_of_everything() -> None:
    known = (SkippedRange(NOW - 50, NOW - 48, False), SkippedRange(NOW - 40, NOW - 40, True))
    cursor = replace(progress(version=41, slot=NOW - 30), skipped=known)
    head = recovered(None, cursor, [on_record(3, 12)]).head
    assert head.skipped == (*known, SkippedRange(NOW - 29, NOW - 1, False))


def test_slots_that_were_not_run_in_a_lost_second_come_back_from_the_record() -> None:
    known = (SkippedRange(1, 2, True), SkippedRange(NOW - 19, NOW - 19, False))
    cursor = replace(progress(version=7, slot=NOW - 18), skipped=known)
    head = recovered(in_redis(table(3, 11)), cursor, [on_record(3, 13)]).head
    assert head.skipped == known


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 6), st.booleans()), max_size=8).map(
    lambda spans: [SkippedRange(first, first + more, paused) for first, more, paused in spans]
)


@given(SPANS, st.integers(0, 70))
def test_ranges_of_several_tellings_are_one_list(told: list[SkippedRange], through: int) -> None:
    one = united(told, through)
    slots = [slot for each in one for slot in range(each.first, each.last + 1)]
    assert slots == sorted(set(slots))
    assert set(slots) == {
        s for each in told for s in range(each.first, each.last + 1) if s <= through
    }
    assert united([*one, *one], through) == one


def test_a_restart_that_lost_nothing_keeps_its_rows() -> None:
    state = recovered(
        in_redis(table(3, 12)), progress(version=4, slot=NOW - 21), [on_record(3, 12)]
    )
    assert state.head.version == 6
    assert state.head.slot == NOW - 20
    assert (state.head.skipped, state.head.folded_slot) == ((SkippedRange(1, 2, True),), 7)
    assert state.rows["seq"].tolist() == [12]


def test_a_lost_second_comes_back_from_the_record() -> None:
    lost = in_redis(table(3, 11), version=5, slot=NOW - 20)
    state = recovered(lost, progress(version=7, slot=NOW - 18), [on_record(3, 13)])
    assert (state.head.version, state.head.slot) == (8, NOW - 18)
    assert state.rows["seq"].tolist() == [13]


def test_a_tombstone_of_the_record_is_newer_than_the_agent_in_redis() -> None:
    state = recovered(in_redis(table(3, 40)), progress(version=9), [on_record(4, 2)])
    assert state.rows["epoch"].tolist() == [4]


def test_a_row_that_is_ahead_of_the_record_stays() -> None:
    state = recovered(in_redis(table(3, 14)), progress(version=2), [on_record(3, 12)])
    assert state.rows["seq"].tolist() == [14]


def test_an_orderly_stop_stays_one() -> None:
    assert recovered(in_redis(table(1, 1), paused=True), progress(version=3), []).head.paused


@pytest.mark.parametrize(
    ("head", "records", "setting", "schema"),
    [
        (None, [1], 1, 1),
        (None, [1], 2, 2),
        (None, [1, 2], 1, 2),
        (1, [1], 1, 1),
        (1, [], 2, 2),
        (2, [1], 1, 2),
        (1, [2], 1, 2),
    ],
)
def test_a_shard_is_laid_in_the_newest_schema_that_it_has_or_is_to_have(
    head: int | None, records: list[int], setting: int, schema: int
) -> None:
    seen = None if head is None else in_redis(table(3, 11))
    if seen is not None and head is not None:
        seen = replace(seen, head=replace(seen.head, schema=head))
    newest = [
        replace(on_record(4, 12, row), record=rows_to_bytes(table(4, 12), each))
        for row, each in enumerate(records)
    ]
    state = recovered_state(seen, progress(version=4, slot=NOW - 30), newest, "new", NOW, setting)
    assert state.head.schema == schema
    assert state.rows["epoch"].tolist() == ([4] * len(records) or [3])
    assert rows_to_bytes(state.rows, schema)


def test_a_record_of_a_schema_to_come_is_refused() -> None:
    with pytest.raises(RowsError, match="no row has 300 bytes"):
        recovered(None, progress(), [replace(on_record(1, 1), record=bytes(300))])
