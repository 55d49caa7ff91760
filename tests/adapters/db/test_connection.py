"""The way to PostgreSQL: addresses, bounded waits, and errors that say what to do."""

import asyncio

import asyncpg
import pytest

from adapters.db import connection as way
from adapters.db import engine, users
from adapters.db.connection import (
    Database,
    close_database,
    connection,
    open_database,
    parse_address,
    ping,
    transaction,
)
from adapters.db.errors import DatabaseAway, DatabaseBusy, DatabaseRefused, DatabaseUrlError


@pytest.mark.parametrize(
    ("url", "host", "port", "user", "password", "name"),
    [
        ("postgresql://u:p@h:6543/d", "h", 6543, "u", "p", "d"),
        ("postgres://u@h/d", "h", 5432, "u", None, "d"),
        ("postgresql://u:p%40%2F@/d?host=/run/pg&port=5433", "/run/pg", 5433, "u", "p@/", "d"),
        ("postgresql:///d?host=/run/pg&user=u&password=p", "/run/pg", 5432, "u", "p", "d"),
        ("postgresql://u:p@[::1]:5432/d?sslmode=require", "::1", 5432, "u", "p", "d"),
    ],
)
def test_addresses(
    url: str, host: str, port: int, user: str, password: str | None, name: str
) -> None:
    address = parse_address(url)
    assert (address.host, address.port, address.user) == (host, port, user)
    assert (address.password, address.database) == (password, name)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hush@h/d",
        "postgresql://u:hush@h",
        "postgresql://:hush@h/d",
        "postgresql://u:hush@/d",
        "postgresql://u:hush@h:0/d?port=x",
        "postgresql://u:hush@h:99999/d",
        "postgresql://u:hush@h/d?sslmode=maybe",
        "postgresql://u:hush@h/d?options=-cfsync=off",
    ],
)
def test_wrong_addresses_are_named_without_their_password(url: str) -> None:
    with pytest.raises(DatabaseUrlError) as wrong:
        parse_address(url)
    assert "hush" not in str(wrong.value)


def test_an_address_hides_its_password() -> None:
    assert "hush" not in repr(parse_address("postgresql://u:hush@h/d"))


async def test_ping_and_what_a_missing_server_raises(migrated_database_url: str) -> None:
    database = await open_database(migrated_database_url)
    await ping(database)
    await close_database(database)

    away = await open_database("postgresql://u:p@/d?host=/nowhere")
    with pytest.raises(DatabaseAway):
        await ping(away)
    with pytest.raises(DatabaseAway):
        await users.find_by_email(away, "a@b.c")
    await close_database(away)


async def test_wrong_password_and_unknown_database_are_refused(migrated_database_url: str) -> None:
    address = parse_address(migrated_database_url)
    assert address.password is not None
    wrong = migrated_database_url.replace(address.password, "wrong")
    unknown = migrated_database_url.replace(f"/{address.database}?", "/no_such_database?")
    for url in (wrong, unknown):
        database = await open_database(url)
        with pytest.raises(DatabaseRefused):
            await ping(database)
        await close_database(database)


async def test_a_closed_way_stays_closed(migrated_database_url: str) -> None:
    database = await open_database(migrated_database_url)
    await ping(database)
    await close_database(database)
    with pytest.raises(DatabaseAway, match="closed"):
        await ping(database)


async def test_a_lost_connection_is_away_once_and_the_next_call_works(db: Database) -> None:
    with pytest.raises(DatabaseAway):
        async with connection(db) as con:
            await con.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    await ping(db)


async def test_a_full_pool_makes_nobody_wait_for_ever(
    migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ACQUIRE_S", 0.05)
    database = await open_database(migrated_database_url, pool_max=1)
    async with connection(database):
        with pytest.raises(DatabaseAway):
            await ping(database)
    await ping(database)
    await close_database(database)


async def test_a_lock_that_is_held_too_long_is_busy(
    migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(way, "LOCK_MS", 30)
    database = await open_database(migrated_database_url)
    async with transaction(database) as con:
        await con.execute("LOCK TABLE users")
        with pytest.raises(DatabaseBusy):
            async with transaction(database) as other:
                await other.execute("LOCK TABLE users")
    await close_database(database)


async def test_a_transaction_whose_owner_went_quiet_is_ended_by_the_server(
    migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(way, "QUIET_TRANSACTION_MS", 30)
    database = await open_database(migrated_database_url)
    locked, resume = asyncio.Event(), asyncio.Event()

    async def owner() -> None:
        async with transaction(database) as con:
            await con.execute("LOCK TABLE users")
            locked.set()
            await resume.wait()
            await con.execute("SELECT 1")

    task = asyncio.create_task(owner())
    await locked.wait()
    async with asyncio.timeout(5), transaction(database) as other:
        await other.execute("LOCK TABLE users")  # comes as soon as the server has let go
    resume.set()
    with pytest.raises(DatabaseAway):
        await task
    await close_database(database)


async def test_mistakes_in_statements_are_not_taken_for_an_absent_server(db: Database) -> None:
    with pytest.raises(asyncpg.PostgresSyntaxError):
        async with connection(db) as con:
            await con.execute("SELEC 1")
    with pytest.raises(asyncpg.DataError):
        async with connection(db) as con:
            await con.execute("SELECT $1::int", "no number")
