"""The slots that one tick runs, in order, from the last covered one up to now.

A slot is run when a row is due in it or a command waits for it; the others are covered by the
way. Slots of an orderly stop are paused; slots that are too old or have no frame are missed.
Both are kept as ranges in the head, so that every due tick is run or counted.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from adapters.log import log_fields
from adapters.shard_records import Commit, FleetHalt, InboxEntry, ShardState, fleet_halt_at
from engine.commands import Command, decode_command, encode_command
from engine.errors import CommandError
from engine.events import Event, encode_event
from engine.frames import Frame, Ints
from engine.isolation import advance_isolated, put_into_error
from engine.rows import ROW_SCHEMA, ROWS_PER_SHARD, Halt, Rows, empty_rows
from engine.schedule import SkippedRange, due_mask, fold_skipped, next_due
from engine.tick import Outcome, SlotInputs, advance, apply_inbox
from workers.context import PoolContext
from workers.plan_book import SlotTable
from workers.row_schema import outcome_in
from workers.settings import CATCH_UP_CHUNK_S, CATCH_UP_S, COMMANDS_BESIDE

logger = logging.getLogger(__name__)

EARLY_S = 0.02
EARLY_TRIES = 3
"""How long a tick waits for its slot to begin by the clock of Redis, and how often."""
HELD_MAX = 64
"""Ranges of slots without entries that a head keeps, newest last."""
ROOM_STEP = 64
"""A table grows by so many records at a time."""

NONE_DAMAGED: Mapping[int, str] = {}

Waiting = tuple[int, Command | None]
"""A command and the slot before which it applies; None where it could not be read."""


@dataclass(slots=True)
class SlotRun:
    """What the slots run so far have made of a shard."""

    slot: int
    rows: Rows
    skipped: tuple[SkippedRange, ...]
    folded_slot: int
    inbox: Sequence[Waiting]
    changed: NDArray[np.bool_]
    schema: int = ROW_SCHEMA
    switched: bool = False
    held: tuple[SkippedRange, ...] = ()
    held_moved: bool = False
    halts: tuple[FleetHalt, ...] = ()
    events: list[bytes] = field(default_factory=list)
    failed: list[Event] = field(default_factory=list)
    applied: int = 0
    ran: dict[int, int] = field(default_factory=dict)
    """Slots that were run, and how many agents ticked in each."""
    missed_slots: int = 0
    next_due: int | None = None
    skipped_moved: bool = False
    folded: bool = False
    resumed: bool = False
    damaged: Mapping[int, str] = field(default_factory=dict)
    """Rows that cannot be right, and why; said with the first slot that is run."""

    def skip(self, first: int, last: int, paused: bool) -> None:
        """Notes slots that are not run, joined with the range before where they touch."""
        if last < first:
            return
        self.skipped = joined(self.skipped, SkippedRange(first, last, paused))
        self.skipped_moved = True
        if not paused:
            self.missed_slots += last - first + 1

    def hold(self, *, halted: bool) -> None:
        """Notes that the present slot is run without entries: an input of every row in it. halted:
        nothing is closed by signal or age either.
        """
        newest = SkippedRange(self.slot, self.slot, paused=halted)
        self.held = joined(self.held, newest)[-HELD_MAX:]
        self.held_moved = True

    def due_commands(self) -> list[Command]:
        """Takes the commands that apply before the present slot off the inbox."""
        first = self.applied
        while self.applied < len(self.inbox) and self.inbox[self.applied][0] <= self.slot:
            self.applied += 1
        return [command for _, command in self.inbox[first : self.applied] if command is not None]

    def take(self, outcome: Outcome) -> None:
        """Adds what one slot has changed."""
        outcome = outcome_in(outcome, self.schema)
        self.rows = outcome.rows
        self.changed[outcome.changed] = True
        self.events += [encode_event(event) for event in outcome.events]
        self.failed += [event for event in outcome.events if event.kind == "failed"]

    def set_damaged_aside(self) -> None:
        """Before any command: what one does to such a row is not to be foreseen."""
        if self.damaged:
            told = self.skipped, self.folded_slot, self.damaged
            self.take(put_into_error(self.rows, self.slot, *told))
            self.damaged = NONE_DAMAGED

    @property
    def ticks(self) -> int:
        """Of all slots that were run."""
        return sum(self.ran.values())

    def commit(self) -> Commit:
        """The form in which the shard store writes it."""
        return Commit(
            slot=self.slot,
            next_due=self.next_due,
            rows=self.rows,
            changed=np.nonzero(self.changed)[0],
            events=self.events,
            applied=self.applied,
            skipped=self.skipped if self.skipped_moved else None,
            folded_slot=self.folded_slot if self.folded else None,
            resumed=self.resumed,
            schema=self.schema if self.switched else None,
            held=self.held if self.held_moved else None,
        )


def joined(ranges: Sequence[SkippedRange], new: SkippedRange) -> tuple[SkippedRange, ...]:
    """Ranges with one more at their end, as one with the last of them where the two touch."""
    before = ranges[-1] if ranges else None
    if before is not None and before.paused == new.paused and before.last + 1 == new.first:
        return (*ranges[:-1], SkippedRange(before.first, new.last, new.paused))
    return (*ranges, new)


async def run_slots(
    pool: PoolContext,
    shard: int,
    read: ShardState,
    now_slot: int,
    damaged: Mapping[int, str] = NONE_DAMAGED,
) -> SlotRun | None:
    """Runs what is open up to now_slot; None when there is nothing to write.

    damaged rows go into ERROR before anything is done with them. Stops early after CATCH_UP_CHUNK_S
    of work; the slots run so far are committed, the rest is the next job's.
    """
    head = read.head
    if head.slot >= now_slot:
        return None
    schema = max(head.schema, pool.shards.schema)
    inbox = await read_commands(pool, shard, read.inbox, schema)
    rows = room_for(read.rows, [command for _, command in inbox if command is not None])
    unchanged = np.zeros(len(rows), np.bool_)
    run = SlotRun(head.slot, rows, head.skipped, head.folded_slot, inbox, unchanged, schema)
    run.switched, run.held, run.halts = schema != head.schema, head.held, head.halts
    run.next_due, run.damaged = head.next_due, damaged
    if head.paused:
        if (await pool.market.frame(now_slot)).frame is None:
            return None  # prices have not come back yet, so the pause goes on
        run.skip(head.slot + 1, now_slot - 1, paused=True)
        run.slot, run.resumed = now_slot - 1, True
    _skip_too_old(run, now_slot)

    started = pool.clock.monotonic()
    worked = head.paused
    while (slot := _next_slot(run)) is not None and slot <= now_slot:
        frame, early = await _frame_of(pool, slot)
        if early:
            # The clock of this process is ahead of that of Redis: the slot is for another job.
            now_slot = slot - 1
            break
        worked = True
        run.slot = slot
        with log_fields(slot=slot):
            await _run_slot(pool, shard, run, frame, late=slot < now_slot)
        run.next_due = next_due(run.rows, slot)
        if pool.clock.monotonic() - started > CATCH_UP_CHUNK_S:
            break
    else:
        run.slot = now_slot
    if not worked:
        return None
    _fold(run)
    run.next_due = _next_slot(run)
    return run


async def _frame_of(pool: PoolContext, slot: int) -> tuple[Frame | None, bool]:
    """The frame of a slot, and whether it is too early to ask; waits out a few milliseconds."""
    for _ in range(EARLY_TRIES):
        answer = await pool.market.frame(slot)
        if answer.kind != "early":
            return answer.frame, False
        await asyncio.sleep(min(max(slot - answer.now, 0.0), EARLY_S))
    await pool.clock.refresh()
    return None, True


def _skip_too_old(run: SlotRun, now_slot: int) -> None:
    """Slots beyond the reach of a catch-up are missed, if anything was due in them."""
    oldest = now_slot - CATCH_UP_S
    if run.slot >= oldest - 1:
        return
    due = next_due(run.rows, run.slot)
    if due is not None and due < oldest:
        run.skip(due, oldest - 1, paused=False)
    run.slot = oldest - 1


def _next_slot(run: SlotRun) -> int | None:
    """The first slot after the covered one at which a row is due or a command applies."""
    due = run.next_due
    if due is not None and due <= run.slot:
        due = next_due(run.rows, run.slot)
    if run.applied < len(run.inbox):
        stamp = max(run.inbox[run.applied][0], run.slot + 1)
        return stamp if due is None else min(due, stamp)
    return due


async def _run_slot(
    pool: PoolContext, shard: int, run: SlotRun, frame: Frame | None, late: bool
) -> None:
    """One slot: gather its commands, prices and signals, advance, add up.

    A slot without a frame is missed for ever: only its commands apply.
    """
    slot = run.slot
    run.set_damaged_aside()
    commands = run.due_commands()
    due = due_mask(run.rows, slot)
    plan_ids = pool.plans_in(shard, run.rows, due)
    if commands:
        plan_ids = np.union1d(plan_ids, [command.plan_id for command in commands])
    if frame is None:
        run.skip(slot, slot, paused=False)
        symbol = await _symbols(pool, run, plan_ids)
        run.take(apply_inbox(run.rows, slot, commands, run.skipped, run.folded_slot, symbol))
        return
    table = await pool.plans.table(frame, plan_ids, late)
    symbol = await _symbols(pool, run, plan_ids)
    entries, halt = pool.backlog.entries_open(shard), fleet_halt_at(run.halts, slot)
    if not entries or halt != Halt.ACTIVE:
        run.hold(halted=halt == Halt.HALTED)
    inputs = replace(_inputs(run, table, symbol, commands), entries=entries, halt=halt)
    try:
        if len(commands) < COMMANDS_BESIDE:
            run.take(advance(run.rows, inputs))
        else:
            run.take(await asyncio.to_thread(advance, run.rows, inputs))
    except Exception as error:
        logger.exception("the engine raised %r; the others run without it", error)
        isolated = advance_isolated(run.rows, inputs)
        for command, reason in isolated.refused:
            whose = {"agent_id": UUID(bytes=command.agent_id)}
            logger.error("a command was put aside: %s", reason, extra=whose)
            await pool.shards.bury(shard, encode_command(command), reason)
        run.take(isolated.outcome)
    run.ran[slot] = int(np.count_nonzero(due_mask(run.rows, slot) if commands else due))


async def _symbols(pool: PoolContext, run: SlotRun, plan_ids: Ints) -> Ints | None:
    """Symbols by plan id, by which the engine knows that a position has to be closed first.

    Schema 1 has no room for a row that waits for that.
    """
    return await pool.plans.symbols(plan_ids) if run.schema > 1 else None


def _inputs(
    run: SlotRun, table: SlotTable, symbol: Ints | None, commands: list[Command]
) -> SlotInputs:
    return SlotInputs(
        slot=table.frame.slot,
        price=table.price,
        fresh=table.fresh,
        signal=table.signal,
        failed=table.failed,
        commands=commands,
        skipped=run.skipped,
        folded_slot=run.folded_slot,
        atr_fraction=table.atr_fraction,
        volatility=table.volatility,
        # `cannot_run` is a kind of event that no version reads which has schema 1 only
        cannot_run=table.cannot_run if run.schema > 1 else {},
        symbol=symbol,
    )


def _fold(run: SlotRun) -> None:
    """Too many ranges: the oldest counts go into the rows, and the whole table is written."""
    folded = fold_skipped(run.rows, run.slot, run.skipped, run.folded_slot)
    if folded.rows is not run.rows:
        run.changed[:] = True
        run.skipped_moved = run.folded = True
        run.rows, run.folded_slot = folded.rows, folded.folded_slot
        run.skipped = tuple(folded.skipped)


def room_for(rows: Rows, commands: Sequence[Command]) -> Rows:
    """The table, longer where a command names a row beyond its end."""
    needed = max((command.row + 1 for command in commands), default=0)
    if needed <= len(rows):
        return rows
    size = min(-(-needed // ROOM_STEP) * ROOM_STEP, ROWS_PER_SHARD)
    return np.concatenate([rows, empty_rows(size - len(rows))])


async def read_commands(
    pool: PoolContext, shard: int, inbox: Sequence[InboxEntry], schema: int
) -> list[Waiting]:
    """The inbox, decoded. A command that cannot be read is buried and harms nobody else.

    One whose settings the shard's schema cannot hold is passed over: its row's epoch stays behind,
    so it is pushed again until the shard has been switched.
    """
    waiting: list[Waiting] = []
    for entry in inbox:
        command: Command | None = None
        try:
            command = decode_command(entry.payload)
            if not 0 <= command.row < ROWS_PER_SHARD:
                raise CommandError(f"row {command.row} is outside the table")
        except CommandError as error:
            command = None
            logger.error("command %d is broken and was put aside: %s", entry.number, error)
            await pool.shards.bury(shard, entry.payload, str(error))
        if command is not None and command.schema > schema:
            text = "shard %d: the command for row %d waits for row schema %d"
            logger.warning(text, shard, command.row, command.schema)
            command = None
        waiting.append((entry.stamp, command))
    return waiting
