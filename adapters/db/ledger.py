"""The ledger: a shard's events go into the record exactly once.

One transaction requires the cursor and the run_id that were read with the events, writes what
they say and moves the cursor. The same events again find the cursor elsewhere and change
nothing. What contradicts the record freezes its shard, what cannot be stored goes to
quarantine; neither stops the rest of the batch.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import asyncpg

from adapters.db import ledger_sql as sql
from adapters.db.connection import Connection, Database, connection
from adapters.db.errors import DatabaseBusy, LedgerConflict, Unstorable
from adapters.db.giving_way import giving_way
from adapters.db.journal import write_journal
from adapters.db.ledger_repeats import check_repeats
from adapters.db.ledger_rows import (
    Broken,
    Entry,
    Fact,
    Holder,
    Place,
    Sorted,
    read_entries,
    refused,
    sort_facts,
    told_entry,
    write_down,
)
from adapters.db.ledger_sql import Cursor
from adapters.db.records import Refusal, ShardEvents, ShardStored, StoreResult, UserMessage
from adapters.shard_records import united
from engine.schedule import SkippedRange

_log = logging.getLogger(__name__)

_REFUSED_BY_POSTGRES: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    OverflowError,  # these two are asyncpg's own, for what does not fit a column
    UnicodeEncodeError,
)


@dataclass(slots=True)
class _Batch:
    """Everything one transaction has gathered, by shard where a shard may still fall out."""

    cursors: dict[int, Cursor]
    holders: dict[Place, Holder] = field(default_factory=dict)
    entries: dict[int, list[Entry]] = field(default_factory=dict)
    broken: dict[int, list[Broken]] = field(default_factory=dict)
    seqs: dict[UUID, int] = field(default_factory=dict)
    messages: list[UserMessage] = field(default_factory=list)
    frozen: dict[int, str] = field(default_factory=dict)
    skipped: dict[int, Sequence[SkippedRange]] = field(default_factory=dict)


async def store_events(database: Database, batch: Sequence[ShardEvents]) -> StoreResult:
    """Stores what was read of some shards' streams, all in one transaction.

    Raises:
        DatabaseAway: whether it was stored is unknown; read again from the cursors.
        DatabaseBusy: nothing was stored; somebody held a shard or a user for too long.
        ValueError: a shard twice in the batch, or entries out of order.
    """
    read = {events.shard: read_entries(events) async for events in giving_way(batch)}
    if len(read) != len(batch):
        raise ValueError("a batch takes each shard once")
    try:
        async with connection(database) as con:
            await con.execute(sql.PREPARE)
            async with con.transaction():
                await con.execute(sql.PLAN_BY_KEY)
                return await _store(con, batch, read)
    except DatabaseBusy:
        async with connection(database) as con:
            ended = await sql.end_stalled(con)
        if ended:
            _log.warning("ended %d transactions whose process has gone quiet", ended)
        raise


async def _store(
    con: Connection, batch: Sequence[ShardEvents], read: Mapping[int, list[Fact | Broken]]
) -> StoreResult:
    done = _Batch(await sql.lock_cursors(con, read))
    done.skipped = {events.shard: events.skipped for events in batch}
    results: dict[int, ShardStored] = {}
    for events in batch:
        refusal = _refusal(events, done.cursors.get(events.shard))
        if refusal is not None:
            results[events.shard] = refusal
    accepted = {shard: read[shard] for shard in read if shard not in results}
    if any(accepted.values()):
        await _sort(con, done, accepted)
        await _write(con, done)
        await _finish(con, done, accepted)
    for shard, entries in accepted.items():
        results[shard] = _outcome(shard, entries, done)
    return StoreResult(results, done.messages)


def _refusal(events: ShardEvents, cursor: Cursor | None) -> ShardStored | None:
    if cursor is None:
        return ShardStored(events.shard, 0, Refusal.UNKNOWN)
    if cursor.frozen is not None:
        return ShardStored(events.shard, cursor.version, Refusal.FROZEN, frozen=cursor.frozen)
    if cursor.run_id != events.run_id:
        return ShardStored(events.shard, cursor.version, Refusal.RUN_ID)
    if cursor.version != events.after_version:
        return ShardStored(events.shard, cursor.version, Refusal.MOVED)
    return None


async def _sort(con: Connection, done: _Batch, accepted: Mapping[int, list[Fact | Broken]]) -> None:
    """Fills in the entries to write of each shard, what is broken, and which shards conflict."""
    facts = [f for entries in accepted.values() for f in entries if isinstance(f, Fact)]
    done.holders = await sql.holders_of(con, {fact.place for fact in facts})
    plans = await sql.plan_words(con, {fact.plan_id for fact in facts})
    upto = await sql.quarantined_upto(con, accepted)
    for shard, read in accepted.items():
        try:
            found = sort_facts(read, done.holders, upto.get(shard, -1))
            await check_repeats(con, found, done.holders, plans)
        except LedgerConflict as conflict:
            done.frozen[shard] = str(conflict)
        else:
            done.entries[shard] = await _write_down(found, done.holders, plans)
            done.broken[shard] = found.broken
    users = {e.holder.user_id for entries in done.entries.values() for e in entries}
    done.seqs = await sql.lock_users(con, users)


async def _write_down(
    found: Sorted, holders: Mapping[Place, Holder], plans: Mapping[int, tuple[str, str]]
) -> list[Entry]:
    entries = []
    async for fact in giving_way(found.new):
        holder = holders[fact.place]
        try:
            entries.append(write_down(fact, holder, plans))
        except Unstorable as error:
            # the row is kept all the same: it is what recovery goes on from
            found.broken.append(refused(fact, str(error)))
            entries.append(told_entry(fact, holder, str(error)))
    return entries


async def _write(con: Connection, done: _Batch) -> None:
    """All shards at once; when something is refused, shard by shard to find out what."""
    everything = [entry for entries in done.entries.values() for entry in entries]
    try:
        await _write_whole(con, done, everything)
    except (LedgerConflict, *_REFUSED_BY_POSTGRES):
        for shard, entries in done.entries.items():
            await _write_shard(con, done, shard, entries)


async def _write_shard(con: Connection, done: _Batch, shard: int, entries: Sequence[Entry]) -> None:
    seqs, messages = dict(done.seqs), len(done.messages)
    try:
        async with con.transaction():
            await _write_halves(con, done, entries)
    except LedgerConflict as conflict:
        done.frozen[shard] = str(conflict)
        done.seqs = seqs
        del done.messages[messages:]


async def _write_halves(con: Connection, done: _Batch, entries: Sequence[Entry]) -> None:
    """Writes entries in order; cuts them in two until each one that is refused stands alone."""
    try:
        await _write_whole(con, done, entries)
    except asyncpg.UniqueViolationError as error:
        raise LedgerConflict(f"stored with other content: {error.detail}") from error
    except _REFUSED_BY_POSTGRES as error:
        if len(entries) > 1:
            middle = len(entries) // 2
            await _write_halves(con, done, entries[:middle])
            await _write_halves(con, done, entries[middle:])
            return
        entry = entries[0]
        if not entry.lines:  # its row alone is refused: nothing of it can be kept
            return
        less = Entry(entry.fact, entry.holder)
        if not entry.told_only:
            reason = f"PostgreSQL refuses it: {error}"
            done.broken[entry.fact.shard].append(refused(entry.fact, reason))
            less = told_entry(entry.fact, entry.holder, reason)
        await _write_halves(con, done, [less])


async def _write_whole(con: Connection, done: _Batch, entries: Sequence[Entry]) -> None:
    async with con.transaction():
        written = await sql.write(con, entries, done.seqs)
        await write_journal(con, (e.fact for e in entries if e.lines and not e.told_only))
    done.seqs = written.seqs
    done.messages += written.messages
    for place, state in written.states.items():
        holder = done.holders[place]
        holder.applied_epoch, holder.status, holder.status_detail = state


async def _finish(
    con: Connection, done: _Batch, accepted: Mapping[int, list[Fact | Broken]]
) -> None:
    moved: dict[int, Cursor] = {}
    quarantine: list[Broken] = []
    for shard, entries in accepted.items():
        if not entries:
            continue
        cursor = moved[shard] = done.cursors[shard]
        if shard in done.frozen:
            cursor.frozen = done.frozen[shard]
            continue
        cursor.version = entries[-1].version
        slots: Iterable[int] = (f.event.slot for f in entries if isinstance(f, Fact))
        cursor.slot = max(cursor.slot, *slots, 0)
        cursor.skipped = united([*cursor.skipped, *done.skipped[shard]], cursor.slot)
        quarantine += done.broken[shard]
    if quarantine:
        await sql.put_in_quarantine(con, quarantine)
    if done.messages:
        await sql.raise_message_seqs(con, done.seqs)
    await sql.move_cursors(con, moved)


def _outcome(shard: int, entries: Sequence[Fact | Broken], done: _Batch) -> ShardStored:
    version = done.cursors[shard].version
    if shard in done.frozen:
        return ShardStored(shard, version, Refusal.FROZEN, frozen=done.frozen[shard])
    aside = done.broken.get(shard, ())
    stored, why = len(entries) - len(aside), aside[0].reason if aside else ""
    return ShardStored(shard, version, stored=stored, quarantined=len(aside), why=why)
