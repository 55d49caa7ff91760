"""Leases that come and go: what a worker takes with one beat, and what it does not wait for."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from adapters import redis_keys as keys
from adapters.lease import LeaseKeeper
from adapters.redis_client import Redis, command, open_redis
from adapters.redis_keys import TICK_PARTITIONS
from tests.conftest import wait_for
from workers.context import PoolContext
from workers.process import WorkerProcess
from workers.sentinel import Sentinel
from workers.settings import LEASE_MS


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


def sentinel(redis: Redis, name: str) -> Sentinel:
    pool = SimpleNamespace(
        name=name, queue_redis=redis, clock=SimpleNamespace(now=lambda: 0.0), aside_until=0.0
    )
    return Sentinel(cast(PoolContext, pool))


async def test_what_a_dead_worker_has_left_is_taken_with_the_beat_that_sees_it(
    redis: Redis,
) -> None:
    dead, heir = sentinel(redis, "dead"), sentinel(redis, "heir")
    for _ in range(TICK_PARTITIONS):
        await dead.beat()
        await heir.beat()
    assert len(dead.owned) == len(heir.owned) == TICK_PARTITIONS // 2
    # as a lease that runs out between two beats of the heir
    await command(redis, "ZREM", keys.workers(), "dead")
    await command(redis, "DEL", *(keys.partition_lease(p) for p in dead.owned))
    taken, lost = await heir.beat()
    assert (taken, lost) == (dead.owned, set())


async def test_a_newcomer_is_given_one_partition_a_beat(redis: Redis) -> None:
    first = sentinel(redis, "first")
    await first.beat()
    assert len(first.owned) == TICK_PARTITIONS
    await LeaseKeeper(redis, "second", LEASE_MS).beat(["keep"] * TICK_PARTITIONS)
    await first.beat()
    _, lost = await first.beat()
    assert len(lost) == 1


async def test_a_job_that_hangs_in_a_lost_partition_costs_no_other_lease(redis: Redis) -> None:
    pool = SimpleNamespace(
        name="w",
        queue_redis=redis,
        queue=SimpleNamespace(unlisten=lambda queue: None),
        forget_partition=lambda partition: None,
    )
    process = WorkerProcess(cast(PoolContext, pool), ())
    hanging, ended = asyncio.Event(), asyncio.Event()

    async def drain(task: Any, within_s: float) -> None:
        await hanging.wait()
        ended.set()

    running = asyncio.create_task(asyncio.Event().wait())
    worker: Any = SimpleNamespace(drain=drain, queue_name="q")
    process._workers[keys.tick_queue(3)] = worker, cast("asyncio.Task[None]", running)
    async with asyncio.timeout(1):
        await process._serve(set(), {3})
    assert not ended.is_set()
    hanging.set()
    await wait_for(ended.is_set)
    running.cancel()
