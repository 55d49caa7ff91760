"""A database for the simulation, one for each test process."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.simulation.real_side import RealSide


@pytest.fixture(scope="session")
def side(postgres_server: str, migrated_template: str) -> Iterator[RealSide]:
    """Migrated, and emptied by each run."""

    async def create() -> None:
        con = await asyncpg.connect(postgres_server)
        try:
            await con.execute(f"CREATE DATABASE simulation TEMPLATE {migrated_template}")
        finally:
            await con.close()

    asyncio.run(create())
    side = RealSide(urlunsplit(urlsplit(postgres_server)._replace(path="/simulation")))
    yield side
    side.close()
