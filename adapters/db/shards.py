"""Shards as the record knows them: the ledger's cursors and the newest row of each agent.

Recovery reads them: first it writes the new run_id here, after which a ledger that read its
events before the crash cannot store them any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from adapters.db.connection import Database, connection
from adapters.db.errors import NoSuchShard
from adapters.shard_records import decode_skipped
from engine.schedule import SkippedRange

_PROGRESS = (
    "SELECT id AS shard, symbol, version, slot, run_id, frozen, rested_slot, skipped,"
    " (SELECT coalesce(max(halt), 0) FROM fleet) AS fleet_halt,"
    " (SELECT coalesce(max(epoch), 0) FROM fleet) AS fleet_epoch FROM shards"
)
_SET_RUN_ID = (
    "UPDATE shards SET run_id = $2, version = version + $3::int WHERE id = $1"
    " RETURNING id AS shard, symbol, version, slot, run_id, frozen, rested_slot, skipped,"
    " (SELECT coalesce(max(halt), 0) FROM fleet) AS fleet_halt,"
    " (SELECT coalesce(max(epoch), 0) FROM fleet) AS fleet_epoch"
)


@dataclass(frozen=True, slots=True)
class ShardProgress:
    """How far the ledger has come. run_id is '' until the shard is first opened.

    rested_slot is where a resharding began it: while slot is that one, what comes after it up to
    the opening is paused, not missed. skipped are the slots up to slot that were not run.
    fleet_halt is engine.rows.Halt; fleet_epoch counts its changes.
    """

    shard: int
    symbol: str
    version: int
    slot: int
    run_id: str
    frozen: str | None
    rested_slot: int | None = None
    skipped: tuple[SkippedRange, ...] = ()
    fleet_halt: int = 0
    fleet_epoch: int = 0


@dataclass(frozen=True, slots=True)
class NewestRow:
    """A place of a shard. agent_id is its holder, None when free.

    record is the newest row the ledger saw there, of a former holder where the present one has
    had no event yet (a tombstone); None when there was never one. seq is the holder's newest
    event, epoch the newest one that was given out.
    """

    row: int
    agent_id: UUID | None
    epoch: int
    seq: int
    version: int
    record: bytes | None


def _progress(row: asyncpg.Record) -> ShardProgress:
    values = dict(row)
    return ShardProgress(**values | {"skipped": decode_skipped(values["skipped"] or b"")})


async def all_shards(database: Database) -> list[ShardProgress]:
    """Every shard, by number."""
    async with connection(database) as con:
        found = await con.fetch(f"{_PROGRESS} ORDER BY id")
    return [_progress(row) for row in found]


async def progress_of(database: Database, shards: Sequence[int]) -> list[ShardProgress]:
    """The cursors of these shards, by number; unknown ones are left out."""
    async with connection(database) as con:
        found = await con.fetch(f"{_PROGRESS} WHERE id = ANY($1) ORDER BY id", list(shards))
    return [_progress(row) for row in found]


async def progress(database: Database, shard: int) -> ShardProgress | None:
    """One shard's cursor."""
    async with connection(database) as con:
        found = await con.fetchrow(f"{_PROGRESS} WHERE id = $1", shard)
    return None if found is None else _progress(found)


async def frozen_shards(database: Database) -> list[int]:
    """Those of which nothing is stored until somebody has looked."""
    async with connection(database) as con:
        found = await con.fetch("SELECT id FROM shards WHERE frozen IS NOT NULL ORDER BY id")
    return [row["id"] for row in found]


async def set_run_id(
    database: Database, shard: int, run_id: str, *, emptied: bool = False
) -> ShardProgress:
    """Names the run of Redis from which the shard may be stored from now on.

    emptied: nothing of the shard is left in Redis. The cursor moves one version up then, since
    the run may be the same (FLUSHALL) and a ledger that read before must be refused all the same.

    Waits for a ledger that is storing the shard; one that comes later with events of another
    run is refused. What this returns is therefore final for the former run.

    Raises:
        NoSuchShard: there is none of this number.
    """
    async with connection(database) as con:
        found = await con.fetchrow(
            _SET_RUN_ID,
            shard,
            run_id,
            int(emptied),
        )
    if found is None:
        raise NoSuchShard(f"there is no shard {shard}")
    return _progress(found)


async def newest_rows(database: Database, shard: int) -> list[NewestRow]:
    """Every place of a shard that was ever given out, by row."""
    async with connection(database) as con:
        found = await con.fetch(
            "SELECT row, agent_id, epoch, seq, version, record FROM shard_rows"
            " WHERE shard = $1 ORDER BY row",
            shard,
        )
    return [NewestRow(**dict(row)) for row in found]
