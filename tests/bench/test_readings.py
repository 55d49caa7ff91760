"""What was due, counted a second way: one slot after the other."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.shard_records import Head
from bench.readings import Schedule, due_between, missed_between, through
from bench.stack import BenchError
from bench.ticked import TickedLog
from engine.schedule import SkippedRange
from workers.stats import SLOTS_TOLD, WorkerStats

starts_and_intervals = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=5)


def schedule(agents: list[tuple[int, int]]) -> Schedule:
    """Agents by (start, interval), each in a shard of its own."""
    start, interval = np.array(agents, np.int64).reshape(-1, 2).T
    shards = np.arange(len(agents), dtype=np.int64)
    return Schedule(np.zeros(len(agents), "V16"), start, interval, shards)


def is_due(start: int, interval: int, slot: int) -> bool:
    return slot >= start and (slot - start) % interval == 0


@given(starts_and_intervals, st.integers(0, 80), st.integers(0, 80))
def test_due_is_every_slot_of_the_schedule_in_the_window(
    agents: list[tuple[int, int]], after: int, length: int
) -> None:
    slots = range(after + 1, after + length + 1)
    expected = [sum(is_due(start, every, slot) for slot in slots) for start, every in agents]
    assert due_between(schedule(agents), after, after + length).tolist() == expected


@given(starts_and_intervals, st.integers(0, 80), st.integers(0, 20), st.booleans())
def test_missed_is_what_was_due_in_skipped_slots_of_the_window(
    agents: list[tuple[int, int]], first: int, length: int, paused: bool
) -> None:
    skipped = SkippedRange(first, first + length, paused)
    head = Head(1, 100, None, 1, "run", (skipped,), 0, paused=False)
    slots = [slot for slot in range(first, first + length + 1) if 10 < slot <= 50]
    lost = sum(is_due(start, every, slot) for slot in slots for start, every in agents)
    heads = dict.fromkeys(range(len(agents)), head)
    assert missed_between(schedule(agents), heads, 10, 50) == (0 if paused else lost)


def test_a_slot_that_was_caught_up_is_as_late_as_the_commit_that_brought_it() -> None:
    log = TickedLog([(100.1, 0, 100), (103.2, 0, 103)])
    assert [round(lag) for lag in log.lags_ms(100, 103)] == [2200, 1200, 200]
    assert round(log.longest_gap_s(100), 1) == 3.1


def test_lags_of_one_shard_leave_the_others_out() -> None:
    log = TickedLog([(100.01, 0, 100), (100.5, 1, 100), (101.02, 0, 101), (101.9, 1, 101)])
    assert [round(lag) for lag in log.lags_ms(99, 101, shard=0)] == [10, 20]
    assert len(log.lags_ms(99, 101)) == 4


def test_ticks_through_a_slot_are_those_of_later_slots_less() -> None:
    stats = WorkerStats()
    for slot in range(100, 130):
        stats.committed({slot: 7}, 0, 0, [0.001])
    stats.committed({129: 2, 130: 5}, 0, 0, [0.001, 0.001])
    report = msgspec.json.decode(msgspec.json.encode(stats.report()))
    assert through(report, 128)["ticks"] == 29 * 7
    assert through(report, 129)["ticks"] == 30 * 7 + 2
    assert through(report, 135)["ticks"] == 30 * 7 + 2 + 5
    with pytest.raises(BenchError, match="not told 110"):
        through(report, 110)
    assert len(report["slot_ticks"]) == SLOTS_TOLD
