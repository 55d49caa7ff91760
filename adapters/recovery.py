"""Recovery of one shard: the only way in which a head comes into being or changes its run.

A Redis that was restarted may have lost its last second; a new one has lost everything. Until a
shard is recovered its commits are refused. PostgreSQL is ahead or level for everything that was
ever shown as a fact; what neither has was never seen. The order below matters:

1. the new run_id goes into PostgreSQL, so that a ledger that read before the crash cannot write;
2. rows, and tombstones of deleted agents, come from the side that is ahead, row by row;
3. version and slot go on above everything the ledger has seen; sequences come with the rows;
4. every wanted state newer than its row is put in before the shard opens, so that a stop that
   was acknowledged survives.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from adapters.db import agents, plans, shards
from adapters.db.agents import AGENTS_A_PIECE
from adapters.db.connection import Database, connection
from adapters.db.shards import NewestRow, ShardProgress
from adapters.errors import SchemaUnknown
from adapters.plan_directory import publish_plans
from adapters.shard_records import FleetHalt, Head, ShardState, united
from adapters.shard_store import ShardStore
from adapters.wanted import payload_of
from engine.errors import RowsError
from engine.rows import ROW_SCHEMA, ROWS_PER_SHARD, Halt, Mask, Rows, empty_rows, rows_at
from engine.schedule import SkippedRange
from engine.schemas import record_schema, rows_from_bytes

RECOVERY_LOCK = 0x4152
"""First half of the advisory lock under which a shard is recovered; the second is its number."""


@asynccontextmanager
async def recovery_lock(database: Database, shard: int) -> AsyncIterator[None]:
    """One recovery of a shard at a time, over all processes; ends with the connection at worst."""
    async with database.lock_holders, connection(database) as con:
        await con.execute("SELECT pg_advisory_lock($1, $2)", RECOVERY_LOCK, shard)
        try:
            yield
        finally:
            await con.execute("SELECT pg_advisory_unlock($1, $2)", RECOVERY_LOCK, shard)


async def recover_shard(database: Database, store: ShardStore, shard: int) -> bool:
    """Opens a shard that is new, or whose Redis was restarted or lost. Safe to repeat.

    Returns True when the shard is open afterwards by this call, False when it was open already
    or somebody else was faster.

    Raises:
        DatabaseAway: PostgreSQL does not answer; nothing was changed.
        SchemaUnknown: a newer version has written the shard; none of its rows was changed.
    """
    async with recovery_lock(database, shard):
        run_id = await store.run_id()
        seen = await store.read(shard)
        if seen is not None and seen.head.run_id == run_id:
            return False
        # By the clock of Redis: a process whose own stands wrong would open the shard in an hour to
        # come, and nothing would be committed until then.
        now_slot = await store.now_slot()
        progress = await shards.set_run_id(database, shard, run_id, emptied=seen is None)
        newest = await shards.newest_rows(database, shard)
        try:
            state = recovered_state(seen, progress, newest, run_id, now_slot, store.schema)
        except RowsError as error:
            raise SchemaUnknown(shard) from error

        wishes = await agents.wishes_of_shard(database, shard)
        behind = [row for row, epoch, _ in wishes if epoch > _epoch(state.rows, row)]
        lacking = await agents.agents_of_shard(database, shard, behind) if behind else []
        payloads: list[bytes] = []
        for agent in lacking:
            if len(payloads) % AGENTS_A_PIECE == 0:
                await asyncio.sleep(0)  # the other shards of this process tick meanwhile
            payloads.append(payload_of(agent))
        used = await plans.plans_of(database, {plan_id for _, _, plan_id in wishes})
        await publish_plans(store.redis, used.values())
        opened = await store.open(
            shard,
            run_id,
            None if seen is None else seen.head,
            state,
            payloads,
        )
        await store.add_to_directory([shard])
        return opened


def recovered_state(
    seen: ShardState | None,
    progress: ShardProgress,
    newest: list[NewestRow],
    run_id: str,
    now_slot: int,
    schema: int = ROW_SCHEMA,
) -> ShardState:
    """What a shard goes on from: pure, so that every loss can be tried in a test.

    seen is what Redis still has, progress the ledger's cursor, newest the rows the ledger holds.
    schema is that of a new shard; one that has rows of a newer schema keeps it.
    """
    rows = _merged_rows(seen, newest)
    schemas = [record_schema(row.record) for row in newest if row.record is not None]
    schema = max([schema, *schemas, *([] if seen is None else [seen.head.schema])])
    if seen is None:
        # Nothing is left of the head, nor of the frames: no slot before this one can be run. What
        # was covered after the last event is not known; its ticks count as missed. An event of
        # this very slot is on record where loss and recovery fall into it.
        slot = max(now_slot - 1, progress.slot)
        rested = progress.rested_slot == progress.slot
        lost = [SkippedRange(progress.slot + 1, slot, rested)] if progress.slot else []
        skipped = united([*progress.skipped, *lost], slot)
        halts = _halts((), progress, slot)
        head = Head(
            progress.version + 1, slot, None, schema, run_id, skipped, 0, paused=False, halts=halts
        )
        return ShardState(head, rows, ())
    slot = max(seen.head.slot, progress.slot)
    # What was not run before the last event on record, and this Redis has forgotten.
    newer = [each for each in progress.skipped if each.last > seen.head.slot]
    head = Head(
        version=max(seen.head.version, progress.version) + 1,
        slot=slot,
        next_due=None,
        schema=schema,
        run_id=run_id,
        skipped=united([*seen.head.skipped, *newer], slot),
        folded_slot=seen.head.folded_slot,
        paused=seen.head.paused,
        held=seen.head.held,
        halts=_halts(seen.head.halts, progress, slot),
    )
    return ShardState(head, rows, seen.inbox)


def _halts(
    seen: tuple[FleetHalt, ...], progress: ShardProgress, slot: int
) -> tuple[FleetHalt, ...]:
    """What the shard had of the fleet's halts, and the one on record if it has not seen it."""
    if progress.fleet_epoch <= (seen[-1].epoch if seen else 0):
        return seen
    return (*seen, FleetHalt(slot + 1, Halt(progress.fleet_halt), progress.fleet_epoch))


def _merged_rows(seen: ShardState | None, newest: list[NewestRow]) -> Rows:
    have = empty_rows(0) if seen is None else seen.rows
    size = max([len(have), *(row.row + 1 for row in newest)])
    assert size <= ROWS_PER_SHARD
    rows = np.concatenate([have, empty_rows(size - len(have))])
    by_schema: dict[int, list[tuple[int, bytes]]] = {}
    for row in newest:
        if row.record is not None:
            by_schema.setdefault(record_schema(row.record), []).append((row.row, row.record))
    for schema, kept in by_schema.items():
        index = np.array([row for row, _ in kept])
        stored = rows_from_bytes(b"".join(record for _, record in kept), schema)
        ahead = is_newer(stored, rows_at(rows, index))
        rows[index[ahead]] = stored[ahead]
    return rows


def is_newer(rows: Rows, than: Rows) -> Mask:
    """Which states are newer than others of the same places. Sequences count per agent and epochs
    per row, so a newer holder of a row is told from an older one by its epoch, and the same
    holder's newer state by its sequence.
    """
    epoch, other = rows["epoch"], than["epoch"]
    newer: Mask = (epoch > other) | ((epoch == other) & (rows["seq"] > than["seq"]))
    return newer


def _epoch(rows: Rows, row: int) -> int:
    return int(rows[row]["epoch"]) if row < len(rows) else 0
