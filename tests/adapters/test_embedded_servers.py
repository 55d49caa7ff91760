"""The servers that `artic up` starts by itself, and the fixtures made from them."""

import asyncpg

from adapters.redis_client import open_redis
from tests.conftest import wait_for


async def test_a_test_gets_an_empty_database(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    assert (
        await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    )
    await connection.execute("CREATE TABLE left_behind (a int)")
    await connection.close()


async def test_what_another_test_wrote_is_gone(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT to_regclass('left_behind')") is None
    await connection.close()


async def test_redis_is_emptied(redis_url: str) -> None:
    client = open_redis(redis_url)
    assert await client.dbsize() == 0
    await client.set("a", "b")
    assert await wait_for(lambda: client.get("a")) == b"b"
    await client.aclose()
