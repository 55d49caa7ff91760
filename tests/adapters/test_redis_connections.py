"""A task in the middle of a command stops when it is told to, at whatever moment that is."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.redis_client import Redis, command, open_redis

TURNS = range(60)
"""Enough to be somewhere else in the second command each time."""


@pytest.fixture
async def unread_port() -> AsyncIterator[int]:
    """Of a server that takes connections and never reads."""
    over = asyncio.Event()

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.transport.abort()

    server = await asyncio.start_server(hold, "127.0.0.1", 0, limit=1)
    yield server.sockets[0].getsockname()[1]
    over.set()
    server.close()
    await server.wait_closed()


async def _ask_without_end(client: Redis) -> None:
    while True:
        await command(client, "PING")


async def test_no_cancellation_is_lost_in_a_command(redis_url: str) -> None:
    client = open_redis(redis_url)
    for turns in TURNS:
        task = asyncio.create_task(_ask_without_end(client))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        assert task.cancelled(), f"canceled after {turns} turns of the loop, it went on"
    assert await command(client, "PING")
    await client.aclose()


async def test_a_server_that_takes_no_more_is_given_up(unread_port: int) -> None:
    client = open_redis(f"redis://127.0.0.1:{unread_port}", timeout_s=0.2, retries=False)
    with pytest.raises(RedisTimeoutError):
        await command(client, "SET", "more than any buffer takes", bytes(64_000_000))
    await client.aclose()
