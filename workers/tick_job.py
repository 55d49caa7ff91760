"""The tick of one shard: read everything, call one pure function a slot, commit once.

Anything here may crash, repeat or come late. The commit is atomic and compared with what was
read; slots that a late tick finds open are run in order, each with its own frame and signals,
so a late tick decides what a punctual one would have.
"""

import asyncio
import logging
from typing import Any

from adapters import queue as jobs
from adapters import redis_keys as keys
from adapters.errors import SchemaUnknown
from adapters.log import log_fields
from adapters.redis_client import command
from engine.isolation import damaged_rows
from workers.agent_lines import tell_events, tell_failed
from workers.context import PoolContext
from workers.settings import TURN_S
from workers.slots import SlotRun, run_slots

logger = logging.getLogger(__name__)

EARLIEST_S = 2.0
"""A job that comes earlier than this before its slot is dropped; the sentinel brings another."""
TRIES = 3
"""Attempts of one job: from memory, and where that commit is refused from what Redis says; a second
refusal means that somebody was faster, so look again once.
"""


async def tick_shard(ctx: dict[str, Any], shard: int, slot: int) -> None:
    """arq job: brings one shard up to the present slot."""
    pool: PoolContext = ctx["pool"]
    early_s = slot - pool.clock.now()
    if early_s > EARLIEST_S:
        # Redis has called the job due, so it is probably this clock that stands wrong, as after a
        # sleep of the machine; until it is right again nothing of this process would tick.
        await pool.clock.refresh()
        early_s = slot - pool.clock.now()
        if early_s > EARLIEST_S:
            return
    if early_s > 0:
        await asyncio.sleep(early_s)
    # A wake and a tick of one shard in one process take turns; across processes the commit decides.
    lock = pool.shard_lock(shard)
    if lock.locked() and shard in pool.next_in_turn:
        return  # it has read nothing yet, so it will do what this job would
    pool.next_in_turn.add(shard)
    try:
        await lock.acquire()
    finally:
        pool.next_in_turn.discard(shard)
    try:
        await _tick_in_turn(pool, shard)
    finally:
        lock.release()


async def _tick_in_turn(pool: PoolContext, shard: int) -> None:
    if not await _gets_a_turn(pool):
        return  # others are at work; the sentinel brings another job while the shard is late
    try:
        with log_fields(shard=shard):
            for _ in range(TRIES):
                if await _tick_once(pool, shard):
                    return
    finally:
        pool.turns.release()


async def _gets_a_turn(pool: PoolContext) -> bool:
    try:
        async with asyncio.timeout(TURN_S):
            return await pool.turns.acquire()
    except TimeoutError:
        return False


async def _tick_once(pool: PoolContext, shard: int) -> bool:
    """One reading, one commit. True when there is nothing more to do for this job."""
    known = pool.known.get(shard)
    remembered = pool.known.due(shard, pool.clock.slot())
    try:
        read = remembered or await pool.shards.read(shard, known)
    except SchemaUnknown as error:
        pool.known.forget(shard)
        pool.step_aside(str(error))
        return True
    if read is None:
        pool.known.forget(shard)
        return True
    if read.head.run_id != pool.run_id:
        pool.see_run(await pool.shards.run_id())
        if read.head.run_id != pool.run_id:
            # The commit would be refused. What Redis says now the sentinel recovers; what a commit
            # before the restart has left in memory is asked for again.
            pool.known.forget(shard)
            return remembered is None
    now_slot = pool.clock.slot()
    damaged = {} if pool.known.made(shard, read.head) else damaged_rows(read.rows)
    run = await run_slots(pool, shard, read, now_slot, damaged)
    if run is None:
        return True
    commit = run.commit()
    # The successor is enqueued beside the commit: if this process dies between the two, the
    # next tick is there already; if the commit is refused, an early job finds nothing to do.
    committed, _ = await asyncio.gather(
        pool.shards.commit(shard, read, commit),
        pool.queue.enqueue(*successors(shard, run, now_slot)),
    )
    if committed.refused is not None:
        if remembered is None:
            pool.known.forget(shard)
        pool.known.doubt(shard)
        pool.stats.refused(committed.refused)
        if committed.refused in ("run_id", "no_head"):
            return True
        if committed.refused == "future":
            await pool.clock.refresh()
        return False
    after = pool.shards.after(read, commit, committed)
    pool.known.put(shard, after, sure=not committed.inbox_left)
    tell_failed(run.failed)
    tell_events(run.events)
    now = pool.clock.now()
    lags_s = [now - jobs.due_ms(shard, slot) / 1000 for slot in run.ran]
    pool.stats.committed(run.ran, len(run.events), run.applied, lags_s)
    pool.stats.missed_slots += run.missed_slots
    if commit.events:
        await command(pool.queue_redis, "SADD", keys.dirty_shards(), shard)
        await pool.queue.ask(jobs.ledger(int(pool.clock.now() * 1000)))
    if committed.inbox_left:
        await pool.queue.enqueue(jobs.tick(shard, run.slot + 1))
    return True


def successors(shard: int, run: SlotRun, now_slot: int) -> list[jobs.Job]:
    """The job of the next slot at which a row is due, or at once when the work was cut short."""
    if run.slot < now_slot:
        return [jobs.catch_up(shard, run.slot + 1)]
    if run.next_due is None:
        return []
    return [jobs.tick(shard, run.next_due)]
