"""Eight requests a minute over all processes, whatever happens to Redis."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.candle_budget import PER_DAY, PER_MINUTE, BudgetLeft, CandleBudget
from adapters.embedded_redis import EmbeddedRedis
from adapters.redis_client import Redis, command, open_redis


class Clock:
    """A time that tests set."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


async def test_three_processes_share_one_budget(redis: Redis) -> None:
    clock = Clock()
    budgets = [CandleBudget(redis, "key", clock) for _ in range(3)]
    taken = await asyncio.gather(*(budget.take() for budget in budgets * 5))
    assert sum(taken) == PER_MINUTE
    assert await budgets[0].left() == BudgetLeft(0, PER_DAY - PER_MINUTE)
    clock.now += 59
    assert not await budgets[1].take()
    clock.now += 4
    assert await budgets[2].take()
    (key,) = await command(redis, "KEYS", "*budget*")
    assert await command(redis, "TTL", key) > 86_400
    assert b"key" not in key.rpartition(b":")[2]


async def test_a_clock_that_is_behind_gives_no_more(redis: Redis) -> None:
    ahead, behind = Clock(), Clock()
    behind.now -= 0.05
    first, second = CandleBudget(redis, "key", ahead), CandleBudget(redis, "key", behind)
    assert sum([await first.take() for _ in range(PER_MINUTE)]) == PER_MINUTE
    assert not await second.take()


async def test_keys_have_budgets_of_their_own(redis: Redis) -> None:
    clock = Clock()
    ours, theirs = CandleBudget(redis, "ours", clock), CandleBudget(redis, "theirs", clock)
    assert [await ours.take() for _ in range(9)] == [True] * 8 + [False]
    assert await theirs.take()


async def test_a_day_has_eight_hundred(redis: Redis) -> None:
    clock = Clock()
    budget = CandleBudget(redis, "key", clock)
    taken = 0
    for _ in range(105):
        clock.now += 63
        taken += sum([await budget.take() for _ in range(PER_MINUTE)])
    assert taken == PER_DAY
    assert await budget.left() == BudgetLeft(PER_MINUTE, 0)
    clock.now += 86_400
    assert await budget.take()


async def test_flushed_scripts_are_loaded_again(redis: Redis) -> None:
    budget = CandleBudget(redis, "key", Clock())
    assert await budget.take()
    await command(redis, "SCRIPT", "FLUSH")
    assert await budget.take()
    assert (await budget.left()).minute == PER_MINUTE - 2


async def test_a_restarted_redis_goes_on_counting(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, durable=True)
    client = open_redis(await server.start())
    budget = CandleBudget(client, "key", Clock())
    try:
        assert [await budget.take() for _ in range(3)] == [True] * 3
        await server.stop()
        await client.aclose()
        await server.start()
        assert [await budget.take() for _ in range(6)] == [True] * 5 + [False]
    finally:
        await client.aclose()
        await server.stop()
