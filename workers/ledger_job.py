"""Moves events from the shards' streams into PostgreSQL, exactly once.

The cursor is a row in PostgreSQL that moves in the transaction that writes the events, so a job
that dies, repeats or races does no harm. A stream is trimmed only after that. Users hear of
their trades when they are facts: messages are published after the transaction.
"""

import logging
from typing import Any

from adapters import queue as jobs
from adapters import redis_keys as keys
from adapters.db import ledger, shards
from adapters.db.errors import DatabaseAway
from adapters.db.records import ShardEvents
from adapters.redis_client import command
from adapters.user_messages import publish_messages
from workers.context import PoolContext
from workers.refused_events import fail_their_agents
from workers.settings import LEDGER_RUN_S

logger = logging.getLogger(__name__)

SHARDS_A_ROUND = 64
EVENTS_A_TRANSACTION = 1_000
"""A transaction's rows are made in the loop that ticks: this many cost it some 50 ms."""
ROUNDS_MAX = 200
"""Bounds of one run; what is left is taken up by the next, a quarter of a second later."""


async def store_events(ctx: dict[str, Any]) -> None:
    """arq job: stores what the dirty shards hold, until nothing is dirty or the run is long."""
    pool: PoolContext = ctx["pool"]
    began = pool.clock.monotonic()
    for _ in range(ROUNDS_MAX):
        dirty = await command(pool.queue_redis, "SPOP", keys.dirty_shards(), SHARDS_A_ROUND)
        if not dirty:
            return
        try:
            again = await _store(pool, sorted(int(shard) for shard in dirty))
        except DatabaseAway as error:
            # Nothing is lost: the streams keep what the record lacks, and the sweep marks the
            # shards again once a second.
            logger.warning("the ledger waits for PostgreSQL: %s", error)
            return
        if again:
            await command(pool.queue_redis, "SADD", keys.dirty_shards(), *again)
        if pool.clock.monotonic() - began > LEDGER_RUN_S:
            break  # a run that is ended by its timeout loses a transaction
    await pool.queue.enqueue(jobs.ledger(int(pool.clock.now() * 1000)))


async def _store(pool: PoolContext, dirty: list[int]) -> list[int]:
    """One transaction for some shards. Returns those that have more to store."""
    cursors = await shards.progress_of(pool.database, dirty)
    batches: list[ShardEvents] = []
    again: list[int] = []
    room = EVENTS_A_TRANSACTION
    for cursor in cursors:
        shard = cursor.shard
        if cursor.frozen is not None:
            continue
        if room <= 0:
            again.append(shard)
            continue
        stream = await pool.shards.read_events(shard, cursor.version, room)
        if stream.run_id and not stream.entries:
            # Stored by a run that died before it could trim.
            await pool.shards.trim_events(shard, cursor.version)
        elif stream.run_id:
            batches.append(
                ShardEvents(shard, stream.run_id, cursor.version, stream.entries, stream.skipped)
            )
            if len(stream.entries) > room // 2:
                again.append(shard)  # probably there is more
            room -= len(stream.entries)
    if not batches:
        return []
    result = await ledger.store_events(pool.database, batches)
    for shard, stored in result.shards.items():
        said = {"shard": shard}
        if stored.quarantined:
            text = "%d events of shard %d could not be stored and are in quarantine: %s"
            logger.error(text, stored.quarantined, shard, stored.why, extra=said)
        if stored.refused is None:
            await pool.shards.trim_events(shard, stored.version)
        else:
            if stored.frozen:
                text = "shard %d is frozen, nothing of it is stored until `artic thaw %d`: %s"
                logger.error(text, shard, shard, stored.frozen, extra=said)
            else:
                text = "the ledger did not store shard %d: %s"
                logger.warning(text, shard, stored.refused.value, extra=said)
    await publish_messages(pool.state_redis, result.messages)
    if any(stored.quarantined for stored in result.shards.values()):
        await fail_their_agents(pool)
    return again
