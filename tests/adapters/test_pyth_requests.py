"""What one process has asked of Pyth, as the one that streams next knows it."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from adapters import price_pyth, pyth_requests
from adapters.errors import FeedError
from adapters.live_table import LiveTable
from adapters.price_pyth import PythFeed
from adapters.pyth_requests import REQUESTS_MAX, AskedLately, PythRequests
from adapters.redis_client import Redis, open_redis
from tests.servers.hermes import KEY, HermesServer, hermes

BANNED_S = 0.6
WINDOW_S = 0.5


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_pyth, "BANNED_S", BANNED_S)
    monkeypatch.setattr(pyth_requests, "BANNED_S", BANNED_S)
    monkeypatch.setattr(pyth_requests, "REQUESTS_WINDOW_S", WINDOW_S)


async def listed(server: HermesServer, redis: Redis, key: str = KEY) -> float:
    """Lists the feeds as a process that has just come up; when it was asked."""
    feed = PythFeed([server.url], key, lambda updates: None, time.time, LiveTable(redis))
    try:
        await feed.list_symbols()
    finally:
        await feed.close()
    return server.asked_at[-1]


async def test_a_ban_that_another_process_has_met_is_kept(redis: Redis) -> None:
    async with hermes() as server:
        server.faults.refuse = (429, "Too many requests")
        with pytest.raises(FeedError, match="HTTP 429"):
            await listed(server, redis)
        server.faults.refuse = None
        banned_at = server.asked_at[-1]
        with_another_key = PythRequests("another key", time.time, LiveTable(redis))
        assert await with_another_key.banned_s() == 0.0
        assert await listed(server, redis) - banned_at >= BANNED_S
        assert len(server.asked_at) == 2


async def test_the_requests_of_another_process_count(redis: Redis) -> None:
    table = LiveTable(redis)
    owner = PythRequests(KEY, time.time, table).owner
    async with hermes() as server:
        await listed(server, redis)
        kept = await table.asked_lately(owner)
        assert kept is not None and len(kept.asked_at) == 1 and kept.not_before == 0.0
        began = time.monotonic()
        await table.know_asked(owner, AskedLately((time.time(),) * REQUESTS_MAX))
        assert await listed(server, redis) - began >= WINDOW_S - 0.01  # two clocks are compared


async def test_a_clock_that_was_wrong_holds_nothing_back_for_longer(redis: Redis) -> None:
    table = LiveTable(redis)
    requests = PythRequests(KEY, time.time, table)
    far = time.time() + 3_600
    await table.know_asked(requests.owner, AskedLately((far,) * REQUESTS_MAX, far))
    assert 0 < await requests.banned_s() <= BANNED_S
    async with asyncio.timeout(10):
        await requests.turn()
