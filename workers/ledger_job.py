"""Moves events from the shards' streams into PostgreSQL, exactly once.

The cursor is a row in PostgreSQL that moves in the transaction that writes the events, so a job
that dies, repeats or races does no harm. A stream is trimmed only after that. Users hear of
their trades when they are facts: messages are published after the transaction.
"""

import logging
from collections.abc import Mapping
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
"""A transaction's rows are made in the loop that ticks, which gets its turn in between."""
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


def fair_shares(waiting: Mapping[int, int], room: int) -> dict[int, int]:
    """How many events of each shard are taken together, at least one: all of those that have few,
    and of the others as many of each. So nobody waits until the backlog of another is stored.
    """
    shares: dict[int, int] = {}
    for place, shard in enumerate(sorted(waiting, key=waiting.__getitem__)):
        fair = max(room // (len(waiting) - place), 1)
        shares[shard] = min(max(waiting[shard], 1), fair)
        room -= shares[shard]
    return shares


async def _store(pool: PoolContext, dirty: list[int]) -> list[int]:
    """One transaction for some shards. Returns those that have more to store."""
    cursors = await shards.progress_of(pool.database, dirty)
    cursors = [cursor for cursor in cursors if cursor.frozen is None]
    waiting = await pool.shards.events_waiting([cursor.shard for cursor in cursors])
    room = fair_shares(waiting, EVENTS_A_TRANSACTION)
    batches: list[ShardEvents] = []
    again: list[int] = []
    for cursor in cursors:
        shard = cursor.shard
        if not waiting[shard]:
            continue
        stream = await pool.shards.read_events(shard, cursor.version, room[shard])
        if stream.run_id and not stream.entries:
            # Stored by a run that died before it could trim.
            await pool.shards.trim_events(shard, cursor.version)
        elif stream.run_id:
            batches.append(
                ShardEvents(shard, stream.run_id, cursor.version, stream.entries, stream.skipped)
            )
            if len(stream.entries) < waiting[shard]:
                again.append(shard)
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
    # What was refused would be refused again at once; the sweep marks it in a second.
    return [shard for shard in again if result.shards[shard].refused is None]
