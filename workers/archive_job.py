"""The archive: what the slots of each minute saw, out of Redis into the record, for replays.

A minute is written when nothing of it can change any more. Redis keeps it long enough for some
tries; a minute that no try has saved is left out, and a replay says so.
"""

import logging
from typing import Any

from adapters import redis_keys as keys
from adapters.db import journal
from adapters.db.errors import DatabaseAway
from adapters.market_archive import BLOCK_SLOTS, encode_block, read_minute
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
        kept = await journal.blocks_kept(pool.database, minutes)
        shards = await pool.shards.open_shards()
        for first_slot in minutes:
            if first_slot in kept:
                continue
            block = await read_minute(pool.state_redis, first_slot, shards)
            if block.frames:
                await journal.store_block(pool.database, first_slot, encode_block(block))
    except DatabaseAway as error:
        logger.warning("the archive waits for PostgreSQL: %s", error)


def settled_minutes(now_slot: int) -> list[int]:
    """First slots of the minutes that are settled and whole in Redis, oldest first."""
    newest = now_slot - SETTLED_S - BLOCK_SLOTS
    oldest = now_slot - keys.FRAME_TTL_S + BLOCK_SLOTS
    first = -(-oldest // BLOCK_SLOTS) * BLOCK_SLOTS
    return list(range(first, newest + 1, BLOCK_SLOTS))
