"""An open database, and one with an account and a plan in it."""

from collections.abc import AsyncIterator

import pytest

from adapters.db import plans, users
from adapters.db.connection import Database, close_database, open_database
from tests.adapters.db.world import World


@pytest.fixture
async def db(migrated_database_url: str) -> AsyncIterator[Database]:
    database = await open_database(migrated_database_url, pool_max=8)
    yield database
    await close_database(database)


@pytest.fixture
async def world(db: Database) -> World:
    user = await users.create_user(db, "owner@example.com", "hash")
    plan = await plans.intern_plan(
        db, "{}", "BTC/USDT", "1m", "momentum_breakout", 1, {"lookback": 20}
    )
    return World(db, user.id, plan)
