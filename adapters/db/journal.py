"""The journal: every event as the engine said it, and the market it was said in, for replays.

The ledger's transaction writes the events; a chore writes the market, a minute at a time. Both are
kept for a while only: the record of what happened is in trades and logs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from adapters.db.connection import Connection, Database, connection
from adapters.db.giving_way import giving_way
from adapters.db.history import prune_in_batches
from adapters.db.ledger_rows import Fact

_PRUNE = (
    "DELETE FROM journal WHERE ctid IN (SELECT ctid FROM journal WHERE slot < $1 LIMIT $2)",
    "DELETE FROM market_archive WHERE ctid IN"
    " (SELECT ctid FROM market_archive WHERE first_slot < $1 LIMIT $2)",
)
_COLUMNS = ("agent_id", "seq", "slot", "shard", "payload")


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One event as it was encoded (engine.events), and the shard in whose slot it happened."""

    seq: int
    slot: int
    shard: int
    payload: bytes


async def write_journal(con: Connection, facts: Iterable[Fact]) -> None:
    """Adds new events, inside of the ledger's transaction."""
    records = (
        (UUID(bytes=fact.event.agent_id), fact.event.seq, fact.event.slot, fact.shard, fact.payload)
        for fact in facts
    )
    await con.copy_records_to_table("journal", columns=_COLUMNS, records=giving_way(records))


async def journal_of(
    database: Database, agent_id: UUID, first_slot: int, last_slot: int
) -> list[JournalEntry]:
    """An agent's events of these slots, after all those of the newest slot before them: the state
    that they go on from. In order.
    """
    async with connection(database) as con:
        found = await con.fetch(
            "SELECT seq, slot, shard, payload FROM journal WHERE agent_id = $1 AND slot <= $3"
            " AND slot >= coalesce((SELECT slot FROM journal WHERE agent_id = $1 AND slot < $2"
            " ORDER BY seq DESC LIMIT 1), $2) ORDER BY seq",
            agent_id,
            first_slot,
            last_slot,
        )
    return [JournalEntry(*tuple(row)) for row in found]


async def first_kept(database: Database, agent_id: UUID) -> int | None:
    """The slot of the oldest event that is still kept, None where there is none."""
    async with connection(database) as con:
        found = await con.fetchval(
            "SELECT slot FROM journal WHERE agent_id = $1 ORDER BY seq LIMIT 1", agent_id
        )
    return None if found is None else int(found)


async def store_block(
    database: Database, first_slot: int, block: bytes, *, settled: bool = True
) -> bool:
    """Keeps a minute of the market; False where it is kept already, which stays as it is.

    settled: nothing of it can change any more. One that is not gives way to a later one.
    """
    async with connection(database) as con:
        done = await con.execute(
            "INSERT INTO market_archive (first_slot, block, settled) VALUES ($1, $2, $3)"
            " ON CONFLICT (first_slot) DO UPDATE SET block = $2, settled = $3"
            " WHERE NOT market_archive.settled",
            first_slot,
            block,
            settled,
        )
    return bool(done.endswith(" 1"))


async def blocks_kept(database: Database, first_slots: Sequence[int]) -> set[int]:
    """Which of these minutes are kept and settled."""
    async with connection(database) as con:
        found = await con.fetch(
            "SELECT first_slot FROM market_archive WHERE first_slot = ANY($1) AND settled",
            list(first_slots),
        )
    return {row["first_slot"] for row in found}


async def read_block(database: Database, first_slot: int) -> bytes | None:
    """A minute of the market, None where it is not kept."""
    async with connection(database) as con:
        found = await con.fetchval(
            "SELECT block FROM market_archive WHERE first_slot = $1", first_slot
        )
    return None if found is None else bytes(found)


async def prune_journal(database: Database, before_slot: int) -> int:
    """Removes events and minutes of before a slot; answers how many rows."""
    async with connection(database) as con:
        return sum([await prune_in_batches(con, statement, before_slot) for statement in _PRUNE])
