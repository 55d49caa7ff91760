"""Which slots a tick runs: in order, each once, and every due one run or counted."""

import threading
from uuid import UUID

import numpy as np
import pytest

from adapters.shard_records import Head, ShardState
from engine.commands import Wanted, encode_command
from engine.events import decode_event
from engine.rows import ROW_SCHEMA, RowFlag, Rows, RowStatus, empty_rows
from engine.schedule import SkippedRange, counts
from engine.tick import Outcome, SlotInputs, advance
from tests.workers.shard_in_memory import NOW, PLAN, Bench, command, running, state
from workers import slots
from workers.settings import CATCH_UP_S, COMMANDS_BESIDE
from workers.slots import SlotRun


def ticks(run: SlotRun) -> tuple[int, int]:
    return counts(run.rows[0], run.slot, run.skipped, run.folded_slot)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_late_tick_runs_each_slot_in_order(bench: Bench) -> None:
    run = bench.run(state(NOW - 5, running(NOW - 5)))
    assert run is not None
    assert bench.market.asked == [NOW - 4, NOW - 3, NOW - 2, NOW - 1, NOW]
    assert (run.slot, run.ticks, run.next_due) == (NOW, 5, NOW + 1)
    assert ticks(run) == (6, 0)


def test_a_slot_that_is_covered_is_not_run_again(bench: Bench) -> None:
    assert bench.run(state(NOW, running(NOW - 5))) is None
    assert bench.market.asked == []


def test_slots_in_which_nothing_is_due_are_not_asked_for(bench: Bench) -> None:
    run = bench.run(state(NOW - 20, running(NOW - 20, interval=15)))
    assert run is not None
    assert bench.market.asked == [NOW - 5]
    assert (run.slot, run.next_due) == (NOW, NOW + 10)


def test_what_is_too_old_is_missed_and_counted(bench: Bench) -> None:
    run = bench.run(state(NOW - 100, running(NOW - 100)))
    assert run is not None
    first = NOW - CATCH_UP_S
    assert run.skipped == (SkippedRange(NOW - 99, first - 1, False),)
    assert bench.market.asked[0] == first
    assert sum(ticks(run)) == 101
    assert ticks(run)[1] == run.missed_slots == 39


def test_a_slot_without_a_frame_is_missed_but_its_commands_apply(bench: Bench) -> None:
    bench.market.never = {NOW}
    stop = encode_command(command(2, Wanted.STOPPED))
    run = bench.run(state(NOW - 1, running(NOW - 3), (NOW, stop)))
    assert run is not None
    assert run.skipped == (SkippedRange(NOW, NOW, False),)
    assert (run.rows[0]["status"], run.applied) == (RowStatus.STOPPED, 1)


def test_an_orderly_stop_pauses_and_misses_nothing(bench: Bench) -> None:
    run = bench.run(state(NOW - 5000, running(NOW - 5000), paused=True))
    assert run is not None and run.resumed
    assert run.skipped == (SkippedRange(NOW - 4999, NOW - 1, True),)
    assert ticks(run) == (2, 0)


def test_the_pause_goes_on_until_there_are_prices(bench: Bench) -> None:
    bench.market.never = {NOW}
    assert bench.run(state(NOW - 50, running(NOW - 50), paused=True)) is None


def test_a_command_applies_before_its_slot_and_not_earlier(bench: Bench) -> None:
    stop = encode_command(command(2, Wanted.STOPPED))
    run = bench.run(state(NOW - 4, running(NOW - 4), (NOW - 1, stop)))
    assert run is not None
    assert ticks(run) == (3, 0)
    later = bench.run(state(NOW - 4, running(NOW - 4), (NOW + 1, stop)))
    assert later is not None
    assert (later.applied, later.rows[0]["status"]) == (0, RowStatus.RUNNING)
    assert later.next_due == NOW + 1


def test_a_broken_command_is_buried_and_the_others_apply(bench: Bench) -> None:
    good = encode_command(command())
    run = bench.run(state(NOW - 1, empty_rows(0), (NOW, b"\xc1"), (NOW, good)))
    assert run is not None
    assert [payload for payload, _ in bench.buried] == [b"\xc1"]
    assert (run.applied, run.rows[0]["status"]) == (2, RowStatus.RUNNING)


def test_a_clock_that_is_ahead_leaves_the_slot_to_another_job(bench: Bench) -> None:
    bench.market.early = {NOW}
    run = bench.run(state(NOW - 2, running(NOW - 2)))
    assert run is not None
    assert run.slot == NOW - 1
    assert bench.refreshed == 1


