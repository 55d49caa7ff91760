"""Events that are kept as they came, because the record could not take them."""

from collections.abc import Sequence
from uuid import UUID

from adapters.db.agents import CHANGE_WANTED, COLUMNS, Agent, agent_of
from adapters.db.connection import Connection, Database, connection, transaction
from adapters.db.errors import NoSuchShard


async def give_up(
    database: Database, shard: int, entries: Sequence[tuple[int, int, bytes]], reason: str
) -> None:
    """Keeps a shard's events (version, n, bytes) here instead, moves its cursor above them, and
    takes the mark of a frozen shard away.

    Raises:
        NoSuchShard: there is none of this number.
    """
    async with transaction(database) as con:
        await con.executemany(
            "INSERT INTO quarantine (shard, version, n, payload, reason)"
            " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (shard, version, n) DO NOTHING",
            [(shard, version, n, payload, reason[:500]) for version, n, payload in entries],
        )
        newest = max((version for version, _, _ in entries), default=0)
        done = await con.execute(
            "UPDATE shards SET frozen = NULL, version = greatest(version, $2) WHERE id = $1",
            shard,
            newest,
        )
        if done.endswith(" 0"):
            raise NoSuchShard(f"there is no shard {shard}")


async def fail_agents(database: Database, limit: int) -> list[Agent]:
    """Wants agents in `error` of which an event could not be stored, and answers those whose row
    has to hear of it. One that is not wanted running any more is left as it is.
    """
    failed: list[Agent] = []
    async with connection(database) as con:
        found = await con.fetch(
            "SELECT DISTINCT fails FROM quarantine WHERE fails IS NOT NULL LIMIT $1", limit
        )
        for each in found:
            async with con.transaction():
                failed += await _fail(con, each["fails"])
    return failed


async def _fail(con: Connection, agent_id: UUID) -> list[Agent]:
    place = await con.fetchrow(
        "SELECT shard, row FROM agents WHERE id = $1 AND wanted = 'running' FOR NO KEY UPDATE",
        agent_id,
    )
    await con.execute("UPDATE quarantine SET fails = NULL WHERE fails = $1", agent_id)
    if place is None:
        return []
    values = (place["shard"], place["row"], agent_id, "failed", False)
    changed = await con.fetchrow(CHANGE_WANTED + COLUMNS, *values)
    return [] if changed is None else [agent_of(changed)]
