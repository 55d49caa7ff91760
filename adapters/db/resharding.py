"""New places for agents, all in one transaction. The shards that they leave are closed and drained.

An agent keeps its epoch, its numbers and its row; only where it lies changes. New shards have
numbers that none had before, so a late command for an old place finds nothing. Who changes what an
agent is to do waits meanwhile: an epoch given out between reading and moving would be lost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from adapters.db.connection import Database, transaction

# Agents of one symbol and one plan beside each other.
_HELD = (
    "SELECT agents.id AS agent_id, agents.shard, agents.row, held.epoch, held.seq,"
    " held.record, agents.symbol, shards.slot FROM agents"
    " JOIN shard_rows held ON held.shard = agents.shard AND held.row = agents.row"
    " JOIN shards ON shards.id = agents.shard"
    " ORDER BY agents.symbol, agents.plan_id, agents.created_at, agents.id"
)
# In the order in which the ledger and the hubs lock their rows. Readers are let through.
_LOCK = "LOCK TABLE shards, agents, shard_rows IN EXCLUSIVE MODE"


@dataclass(frozen=True, slots=True)
class Held:
    """A place that an agent holds, with what the record knows of it; slot is its shard's."""

    agent_id: UUID
    shard: int
    row: int
    epoch: int
    seq: int
    record: bytes | None
    symbol: str
    slot: int


@dataclass(frozen=True, slots=True)
class Moving:
    """Where an agent goes."""

    held: Held
    shard: int
    row: int


@dataclass(frozen=True, slots=True)
class Move:
    """The same, with the row it takes along, whose counts reach to slot."""

    held: Held
    shard: int
    row: int
    record: bytes | None
    slot: int


async def move_agents(
    database: Database, places: Callable[[Sequence[Held]], Sequence[Move]]
) -> Sequence[Move]:
    """Gives all agents the places that are chosen for them and forgets every old shard.

    Raises:
        what places raises; nothing is changed then.
    """
    async with transaction(database) as con:
        await con.execute(_LOCK)
        moves = places([Held(**dict(row)) for row in await con.fetch(_HELD)])
        slots: dict[int, int] = {}
        symbols: dict[int, str] = {}
        for move in moves:
            # A row whose counts reach further starts after them, so the lowest is right for all.
            slots[move.shard] = min(slots.get(move.shard, move.slot), move.slot)
            symbols.setdefault(move.shard, move.held.symbol)
        await con.execute("DELETE FROM shard_rows")
        await con.execute("DELETE FROM shards")
        await con.executemany(
            "INSERT INTO shards (id, symbol, slot, rested_slot) VALUES ($1, $2, $3, $3)",
            [(shard, symbols[shard], slots[shard]) for shard in sorted(slots)],
        )
        await con.copy_records_to_table(
            "shard_rows",
            columns=("shard", "row", "agent_id", "epoch", "seq", "record"),
            records=[
                (move.shard, move.row, move.held.agent_id, move.held.epoch, move.held.seq,
                 move.record) for move in moves
            ],
        )  # fmt: skip
        await con.execute(
            "UPDATE agents SET shard = new.shard, row = new.row"
            " FROM unnest($1::uuid[], $2::int[], $3::int[]) AS new(id, shard, row)"
            " WHERE agents.id = new.id",
            [move.held.agent_id for move in moves],
            [move.shard for move in moves],
            [move.row for move in moves],
        )
    return moves
