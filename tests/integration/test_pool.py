"""The pool on real servers: an agent that was created ticks, trades, and is in the record."""

from collections.abc import AsyncIterator

import pytest

from adapters.db import agents
from adapters.settings import Settings
from engine.rows import RowStatus
from engine.schedule import counts
from tests.conftest import wait_for
from tests.integration.pool import TestPool, open_test_pool


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[TestPool]:
    async with open_test_pool(settings) as test_pool:
        test_pool.start()
        yield test_pool


async def test_a_created_agent_ticks_every_second(pool: TestPool) -> None:
    agent = await pool.create()

    async def ticks() -> int:
        found = await pool.pool.shards.read_row(agent.shard, agent.row)
        if found is None:
            return 0
        head, row = found
        return counts(row, head.slot, head.skipped, head.folded_slot)[0]

    await wait_for(lambda: ticks(), seconds=5)
    before = await ticks()
    await pool.ticked(agent)
    assert await ticks() > before


async def test_the_record_follows_the_row(pool: TestPool) -> None:
    agent = await pool.create()

    async def on_record() -> bool:
        found = await agents.get_agent(pool.pool.database, pool.owner, agent.id)
        return found is not None and found.status == "running" and found.applied_epoch == 1

    await wait_for(on_record, seconds=5)


async def test_a_stop_is_applied_and_a_delete_frees_the_row(pool: TestPool) -> None:
    agent = await pool.create()
    await pool.ticked(agent)
    stopped = await pool.want(agent, "stopped")

    async def standing() -> bool:
        row = await pool.row(agent)
        return row is not None and row["status"] == RowStatus.STOPPED

    await wait_for(standing, seconds=3)
    await pool.want(stopped, "deleted")

    async def freed() -> bool:
        row = await pool.row(agent)
        on_record = await agents.agents_of_shard(pool.pool.database, agent.shard)
        return row is not None and row["status"] == RowStatus.FREE and not on_record

    await wait_for(freed, seconds=5)
    second = await pool.create()
    assert (second.shard, second.row) == (agent.shard, agent.row)
    assert second.epoch > stopped.epoch
