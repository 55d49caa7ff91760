"""What tests share: real servers (one pair for each test process), fresh databases, settings, and
waiting.

The servers are the embedded ones of the product, started without fsync. A test that asks for
`database_url` gets an empty database of its own; `migrated_database_url` one with every migration
applied, copied from a template.
"""

import asyncio
import base64
import inspect
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar, overload
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import hypothesis
import pytest

from adapters.embedded_postgres import EmbeddedPostgres
from adapters.embedded_redis import EmbeddedRedis
from adapters.redis_client import Redis, open_redis
from adapters.settings import Settings, load_settings
from tests.servers.redis_wire import open_memory_redis

T = TypeVar("T")

# What decides over a change must say the same twice; everywhere else the examples are new ones.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

_POLL_S = 0.005
_PATIENCE = 4.0
_TEMPLATE = "artic_migrated"
_database_numbers = itertools.count(1)


@overload
async def wait_for(
    check: Callable[[], Coroutine[Any, Any, T]],
    *,
    seconds: float = 5.0,
    what: str = "",
    every_s: float = _POLL_S,
) -> T: ...


@overload
async def wait_for(
    check: Callable[[], T], *, seconds: float = 5.0, what: str = "", every_s: float = _POLL_S
) -> T: ...


async def wait_for(
    check: Callable[[], Any], *, seconds: float = 5.0, what: str = "", every_s: float = _POLL_S
) -> Any:
    """Asks until the answer is true, and returns it; fails after `seconds` of a machine that is
    not busy, four times as long on any: this ends what would hang, and promises no speed. The only
    place in tests that sleeps. every_s: between two askings, longer where one costs something.
    """
    seconds *= _PATIENCE
    deadline = time.monotonic() + seconds
    while True:
        answer = check()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(
                f"not within {seconds:g} s: {what or inspect.getsource(check).strip()}"
            )
        await asyncio.sleep(every_s)


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """A folder that the database's system user can reach too (pytest's own folders are closed to
    it).
    """
    folder = Path(tempfile.mkdtemp(prefix="artic-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server(servers_dir: Path) -> Iterator[str]:
    """URL of a PostgreSQL server of this test process, with the right to make databases."""
    server = EmbeddedPostgres(servers_dir, durable=False)
    yield asyncio.run(server.start())
    asyncio.run(server.stop())


@pytest.fixture(scope="session")
def redis_server(servers_dir: Path) -> Iterator[str]:
    """URL of a Redis server of this test process."""
    server = EmbeddedRedis(servers_dir, durable=False)
    yield asyncio.run(server.start())
    asyncio.run(server.stop())


@pytest.fixture
async def database_url(postgres_server: str) -> AsyncIterator[str]:
    """An empty database for one test."""
    async for url in _database(postgres_server, template="template0"):
        yield url


@pytest.fixture(scope="session")
def migrated_template(postgres_server: str) -> str:
    """Name of the database that `migrated_database_url` copies."""
    from adapters.db.migrate import migrate  # here, so that only tests of the ledger load the ORM

    asyncio.run(_execute(postgres_server, f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0"))
    asyncio.run(migrate(_with_name(postgres_server, _TEMPLATE)))
    return _TEMPLATE


@pytest.fixture
async def migrated_database_url(postgres_server: str, migrated_template: str) -> AsyncIterator[str]:
    """A database for one test with every migration applied."""
    async for url in _database(postgres_server, template=migrated_template):
        yield url


@pytest.fixture
async def redis_url(redis_server: str) -> str:
    """The Redis of this test process, emptied."""
    client = open_redis(redis_server)
    await client.flushall()
    await client.aclose()
    return redis_server


@pytest.fixture(params=["real", "memory"])
def either_redis_url(request: pytest.FixtureRequest) -> str | None:
    """URL of a real server; None for one in memory."""
    return request.getfixturevalue("redis_server") if request.param == "real" else None


@pytest.fixture
async def either_redis(either_redis_url: str | None) -> AsyncIterator[Redis]:
    """A client of an empty Redis: of a real server, and once more of the one in memory."""
    client = open_redis(either_redis_url) if either_redis_url else open_memory_redis()
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
def settings(migrated_database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings of a process on the servers of this test."""
    return load_settings(
        {
            "ARTIC_DATABASE_URL": migrated_database_url,
            "ARTIC_REDIS_URL": redis_url,
            "ARTIC_JWT_SECRET": "jwt-" * 8,
            "ARTIC_INTERNAL_SECRET": "internal-" * 4,
            "ARTIC_MASTER_KEY": base64.urlsafe_b64encode(bytes(32)).decode(),
            "ARTIC_PRICE_SOURCE": "simulated",
            "ARTIC_DATA_DIR": str(tmp_path / "artic"),
            "ARTIC_ENV_FILE": "",
        }
    )


async def _database(server: str, *, template: str) -> AsyncIterator[str]:
    name = f"test_{next(_database_numbers)}"
    await _execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _with_name(server, name)
    await _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _with_name(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
