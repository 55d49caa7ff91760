"""Small chores, each once in its period and safe to repeat; none is ever part of a tick."""

import logging
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from adapters import queue as jobs
from adapters import redis_keys as keys
from adapters.db import agents, halts, history, journal, logins, repeatable, reported
from adapters.db.agents import Agent
from adapters.db.errors import DatabaseAway
from adapters.errors import SchemaUnknown
from adapters.recovery import recover_shard
from adapters.redis_client import command
from adapters.wanted import payload_of
from workers.agent_lines import LINES_MAX
from workers.context import PoolContext
from workers.refused_events import fail_their_agents

logger = logging.getLogger(__name__)

UNAPPLIED_AFTER_S = 2.0
"""A wanted state that no row shows after this long is pushed again."""
UNAPPLIED_BATCH = 500
INBOX_SHORT = 100
"""Commands in an inbox up to which some may be pushed again."""
MESSAGES_KEPT = timedelta(hours=24)
"""What a WebSocket may ask for again."""
LOGS_KEPT = timedelta(days=30)


async def sweep_streams(ctx: dict[str, Any]) -> None:
    """arq job: marks every shard whose stream holds events, in case a mark was lost."""
    pool: PoolContext = ctx["pool"]
    waiting = await pool.shards.events_waiting(await pool.shards.open_shards())
    dirty = [shard for shard, events in waiting.items() if events]
    if dirty:
        await command(pool.queue_redis, "SADD", keys.dirty_shards(), *dirty)
        await pool.queue.enqueue(jobs.ledger(int(pool.clock.now() * 1000)))


async def push_unapplied(ctx: dict[str, Any]) -> None:
    """arq job: pushes the wanted states that got lost between PostgreSQL and an inbox."""
    pool: PoolContext = ctx["pool"]
    try:
        await _tell_halt(pool)
        await fail_their_agents(pool)
        found = await agents.unapplied(pool.database, UNAPPLIED_AFTER_S, UNAPPLIED_BATCH)
        lacking = sorted(found, key=lambda agent: agent.shard)
        for shard, of_shard in groupby(lacking, key=lambda agent: agent.shard):
            try:
                await _push_to(pool, shard, list(of_shard))
            except SchemaUnknown as error:
                logger.error("its wanted states are left to newer workers: %s", error)
    except DatabaseAway as error:
        logger.warning("repair waits for PostgreSQL: %s", error)


async def _tell_halt(pool: PoolContext) -> None:
    """Tells the fleet's halt to shards that have not heard of its newest change: a hub may have
    died between the record and them.
    """
    fleet = await halts.fleet(pool.database)
    if not fleet.epoch:
        return
    told = await pool.shards.halt_epochs(await pool.shards.open_shards())
    lacking = [shard for shard, epoch in told.items() if epoch < fleet.epoch]
    if lacking:
        await pool.shards.halt(lacking, fleet.halt, fleet.epoch)
        logger.info("the fleet's halt was told again to %d shards", len(lacking))


async def _push_to(pool: PoolContext, shard: int, lacking: list[Agent]) -> None:
    """Pushes what the rows of a shard lack, and wakes it once. Where only the ledger is late the
    row has seen the epoch already, and there is nothing to push.
    """
    waiting = int(await command(pool.state_redis, "LLEN", keys.shard_inbox(shard)))
    if waiting > INBOX_SHORT:
        return  # they are probably in it; a shard that is late must not be given more to do
    found = await pool.shards.read_some(shard, [agent.row for agent in lacking])
    if found is None:
        await recover_shard(pool.database, pool.shards, shard)
        return
    seen = {row: int(record["epoch"]) for row, record in found[1].items()}
    lost = [agent for agent in lacking if agent.epoch > seen.get(agent.row, 0)]
    if not lost:
        return
    pushed = await pool.shards.push_all([(shard, payload_of(agent)) for agent in lost])
    first = pushed[0]
    if first is not None:
        await pool.queue.enqueue(jobs.wake(shard, first.number, first.stamp))
    for agent in lost[:LINES_MAX]:
        whose = {"agent_id": agent.id, "shard": shard}
        logger.info("its wanted state was pushed again", extra=whose)
    if len(lost) > LINES_MAX:
        more = "%d more wanted states were pushed again"
        logger.info(more, len(lost) - LINES_MAX, extra={"shard": shard})


async def prune_history(ctx: dict[str, Any]) -> None:
    """arq job: drops messages, logs, journal and refresh tokens beyond their retention."""
    pool: PoolContext = ctx["pool"]
    try:
        now = datetime.fromtimestamp(pool.clock.now(), UTC)
        await history.prune_messages(pool.database, now - MESSAGES_KEPT)
        await history.prune_logs(pool.database, now - LOGS_KEPT)
        await logins.prune_refresh_tokens(pool.database, now)
        await repeatable.prune_requests(pool.database, now - repeatable.KEPT)
        await reported.prune_events(pool.database, now - LOGS_KEPT)
        kept_s = pool.settings.journal_hours * 3600
        await journal.prune_journal(pool.database, int(pool.clock.now()) - kept_s)
    except DatabaseAway as error:
        logger.warning("pruning waits for PostgreSQL: %s", error)
