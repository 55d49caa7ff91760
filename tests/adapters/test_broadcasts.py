"""One subscription for a process: nothing published before caught_up() is heard after it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters import broadcasts
from adapters.broadcasts import Broadcasts
from adapters.embedded_redis import EmbeddedRedis
from adapters.errors import RedisAway
from adapters.redis_client import Redis, command, open_redis
from tests.conftest import wait_for

CHANNEL = "artic:test"


class Hearing:
    """A process that listens, and what it has heard."""

    def __init__(self, redis: Redis) -> None:
        self.broadcasts = Broadcasts(redis)
        self.heard: list[bytes] = []
        self.subscriptions = 0
        self.broadcasts.listen(CHANNEL, self.take, self.subscribed)

    def take(self, channel: str, data: bytes) -> None:
        """A message."""
        assert channel == CHANNEL
        self.heard.append(data)

    def subscribed(self, channel: str) -> None:
        """What came before may be lost."""
        self.subscriptions += 1


@asynccontextmanager
async def hearing(url: str) -> AsyncIterator[Hearing]:
    """Listens until the end."""
    redis = open_redis(url, max_connections=1, retries=False)
    listening = Hearing(redis)
    task = asyncio.create_task(listening.broadcasts.run())
    try:
        yield listening
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await redis.aclose()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def own_redis(servers_dir: Path) -> AsyncIterator[EmbeddedRedis]:
    """A Redis that a test may stop."""
    folder = servers_dir / "broadcasts-redis"
    folder.mkdir(exist_ok=True)
    server = EmbeddedRedis(folder, durable=False)
    yield server
    await server.stop()


async def test_what_was_published_before_has_been_taken_in(redis: Redis, redis_url: str) -> None:
    async with hearing(redis_url) as listening:
        await listening.broadcasts.caught_up()
        assert listening.subscriptions == 1
        said = [str(number).encode() for number in range(300)]
        for number, each in enumerate(said, 1):
            await command(redis, "PUBLISH", CHANNEL, each)
            if number % 7 == 0:
                await listening.broadcasts.caught_up()
                assert listening.heard == said[:number]


async def test_calls_at_the_same_time_share_their_questions(redis: Redis, redis_url: str) -> None:
    async with hearing(redis_url) as listening:
        await listening.broadcasts.caught_up()
        await command(redis, "CONFIG", "RESETSTAT")
        await asyncio.gather(*(listening.broadcasts.caught_up() for _ in range(500)))
        stats = await redis.info("commandstats")
        assert 1 <= stats["cmdstat_ping"]["calls"] <= 2


async def test_who_stops_waiting_harms_nobody(redis_url: str) -> None:
    async with hearing(redis_url) as listening:
        waiting = [asyncio.create_task(listening.broadcasts.caught_up()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(each) for each in done] == [type(None), asyncio.CancelledError, type(None)]


async def test_a_cut_connection_is_told_before_anybody_is_caught_up(
    redis: Redis, redis_url: str
) -> None:
    async with hearing(redis_url) as listening:
        await listening.broadcasts.caught_up()
        await command(redis, "CLIENT", "KILL", "TYPE", "pubsub")
        await command(redis, "PUBLISH", CHANNEL, b"lost")

        async def caught_up() -> bool:
            try:
                await listening.broadcasts.caught_up()
            except RedisAway:
                return False
            return True

        await wait_for(caught_up)
        assert (listening.subscriptions, listening.heard) == (2, [])


async def test_redis_may_come_late_and_go(own_redis: EmbeddedRedis) -> None:
    url = await own_redis.start()
    await own_redis.stop()
    async with hearing(url) as listening:
        with pytest.raises(RedisAway):
            await listening.broadcasts.caught_up()
        assert await own_redis.start() == url
        await wait_for(lambda: listening.subscriptions == 1)
        await listening.broadcasts.caught_up()
        await own_redis.stop()
        with pytest.raises(RedisAway):
            await listening.broadcasts.caught_up()
        assert await own_redis.start() == url
        await wait_for(lambda: listening.subscriptions == 2)
        await listening.broadcasts.caught_up()


async def test_a_redis_that_hangs_is_away(
    own_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcasts, "PATIENCE_S", 0.2)
    monkeypatch.setattr(broadcasts, "READ_S", 0.1)
    url = await own_redis.start()
    async with hearing(url) as listening:
        await listening.broadcasts.caught_up()
        assert own_redis.pid is not None
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            with pytest.raises(RedisAway):
                await listening.broadcasts.caught_up()
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)

        async def caught_up() -> bool:
            # over the same connection, if Redis was back before its silence was noticed
            try:
                await listening.broadcasts.caught_up()
            except RedisAway:
                return False
            return True

        await wait_for(caught_up, seconds=30)
