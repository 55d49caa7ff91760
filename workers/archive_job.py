"""The archive: what the slots of each minute saw, out of Redis into the record, for replays.

A minute is written when nothing of it can change any more. Redis keeps it long enough for some
tries; a minute that no try has saved is left out, and a replay says so.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from adapters import redis_keys as keys
from adapters.db import journal
from adapters.db.connection import Database
from adapters.db.errors import DatabaseAway
from adapters.market_archive import BLOCK_SLOTS, encode_block, read_minute
from adapters.shard_store import ShardStore
from workers.context import PoolContext
from workers.settings import CATCH_UP_S

logger = logging.getLogger(__name__)

SETTLED_S = CATCH_UP_S + 5
"""No late tick stores a reading of a slot that is older than this."""


async def archive_market(ctx: dict[str, Any]) -> None:
    """arq job: keeps every minute that is settled, still in Redis, and not kept yet."""
    pool: PoolContext = ctx["pool"]
    minutes = settled_minutes(int(pool.clock.now()))
    try:
        await _keep(pool.database, pool.shards, minutes, settled=True)
    except DatabaseAway as error:
        logger.warning("the archive waits for PostgreSQL: %s", error)


async def archive_rest(database: Database, store: ShardStore, now_slot: int) -> None:
    """At an orderly stop: what is settled, and the last minutes as they are. Redis forgets them
    while nothing runs.
    """
    settled = settled_minutes(now_slot)
    await _keep(database, store, settled, settled=True)
    first = settled[-1] + BLOCK_SLOTS
    await _keep(database, store, range(first, now_slot + 1, BLOCK_SLOTS), settled=False)


async def _keep(
    database: Database, store: ShardStore, minutes: Sequence[int], *, settled: bool
) -> None:
    kept = await journal.blocks_kept(database, minutes)
    shards = await store.open_shards()
    for first_slot in minutes:
        if first_slot in kept:
            continue
        block = await read_minute(store.redis, first_slot, shards)
        if block.frames:
            # Beside the loop, in which agents tick: it takes a tenth of a second and more.
            data = await asyncio.to_thread(encode_block, block)
            await journal.store_block(database, first_slot, data, settled=settled)


def settled_minutes(now_slot: int) -> list[int]:
    """First slots of the minutes that are settled and whole in Redis, oldest first."""
    newest = now_slot - SETTLED_S - BLOCK_SLOTS
    oldest = now_slot - keys.FRAME_TTL_S + BLOCK_SLOTS
    first = -(-oldest // BLOCK_SLOTS) * BLOCK_SLOTS
    return list(range(first, newest + 1, BLOCK_SLOTS))
