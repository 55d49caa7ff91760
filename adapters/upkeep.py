"""What an operator does to shards as a whole: rebuild them from the record, thaw a frozen one,
give agents new places. Each runs beside the working pool and may be killed at any line.

The order is always the same. Under the locks of recovery a shard is closed, so that nothing
commits; what the ledger lacks is stored; PostgreSQL is changed in one transaction; the keys are
removed and the shards recovered. A closed shard whose upkeep died is one that Redis has lost: the
pool recovers it by itself as soon as the locks are gone.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np

from adapters import redis_keys as keys
from adapters.agent_news import tell_moved
from adapters.db import ledger, placement, quarantine, resharding, shards
from adapters.db.agents import PLACES_LOCK
from adapters.db.connection import Database, connection
from adapters.db.errors import DatabaseError
from adapters.db.records import Refusal, ShardEvents
from adapters.db.resharding import Held, Move, Moving
from adapters.db.shards import ShardProgress
from adapters.errors import ShardError
from adapters.recovery import RECOVERY_LOCK, is_newer, recover_shard
from adapters.redis_client import command, script
from adapters.shard_records import ShardState
from adapters.shard_store import ShardStore
from adapters.user_messages import publish_messages
from engine.rows import Rows, copy_of
from engine.schedule import restart
from engine.schemas import record_from_bytes, rows_to_bytes

EVENTS_AT_ONCE = 1_000
DRAIN_TRIES = 500
"""Rounds of a drain, and of giving up: a stream at its bound takes 200."""


class Frozen(ShardError):
    """The shard's events contradict the record; `artic thaw` decides for the record."""


@dataclass(frozen=True, slots=True)
class Resharded:
    """Numbers of shards before and after, and how many agents have a place now."""

    before: Sequence[int]
    after: Sequence[int]
    agents: int


@asynccontextmanager
async def upkeep_locks(
    database: Database, numbers: Sequence[int] | None
) -> AsyncIterator[Sequence[int]]:
    """Nobody recovers these shards meanwhile. None: all that there are, and nobody gives out rows
    either, so that there will be no other.
    """
    async with connection(database) as con:
        try:
            if numbers is None:
                await con.execute("SELECT pg_advisory_lock($1)", PLACES_LOCK)
                numbers = [each.shard for each in await shards.all_shards(database)]
            for shard in sorted(numbers):
                await con.execute("SELECT pg_advisory_lock($1, $2)", RECOVERY_LOCK, shard)
            yield numbers
        finally:
            await con.execute("SELECT pg_advisory_unlock_all()")


async def close_shard(store: ShardStore, shard: int) -> bool:
    """Nothing commits and no ledger reads from here on. False where there is no head."""
    closing = script(store.redis, "close_shard")
    return bool(await closing(keys=[keys.shard_head(shard)], args=[]))


async def drain(database: Database, store: ShardStore, shard: int) -> ShardProgress:
    """Stores every event of a closed shard that the record lacks; the cursor afterwards.

    Raises:
        Frozen: they contradict the record.
        ShardError: other ledgers were always in between.
    """
    for _ in range(DRAIN_TRIES):
        cursor = await _cursor(database, shard)
        if cursor.frozen is not None:
            raise Frozen(shard, cursor.frozen)
        entries = await read_closed(store, shard, cursor.version)
        if not entries:
            return cursor
        head = await store.read_head(shard)
        skipped = () if head is None else head.skipped
        result = await ledger.store_events(
            database, [ShardEvents(shard, cursor.run_id, cursor.version, entries, skipped)]
        )
        await publish_messages(store.redis, result.messages)
        stored = result.shards[shard]
        if stored.refused is Refusal.FROZEN:
            raise Frozen(shard, stored.frozen or "")
    raise ShardError(shard, "the ledger did not come to its end; try again")


async def read_closed(
    store: ShardStore, shard: int, after_version: int
) -> list[tuple[int, int, bytes]]:
    """Events of a closed shard above a version: whole versions, some EVENTS_AT_ONCE of them."""
    count = EVENTS_AT_ONCE
    while True:
        key, first = keys.shard_events(shard), f"{after_version + 1}-0"
        found = await command(store.redis, "XRANGE", key, first, "+", "COUNT", count)
        entries = []
        for name, fields in found:
            version, _, n = name.partition(b"-")
            entries.append((int(version), int(n), bytes(fields[b"e"])))
        if len(entries) < count:
            return entries
        whole = [entry for entry in entries if entry[0] != entries[-1][0]]
        if whole:
            return whole
        count *= 2


