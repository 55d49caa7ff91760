"""The limit on attempts: exact, shared by all hubs, and none the worse for a Redis restart."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters import attempts as subject
from adapters.attempts import Attempts
from adapters.embedded_redis import EmbeddedRedis
from adapters.errors import RedisAway
from adapters.redis_client import Redis, command, open_redis
from tests.conftest import wait_for


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client of an empty Redis."""
    client = open_redis(redis_url)
    yield client
    await client.aclose()


async def try_often(attempts: Attempts, times: int, account: str, address: str) -> list[bool]:
    """Which of so many attempts were let through."""
    return [not await attempts.wait_s("login", account, address) for _ in range(times)]


async def test_an_account_and_an_address_have_limits(redis: Redis) -> None:
    attempts = Attempts(redis, account=3, address=5)
    assert await try_often(attempts, 4, "ann", "1.1.1.1") == [True] * 3 + [False]
    # The account is closed from everywhere; what was refused does not count for the address.
    assert await try_often(attempts, 1, "ann", "2.2.2.2") == [False]
    assert await try_often(attempts, 3, "bob", "1.1.1.1") == [True] * 2 + [False]
    assert await try_often(attempts, 1, "bob", "2.2.2.2") == [True]
    assert await attempts.wait_s("register", "ann", "1.1.1.1") == 0
    assert 1 <= await attempts.wait_s("login", "ann", "3.3.3.3") <= subject.WINDOW_S


async def test_hubs_count_together_also_when_they_race(redis: Redis) -> None:
    hubs = [Attempts(redis, account=10, address=1000) for _ in range(4)]
    waits = await asyncio.gather(*(hubs[i % 4].wait_s("login", "ann", str(i)) for i in range(40)))
    assert sum(wait == 0 for wait in waits) == 10


async def test_the_window_slides(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "WINDOW_S", 0.3)
    attempts = Attempts(redis, account=2, address=100)
    assert await try_often(attempts, 3, "ann", "here") == [True, True, False]

    async def let_through() -> bool:
        return await attempts.wait_s("login", "ann", "here") == 0

    await wait_for(let_through)


async def test_keys_are_bounded_die_and_name_nobody(redis: Redis) -> None:
    attempts = Attempts(redis, account=3, address=4)
    await try_often(attempts, 20, "ann@example.com", "203.0.113.7")
    names: list[bytes] = await command(redis, "KEYS", "*")
    assert len(names) == 2
    for name in names:
        assert b"ann" not in name and b"203" not in name
        assert 0 < await command(redis, "PTTL", name) <= subject.WINDOW_S * 1000
        assert await command(redis, "LLEN", name) <= 4


async def test_a_restart_of_redis_does_no_harm(servers_dir: Path) -> None:
    folder = servers_dir / "attempts-redis"
    folder.mkdir()
    server = EmbeddedRedis(folder, durable=False)
    redis = open_redis(await server.start())
    try:
        attempts = Attempts(redis, account=2, address=100)
        assert await try_often(attempts, 3, "ann", "here") == [True, True, False]
        await server.stop()
        with pytest.raises(RedisAway):
            await attempts.wait_s("login", "ann", "here")
        await server.start()
        # Neither the script nor the count outlives it, and both are there again at once.
        assert await try_often(attempts, 3, "ann", "here") == [True, True, False]
    finally:
        await redis.aclose()
        await server.stop()
