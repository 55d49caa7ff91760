"""What an undisturbed run decides: the shipped ticks over every slot in order, of the same frames,
signals and stamped commands, without anybody who dies.
"""

from dataclasses import dataclass

import numpy as np

from adapters.market_store import FrameAnswer, MarketStore
from adapters.shard_records import Head, InboxEntry, ShardState, decode_inbox
from engine.frames import decode_frame
from engine.rows import ROW_SCHEMA, RowFlag, Rows, empty_rows
from engine.schedule import SkippedRange
from tests.simulation.fleet import Fleet
from tests.simulation.witness import ShardHistory, Violation, Witness
from workers.plan_book import PlanBook
from workers.slots import run_slots

_MARKS = ("best_price", "session_peak_usd", "stop_loss_price")
"""Columns that follow the price without an event."""


@dataclass(frozen=True, slots=True)
class Decided:
    """Events as they were encoded, in order, and the table after them."""

    events: list[bytes]
    rows: Rows


class _Archive(MarketStore):
    """The market of a run that is over, without the slots that a shard has not run."""

    frames: dict[int, bytes]
    missed: set[int]

    async def frame(self, slot: int) -> FrameAnswer:
        if slot in self.missed or slot not in self.frames:
            return FrameAnswer("never", now=float(slot))
        return FrameAnswer("frame", decode_frame(self.frames[slot]))


async def undisturbed(fleet: Fleet, witness: Witness, shard: int, last_slot: int) -> Decided:
    """Runs a shard from its first slot to its last."""
    history = witness.shards[shard]
    pool = fleet.pool_context("reference")
    await pool.clock.refresh()
    archive = _Archive(pool.state_redis, fleet.source)
    archive.frames, archive.missed = witness.frames, history.slots_not_run(paused=False)
    pool.market, pool.plans = archive, PlanBook(pool.state_redis, archive)
    pauses = _ranges(history.slots_not_run(paused=True))
    laid = dict(history.laid)
    head = Head(0, history.began, history.began, ROW_SCHEMA, "", (), 0, paused=False)
    state = ShardState(head, empty_rows(0), _inbox(history, pauses))
    events: list[bytes] = []
    for pause in _stops(pauses, [slot for slot in laid if slot < last_slot], last_slot):
        run = await run_slots(pool, shard, state, pause.first - 1)
        if run is not None:
            if run.slot != pause.first - 1:
                raise Violation(f"the undisturbed run of shard {shard} ended at slot {run.slot}")
            events += run.events
            state = ShardState(state.head, run.rows, state.inbox[run.applied :])
        skipped = run.skipped if run is not None else state.head.skipped
        skipped = (*skipped, pause) if pause.first <= pause.last else skipped
        head = Head(0, pause.last, pause.last, ROW_SCHEMA, "", skipped, 0, paused=False)
        rows = state.rows
        if pause.last in laid:
            rows = _with_marks_of(rows, laid[pause.last], shard)
        state = ShardState(head, rows, state.inbox)
    return Decided(events, state.rows)


def _inbox(history: ShardHistory, pauses: list[SkippedRange]) -> tuple[InboxEntry, ...]:
    """The commands that were applied, in this order; one stamped in a pause applies after it."""
    applied = [entry for each in history.commits for entry in each.applied]
    entries = []
    for entry in decode_inbox(applied):
        stamp = entry.stamp
        for pause in pauses:
            stamp = pause.last + 1 if pause.first <= stamp <= pause.last else stamp
        entries.append(InboxEntry(stamp, entry.number, entry.payload))
    return tuple(entries)


def _stops(pauses: list[SkippedRange], laid: list[int], last_slot: int) -> list[SkippedRange]:
    """Where the undisturbed run stops to be changed: at pauses, recoveries, and the end."""
    inside = {slot for each in pauses for slot in range(each.first, each.last)}
    ends = {each.last for each in pauses}
    empty = [SkippedRange(s + 1, s, True) for s in {*laid, last_slot} - inside - ends]
    return sorted([*pauses, *empty], key=lambda each: (each.first, each.last))


def _with_marks_of(rows: Rows, laid: Rows, shard: int) -> Rows:
    """What a price has moved since the last event is known only as far as a recovery found it: of
    the open positions that are the same otherwise.
    """
    rows = rows.copy()
    for row in range(min(len(rows), len(laid))):
        mine, theirs = rows[row], laid[row]
        same = all(mine[name] == theirs[name] for name in ("agent_id", "epoch", "seq"))
        if not same or not mine["side"]:
            continue
        side = int(mine["side"])
        if side * (theirs["best_price"] - mine["best_price"]) > 0:
            raise Violation(f"shard {shard}, row {row}: a recovery has found a better price")
        if theirs["session_peak_usd"] > mine["session_peak_usd"]:
            raise Violation(f"shard {shard}, row {row}: a recovery has found a higher peak")
        for name in _MARKS:
            mine[name] = theirs[name]
        at = mine["flags"] & ~np.uint8(RowFlag.BREAK_EVEN)
        mine["flags"] = at | (theirs["flags"] & np.uint8(RowFlag.BREAK_EVEN))
    return rows


def _ranges(slots: set[int]) -> list[SkippedRange]:
    ranges: list[SkippedRange] = []
    for slot in sorted(slots):
        if ranges and ranges[-1].last + 1 == slot:
            ranges[-1] = SkippedRange(ranges[-1].first, slot, True)
        else:
            ranges.append(SkippedRange(slot, slot, True))
    return ranges