async def drop_keys(store: ShardStore, shard: int) -> None:
    """Removes a closed shard from Redis; commands that could not be applied stay for a look."""
    await command(
        store.redis, "DEL", keys.shard_head(shard), keys.shard_rows(shard),
        keys.shard_inbox(shard), keys.shard_events(shard),
    )  # fmt: skip


async def rebuild_shard(
    database: Database, store: ShardStore, shard: int, *, thaw: bool = False
) -> int:
    """The shard from the record alone, whatever Redis holds of it; how many events were given up.

    thaw: what contradicts the record is given up: it goes to quarantine, as it is, with all that
    comes after it. Otherwise nothing is given up.

    Raises:
        Frozen: there is a contradiction, and thaw was not asked for.
    """
    given_up = 0
    async with upkeep_locks(database, [shard]):
        if await close_shard(store, shard):
            try:
                await drain(database, store, shard)
            except Frozen as frozen:
                if not thaw:
                    raise
                given_up = await _give_up(database, store, shard, str(frozen))
        elif thaw:
            await quarantine.give_up(database, shard, [], "")
        await drop_keys(store, shard)
    await recover_shard(database, store, shard)
    return given_up


async def _give_up(database: Database, store: ShardStore, shard: int, why: str) -> int:
    count = 0
    for _ in range(DRAIN_TRIES):
        cursor = await _cursor(database, shard)
        left = await read_closed(store, shard, cursor.version)
        await quarantine.give_up(database, shard, left, f"given up: {why}")
        count += len(left)
        if not left:
            break
    return count


async def reshard(database: Database, store: ShardStore, wanted: int | None = None) -> Resharded:
    """New places for all agents, packed by plan, in as many shards as they want or as are wanted.

    The pool stands still for the time it takes; the slots meanwhile count as paused. Numbers of
    shards are never used twice.

    Raises:
        Frozen: a shard has to be thawed first; nothing was changed.
    """
    async with upkeep_locks(database, None) as before:
        states: dict[int, ShardState] = {}
        for shard in before:
            await close_shard(store, shard)
        for shard in before:
            await drain(database, store, shard)
            state = await store.read(shard)
            if state is not None:
                states[shard] = state

        def places(held: Sequence[Held]) -> list[Move]:
            if not held:
                raise ShardError(0, "there are no agents to give places to")
            count = wanted or placement.shards_wanted(len(held))
            found = placement.pack(len(held), count, first_shard=max(before) + 1)
            return [
                _move(Moving(each, *place), states) for each, place in zip(held, found, strict=True)
            ]

        moves = await resharding.move_agents(database, places)
        await tell_moved(store.redis)
        for shard in before:
            await drop_keys(store, shard)
        await command(store.redis, "SREM", keys.shards(), *before, -1)
    after = sorted({move.shard for move in moves})
    for shard in after:
        await recover_shard(database, store, shard)
    return Resharded(before, after, len(moves))


def _move(moving: Moving, states: dict[int, ShardState]) -> Move:
    """The agent's newest row with its counts up to where its shard stood: in Redis, if it is
    there, since a row may have moved on since its last event; in the record, if that is ahead of
    a Redis which has lost its last second and was not recovered yet.
    """
    held = moving.held
    state = states.get(held.shard)
    record, slot = held.record, held.slot
    if state is not None and held.row < len(state.rows):
        rows = copy_of(state.rows[held.row : held.row + 1])
        if rows[0]["agent_id"].tobytes() == held.agent_id.bytes and not _is_behind(rows, record):
            head = state.head
            restart(rows, np.array([0]), head.slot, head.skipped, head.folded_slot)
            record, slot = rows_to_bytes(rows, head.schema), head.slot
    return Move(held, moving.shard, moving.row, record, slot)


def _is_behind(rows: Rows, record: bytes | None) -> bool:
    return record is not None and bool(is_newer(record_from_bytes(record), rows).all())


async def _cursor(database: Database, shard: int) -> ShardProgress:
    cursor = await shards.progress(database, shard)
    if cursor is None:
        raise DatabaseError(f"there is no shard {shard}")
    return cursor
