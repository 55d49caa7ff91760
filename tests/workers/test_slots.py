"""Which slots a tick runs: in order, each once, and every due one run or counted."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import numpy as np
import pytest

from adapters.market_store import FrameAnswer
from adapters.shard_store import Head, InboxEntry, ShardState
from engine.commands import Command, Wanted, encode_command
from engine.frames import Frame, Ints
from engine.rows import ROW_SCHEMA, Rows, RowStatus, empty_rows
from engine.schedule import SkippedRange, counts, next_due
from engine.tick import SlotInputs, advance
from workers import slots
from workers.context import PoolContext
from workers.plan_book import SlotTable
from workers.settings import CATCH_UP_S
from workers.slots import SlotRun, run_slots

NOW = 1_800_000_000
AGENT = UUID(int=7)
PLAN = 1


def frame(slot: int) -> Frame:
    nothing = np.full((1, 7, 6), np.nan)
    closed = np.zeros((1, 7), np.int64)
    one, at = np.array([100.0]), np.array([float(slot)])
    return Frame(slot, "test", ("BTC/USDT",), one, at, at, nothing, closed)


class Market:
    """Frames for every slot but those in `never`; notes which were asked for."""

    def __init__(self) -> None:
        self.never: set[int] = set()
        self.early: set[int] = set()
        self.asked: list[int] = []

    async def frame(self, slot: int) -> FrameAnswer:
        self.asked.append(slot)
        if slot in self.early:
            return FrameAnswer("early", now=slot - 0.5)
        if slot in self.never:
            return FrameAnswer("never", now=float(slot))
        return FrameAnswer("frame", frame(slot))


class Plans:
    """The same price and no signal in every slot."""

    async def table(self, seen: Frame, plan_ids: Ints, late: bool) -> SlotTable:
        table = SlotTable.empty(seen, PLAN + 1)
        table.price[:], table.fresh[:], table.signal[:], table.known[:] = 100.0, True, 0.0, True
        return table


class Bench:
    """run_slots on a shard in memory."""

    def __init__(self) -> None:
        self.market = Market()
        self.buried: list[tuple[bytes, str]] = []
        self.refreshed = 0

        async def bury(shard: int, payload: bytes, reason: str) -> None:
            self.buried.append((payload, reason))

        async def refresh() -> None:
            self.refreshed += 1

        def plans_in(shard: int, rows: Rows, due: Any) -> Ints:
            return np.array([PLAN])

        pool = SimpleNamespace(
            market=self.market,
            plans=Plans(),
            shards=SimpleNamespace(bury=bury),
            clock=SimpleNamespace(refresh=refresh, monotonic=time.monotonic),
            plans_in=plans_in,
            entries_open=lambda shard: True,
        )
        self.pool = cast(PoolContext, pool)

    def run(self, state: ShardState, now: int = NOW) -> SlotRun | None:
        return asyncio.run(run_slots(self.pool, 0, state, now))


def command(epoch: int = 1, wanted: Wanted = Wanted.RUNNING, interval: int = 1) -> Command:
    return Command(
        agent_id=AGENT.bytes,
        row=0,
        epoch=epoch,
        wanted=wanted,
        close_position=True,
        plan_id=PLAN,
        interval=interval,
        threshold=0.5,
        max_position_usd=100.0,
        stop_loss_ppm=20_000,
        take_profit_ppm=40_000,
        leverage=1,
        fee_cbps=0,
        slippage_cbps=0,
        max_session_loss_usd=0.0,
    )


def running(since: int, interval: int = 1) -> Rows:
    price, fresh = np.full(2, 100.0), np.ones(2, np.bool_)
    given = SlotInputs(since, price, fresh, np.zeros(2), commands=[command(interval=interval)])
    return advance(empty_rows(1), given).rows


def state(slot: int, rows: Rows, *inbox: tuple[int, bytes], paused: bool = False) -> ShardState:
    head = Head(1, slot, next_due(rows, slot), ROW_SCHEMA, "run", (), -1, paused)
    entries = tuple(InboxEntry(stamp, n, data) for n, (stamp, data) in enumerate(inbox))
    return ShardState(head, rows, entries)


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
    import_row = Command(**{**_fields(command()), "row": 130, "agent_id": UUID(int=9).bytes})
    run = bench.run(state(NOW - 1, rows, (NOW, encode_command(import_row))))
    assert run is not None
    assert len(run.rows) == 192
    assert run.rows[130]["status"] == RowStatus.RUNNING


def _fields(given: Command) -> dict[str, Any]:
    return {name: getattr(given, name) for name in given.__struct_fields__}
