"""The pool gives out what is ready, and nothing that is closed or holds somebody else's answer."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapters.redis_client import Redis, command, open_redis
from adapters.redis_pool import QuickPool


@pytest.fixture
async def narrow(redis_url: str) -> AsyncIterator[Redis]:
    """A client with two connections."""
    client = open_redis(redis_url, max_connections=2)
    yield client
    await client.aclose()


async def test_many_callers_share_few_connections(narrow: Redis) -> None:
    async def own(number: int) -> bool:
        await command(narrow, "SET", f"k{number}", number)
        return int(await command(narrow, "GET", f"k{number}")) == number

    assert all(await asyncio.gather(*(own(number) for number in range(200))))
    assert len(narrow.connection_pool._available_connections) <= 2


async def test_an_answer_that_nobody_waited_for_reaches_nobody_else(narrow: Redis) -> None:
    await command(narrow, "SET", "mine", "right")
    for _ in range(20):
        late = [asyncio.create_task(command(narrow, "ECHO", "wrong")) for _ in range(4)]
        await asyncio.sleep(0)
        for task in late:
            task.cancel()
        assert await command(narrow, "GET", "mine") == b"right"
        await asyncio.gather(*late, return_exceptions=True)


async def test_an_unread_answer_costs_its_connection(narrow: Redis) -> None:
    connection = await narrow.connection_pool.get_connection()
    await connection.send_command("ECHO", "left over")
    while not connection._reader._buffer:
        await asyncio.sleep(0)
    await narrow.connection_pool.release(connection)
    assert await command(narrow, "ECHO", "mine") == b"mine"


async def test_a_connection_that_the_server_closed_is_made_anew(
    narrow: Redis, redis_url: str
) -> None:
    before = await command(narrow, "CLIENT", "ID")
    other = open_redis(redis_url)
    assert await command(other, "CLIENT", "KILL", "ID", before) == 1
    await other.aclose()
    assert await command(narrow, "CLIENT", "ID") != before


async def test_who_is_canceled_while_giving_back_loses_no_place(narrow: Redis) -> None:
    pool = narrow.connection_pool
    assert isinstance(pool, QuickPool)
    held = [await pool.get_connection() for _ in range(2)]
    waiter = asyncio.create_task(command(narrow, "ECHO", "mine"))
    await asyncio.sleep(0)
    async with pool._condition:  # as somebody who is about to wait or was just woken has it
        giving = asyncio.create_task(pool.release(held[0]))
        await asyncio.sleep(0)
        giving.cancel()
        await asyncio.gather(giving, return_exceptions=True)
        assert giving.cancelled()
    async with asyncio.timeout(3):
        assert await waiter == b"mine"
    await pool.release(held[1])
    assert len(pool._available_connections) == 2
