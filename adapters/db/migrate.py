"""Applies the migrations, one process at a time, and says what it did.

Migrators that start together take turns under an advisory lock (Tortoise's own would fail on
each other's tables). A migration and the note that it was applied are one transaction, so that
a killed migrator leaves no half.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
from tortoise.connection import get_connection
from tortoise.context import TortoiseContext
from tortoise.exceptions import BaseORMException
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget
from tortoise.transactions import in_transaction

from adapters.db.connection import (
    CONNECT_S,
    CONNECTION_NAME,
    Address,
    parse_address,
    tortoise_config,
    typed_errors,
)
from adapters.db.errors import DatabaseBusy, MigrationFailed

_LOCK = 0x41525449  # "ARTI": the number of the advisory lock, the same for every version
_LOCK_POLL_S = 0.1
_LOCK_WAIT_S = 120.0
_APP = "artic"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Migrated:
    """applied: names in order, empty when there was nothing to do; newest: where it stands."""

    applied: tuple[str, ...]
    newest: str

    def __str__(self) -> str:
        if not self.applied:
            return f"database is up to date at {self.newest}"
        return f"database migrated to {self.newest} ({len(self.applied)} applied)"


async def migrate(url: str, *, upto: str = "__latest__") -> Migrated:
    """Applies every migration that is missing, up to and including `upto`.

    Safe to call from several processes at once.

    Raises:
        DatabaseAway, DatabaseRefused, DatabaseUrlError: there is no way to the database.
        DatabaseBusy: another migrator holds the lock for more than two minutes.
        MigrationFailed: one failed; it was rolled back, those before it stay.
    """
    address = parse_address(url)
    with typed_errors():
        async with _lock(address), TortoiseContext() as context:
            await context.init(config=tortoise_config(address, pool_max=2))
            config = {_APP: tortoise_config(address)["apps"][_APP]}
            return await _apply_missing(config, upto)


async def _apply_missing(config: dict[str, dict[str, object]], upto: str) -> Migrated:
    executor = MigrationExecutor(get_connection(CONNECTION_NAME), config)
    # makes the table of applied migrations, outside of a transaction: missing it breaks one
    await executor.migrate([])
    steps = await executor.plan([MigrationTarget(_APP, upto)])
    applied = []
    for step in steps:
        if step.backward:
            raise MigrationFailed(f"{upto} is older than the database")
        await _apply_one(config, step.migration.name)
        applied.append(step.migration.name)
        _log.info("migration %s applied", step.migration.name)
    done = await executor.recorder.applied_migrations()
    return Migrated(tuple(applied), max((key.name for key in done), default="nothing"))


async def _apply_one(config: dict[str, dict[str, object]], name: str) -> None:
    try:
        async with in_transaction(CONNECTION_NAME):
            inside = MigrationExecutor(get_connection(CONNECTION_NAME), config)
            await inside.migrate([MigrationTarget(_APP, name)], direction="forward")
    except (asyncpg.PostgresError, BaseORMException, ValueError) as error:
        raise MigrationFailed(f"migration {name} failed: {error}") from error


@asynccontextmanager
async def _lock(address: Address) -> AsyncIterator[None]:
    con = await asyncpg.connect(
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password,
        database=address.database,
        ssl=address.ssl,
        timeout=CONNECT_S,
        server_settings={"application_name": "artic migrate"},
    )
    try:
        async with asyncio.timeout(_LOCK_WAIT_S):
            # asked again and again: a session that waits inside the lock call holds a snapshot,
            # and CREATE INDEX CONCURRENTLY in the other migrator would wait for it for ever
            while not await con.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                await asyncio.sleep(_LOCK_POLL_S)
    except TimeoutError as error:
        await con.close(timeout=CONNECT_S)
        raise DatabaseBusy("another migrator holds the lock") from error
    try:
        yield
    finally:
        await con.close(timeout=CONNECT_S)  # which gives the lock back