def test_a_long_catch_up_is_cut_into_chunks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "CATCH_UP_CHUNK_S", 0.0)
    run = bench.run(state(NOW - 5, running(NOW - 5)))
    assert run is not None
    assert (run.slot, run.next_due) == (NOW - 4, NOW - 3)


def test_many_skipped_ranges_are_folded_and_counted_the_same(bench: Bench) -> None:
    ranges = tuple(SkippedRange(NOW - 400 + 4 * n, NOW - 400 + 4 * n, False) for n in range(64))
    rows = running(NOW - 500)
    head = Head(1, NOW - 2, NOW - 1, ROW_SCHEMA, "run", ranges, -1, paused=False)
    bench.market.never = {NOW - 1}
    run = bench.run(ShardState(head, rows, ()))
    assert run is not None and run.folded
    assert len(run.skipped) == 32
    assert ticks(run) == (501 - 65, 65)


def test_a_table_grows_for_a_new_row(bench: Bench) -> None:
    rows = running(NOW - 1)
    another = command(row=130, agent_id=UUID(int=9).bytes)
    run = bench.run(state(NOW - 1, rows, (NOW, encode_command(another))))
    assert run is not None
    assert len(run.rows) == 192
    assert run.rows[130]["status"] == RowStatus.RUNNING


def test_slots_without_entries_are_noted_as_an_input_of_the_shard(bench: Bench) -> None:
    bench.held = {NOW - 3, NOW - 2, NOW}
    run = bench.run(state(NOW - 5, running(NOW - 5)))
    assert run is not None
    noted = (SkippedRange(NOW - 3, NOW - 2, False), SkippedRange(NOW, NOW, False))
    assert run.held == run.commit().held == noted
    bench.held = set()
    free = bench.run(state(NOW - 5, running(NOW - 5)))
    assert free is not None and free.commit().held is None


def test_a_command_for_another_symbol_waits_until_the_position_is_closed(bench: Bench) -> None:
    rows = running(NOW - 3).copy()
    rows["side"], rows["entry_price"], rows["quantity"] = 1, 100.0, 1.0
    edit = encode_command(command(2, plan_id=PLAN + 1))
    run = bench.run(state(NOW - 1, rows, (NOW, edit)))
    assert run is not None
    (row,) = run.rows
    assert (row["epoch"], row["plan_id"], row["side"]) == (1, PLAN, 0)
    assert row["flags"] & RowFlag.MOVING
    again = bench.run(state(NOW - 1, run.rows, (NOW, edit)))
    assert again is not None
    (row,) = again.rows
    assert (row["epoch"], row["plan_id"], row["flags"] & RowFlag.MOVING) == (2, PLAN + 1, 0)


def test_a_damaged_row_is_set_aside_before_commands_and_ticks(bench: Bench) -> None:
    rows = running(NOW - 3).copy()
    rows["entry_price"] = np.nan
    stop = encode_command(command(2, Wanted.STOPPED))
    run = bench.run(state(NOW - 2, rows, (NOW, stop)), damaged={0: "its row is damaged"})
    assert run is not None
    told = [decode_event(event) for event in run.events]
    assert [(event.kind, event.slot) for event in told] == [("failed", NOW - 1), ("stopped", NOW)]
    assert told[0].text == "its row is damaged"


def test_a_slot_of_many_commands_is_run_beside_the_loop_and_says_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = COMMANDS_BESIDE
    inbox = [
        (NOW, encode_command(command(agent_id=number.to_bytes(16, "big"), row=number)))
        for number in range(many)
    ]
    threads: list[int] = []

    def noted(rows: Rows, inputs: SlotInputs) -> Outcome:
        threads.append(threading.get_ident())
        return advance(rows, inputs)

    monkeypatch.setattr(slots, "advance", noted)
    beside = bench.run(state(NOW - 1, empty_rows(0), *inbox))
    monkeypatch.setattr(slots, "COMMANDS_BESIDE", many + 1)
    inside = bench.run(state(NOW - 1, empty_rows(0), *inbox))
    assert beside is not None and inside is not None
    assert len(beside.events) == 2 * many
    assert beside.events == inside.events
    assert beside.rows.tobytes() == inside.rows.tobytes()
    assert [each == threading.get_ident() for each in threads] == [False, True]
