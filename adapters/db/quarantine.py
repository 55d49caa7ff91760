"""Events that are kept as they came, because the record could not take them."""

from collections.abc import Sequence

from adapters.db.connection import Database, transaction
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
