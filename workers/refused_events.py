"""An agent of which the record refused an event stands in `error`: its journal has a hole, so it
opens nothing more until its owner has looked and starts it again. Its exits are watched on.

What is to be done is on record with the event, so a process that dies in between loses nothing.
"""

import logging
from itertools import groupby

from adapters import queue as jobs
from adapters.db import quarantine
from adapters.db.agents import Agent
from adapters.wanted import payload_of
from workers.context import PoolContext

logger = logging.getLogger(__name__)

AGENTS_A_ROUND = 500


async def fail_their_agents(pool: PoolContext) -> None:
    """Wants them in `error`, and tells their rows; what does not arrive is pushed again.

    Raises:
        DatabaseAway: the rest is done by the next call.
    """
    failed = await quarantine.fail_agents(pool.database, AGENTS_A_ROUND)
    by_shard = sorted(failed, key=lambda agent: agent.shard)
    for shard, of_shard in groupby(by_shard, key=lambda agent: agent.shard):
        await _tell(pool, shard, list(of_shard))


async def _tell(pool: PoolContext, shard: int, failed: list[Agent]) -> None:
    pushed = await pool.shards.push_all([(shard, payload_of(agent)) for agent in failed])
    if pushed[0] is not None:
        await pool.queue.enqueue(jobs.wake(shard, pushed[0].number, pushed[0].stamp))
    for agent in failed:
        whose = {"agent_id": agent.id, "shard": shard}
        logger.error("an event of it could not be stored: it is put into error", extra=whose)
