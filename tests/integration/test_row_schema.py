"""A pool that is being upgraded: shards of schema 1, the switch, and a schema nobody knows yet."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from adapters import redis_keys as keys
from adapters.db import shards
from adapters.redis_client import command
from adapters.settings import Settings
from engine.rows import ROW, ROW_1
from tests.conftest import wait_for
from tests.integration.pool import TestPool, open_test_pool

QUICK: dict[str, Any] = {
    "strategy_params": {"threshold": 0.01},
    "stop_loss_pct": 0.002,
    "take_profit_pct": 0.002,
}


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[TestPool]:
    """A worker of this version, told that older ones are still there."""
    async with open_test_pool(replace(settings, row_schema=1)) as test_pool:
        test_pool.start()
        await wait_for(test_pool.pool.market.newest, seconds=5, what="the first frame")
        yield test_pool


async def newest_record(pool: TestPool) -> bytes:
    (row,) = await shards.newest_rows(pool.pool.database, 0)
    return row.record or b""


async def events_on_record(pool: TestPool, at_least: int) -> None:
    async def enough() -> bool:
        (row,) = await shards.newest_rows(pool.pool.database, 0)
        return row.seq >= at_least

    await wait_for(enough, seconds=20, what=f"{at_least} events on record")


async def test_a_shard_of_schema_1_trades_is_switched_and_takes_what_had_to_wait(
    pool: TestPool,
) -> None:
    agent = await pool.create(**QUICK)
    await events_on_record(pool, 4)
    assert len(await newest_record(pool)) == ROW_1.itemsize
    table = await command(pool.pool.state_redis, "GET", keys.shard_rows(agent.shard))
    assert len(table) % ROW_1.itemsize == 0

    # as if a hub that was upgraded before the workers had let it through
    waiting = await pool.edit(agent, trailing_stop_pct=1.5)
    await pool.ticked(agent)
    row = await pool.row(agent)
    assert (row["epoch"], row["trailing_stop_bps"]) == (1, 0)

    pool.pool.shards.schema = 2  # the setting, after a restart

    async def taken() -> bool:
        row = await pool.row(agent)
        return bool(row["epoch"] == waiting.epoch and row["trailing_stop_bps"] == 150)

    await wait_for(taken, seconds=15, what="the edit that had to wait")
    head = await pool.pool.shards.read_head(agent.shard)
    assert head is not None and head.schema == 2
    await events_on_record(pool, int((await pool.row(agent))["seq"]))
    assert len(await newest_record(pool)) == ROW.itemsize


async def test_a_worker_that_meets_a_newer_schema_gives_its_partitions_back(
    pool: TestPool, caplog: pytest.LogCaptureFixture
) -> None:
    agent = await pool.create()
    await pool.ticked(agent)
    redis = pool.pool.state_redis
    head = keys.shard_head(agent.shard)
    stood = await pool.pool.shards.read_head(agent.shard)
    assert stood is not None
    # as a commit of the newer version does: the version rises with the schema
    await command(redis, "HSET", head, "schema", 9)
    await command(redis, "HINCRBY", head, "version", 1)

    async def owners() -> list[bytes | None]:
        leases = [keys.partition_lease(p) for p in range(keys.TICK_PARTITIONS)]
        return list(await command(pool.pool.queue_redis, "MGET", *leases))

    async def nobody() -> bool:
        return not any(await owners())

    await wait_for(nobody, seconds=10, what="the leases to be given back")
    assert "row schema 9" in caplog.text
    slot = int((await command(redis, "HGET", head, "slot")).decode())
    await command(redis, "HSET", head, "schema", stood.schema)
    pool.pool.aside_until = 0.0

    async def goes_on() -> bool:
        now = await pool.pool.shards.read_head(agent.shard)
        return now is not None and now.slot > slot

    await wait_for(goes_on, seconds=10, what="the shard to go on")
