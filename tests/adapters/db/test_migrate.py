"""Migrations: on an empty database, on one with rows, by several at once, and broken ones."""

import asyncio
import json
from uuid import uuid4

import asyncpg
import pytest
from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector

from adapters.db import migrate as migrations
from adapters.db.connection import TORTOISE_ORM
from adapters.db.errors import DatabaseAway, DatabaseRefused, DatabaseUrlError, MigrationFailed
from adapters.db.migrate import migrate

TABLES = {
    "users",
    "refresh_tokens",
    "plans",
    "shards",
    "shard_rows",
    "agents",
    "trades",
    "logs",
    "messages",
    "quarantine",
    "source_anchors",
}
LATER_TABLES = {"reported_events", "repeatable_requests", "journal", "market_archive", "fleet"} | {
    "user_secrets",
    "callbacks",
    "halt_changes",
}
"""Those that the first migration did not make."""


async def ask(url: str, question: str, *values: object) -> list[asyncpg.Record]:
    con = await asyncpg.connect(url)
    try:
        return list(await con.fetch(question, *values))
    finally:
        await con.close()


async def test_an_empty_database_gets_every_table_and_a_second_run_does_nothing(
    database_url: str,
) -> None:
    first = await migrate(database_url)
    assert first.applied[0] == "0001_initial"
    assert first.newest == first.applied[-1]
    assert "migrated to" in str(first)
    tables = await ask(database_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row[0] for row in tables} == TABLES | LATER_TABLES | {"tortoise_migrations"}
    second = await migrate(database_url)
    assert second.applied == ()
    assert second.newest == first.newest
    assert "up to date" in str(second)


async def test_a_database_with_rows_keeps_them_through_every_later_migration(
    database_url: str,
) -> None:
    await migrate(database_url, upto="0001_initial")
    await fill(database_url)
    before = await contents(database_url)
    assert all(before.values())
    done = await migrate(database_url)
    assert "0002_keys_and_storage" in done.applied
    after = await contents(database_url)
    assert {name: len(rows) for name, rows in after.items()} == {
        name: len(rows) for name, rows in before.items()
    }
    for name, rows in before.items():
        for old, new in zip(rows, after[name], strict=True):
            assert old.items() <= new.items(), name


async def test_keys_of_two_columns_hold_after_the_migrations(database_url: str) -> None:
    await migrate(database_url, upto="0001_initial")
    await fill(database_url)
    await migrate(database_url)
    con = await asyncpg.connect(database_url)
    try:
        await con.execute("INSERT INTO shard_rows (shard, row) VALUES (0, 1), (1, 0)")
        with pytest.raises(asyncpg.UniqueViolationError):
            await con.execute("INSERT INTO shard_rows (shard, row) VALUES (0, 1)")
        with pytest.raises(asyncpg.CheckViolationError):
            await con.execute("UPDATE users SET email = 'Upper@Example.com'")
    finally:
        await con.close()


async def test_migrators_that_start_together_take_turns(database_url: str) -> None:
    done = await asyncio.gather(
        *(asyncio.to_thread(asyncio.run, migrate(database_url)) for _ in range(4))
    )
    assert sorted(bool(one.applied) for one in done) == [False, False, False, True]
    assert len({one.newest for one in done}) == 1
    recorded = await ask(database_url, "SELECT name FROM tortoise_migrations")
    assert len(recorded) == len(max(done, key=lambda one: len(one.applied)).applied)


async def test_models_and_migrations_agree() -> None:
    async with TortoiseContext() as context:
        await context.init(config=TORTOISE_ORM)
        assert context.apps is not None
        changes = await MigrationAutodetector(context.apps, TORTOISE_ORM["apps"]).changes()
    assert [writer.operations for writer in changes] == []


async def test_a_migration_that_fails_leaves_nothing_of_itself(database_url: str) -> None:
    # the second migration cannot add its check: there is a row that breaks it
    await migrate(database_url, upto="0001_initial")
    await ask(
        database_url,
        "INSERT INTO users (id, email, password_hash, role) VALUES ($1, 'UPPER', 'h', 'user')",
        uuid4(),
    )
    with pytest.raises(MigrationFailed, match="0002_keys_and_storage"):
        await migrate(database_url)
    keys = await ask(
        database_url,
        "SELECT array_length(conkey, 1) FROM pg_constraint WHERE conname = 'messages_pkey'",
    )
    assert [row[0] for row in keys] == [1]  # its first statement was rolled back
    await ask(database_url, "UPDATE users SET email = lower(email)")
    assert "0002_keys_and_storage" in (await migrate(database_url)).applied


async def test_going_back_is_refused(database_url: str) -> None:
    await migrate(database_url)
    with pytest.raises(MigrationFailed, match="older"):
        await migrate(database_url, upto="0001_initial")


async def test_a_way_that_leads_nowhere_is_said_in_one_sentence(database_url: str) -> None:
    with pytest.raises(DatabaseAway):
        await migrate("postgresql://artic:secret@/artic?host=/nowhere/at/all")
    with pytest.raises(DatabaseUrlError) as wrong:
        await migrate("postgresql://artic:secret@localhost:5432/")
    assert "secret" not in str(wrong.value)
    with pytest.raises(DatabaseRefused):
        await migrate(database_url.replace("/test_", "/no_such_"))


async def test_a_migrator_that_waits_too_long_gives_up(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_LOCK_WAIT_S", 0.05)
    con = await asyncpg.connect(database_url)
    try:
        await con.execute("SELECT pg_advisory_lock($1)", migrations._LOCK)
        with pytest.raises(DatabaseAway, match="another migrator"):
            await migrate(database_url)
    finally:
        await con.close()


async def contents(url: str) -> dict[str, list[dict[str, object]]]:
    con = await asyncpg.connect(url)
    try:
        return {
            table: [dict(row) for row in await con.fetch("TABLE " + table)]
            for table in sorted(TABLES)
        }
    finally:
        await con.close()


async def fill(url: str) -> None:
    """A row in every table, with the columns that the first migration made."""
    user, agent = uuid4(), uuid4()
    con = await asyncpg.connect(url)
    try:
        await con.execute(
            "INSERT INTO users (id, email, password_hash, role) VALUES ($1, 'a@b.c', 'h', 'user')",
            user,
        )
        await con.execute(
            "INSERT INTO refresh_tokens (id, user_id, family_id, token_hash, expires_at)"
            " VALUES ($1, $2, $1, 'hash', now())",
            uuid4(),
            user,
        )
        await con.execute(
            "INSERT INTO plans (id, key, symbol, timeframe, strategy, version, params)"
            " VALUES (1, 'k', 'BTC/USDT', '1m', 's', 1, '{}')"
        )
        await con.execute("INSERT INTO shards (id, symbol) VALUES (0, 'BTC/USDT')")
        await con.execute("INSERT INTO shard_rows (shard, row, agent_id) VALUES (0, 0, $1)", agent)
        await con.execute(
            "INSERT INTO agents (id, user_id, name, symbol, timeframe, strategy_name,"
            " strategy_params, interval_seconds, risk_params, plan_id, shard, row, epoch, wanted)"
            " VALUES ($1, $2, 'n', 'BTC/USDT', '1m', 's', '{}', 1, '{}', 1, 0, 0, 1, 'running')",
            agent,
            user,
        )
        await con.execute(
            "INSERT INTO trades (id, agent_id, user_id, seq, symbol, side, strategy_name,"
            " quantity, leverage, entry_price, fee_usd, open_reason, opened_at, mode)"
            " VALUES ($1, $1, $2, 1, 'BTC/USDT', 'long', 's', 0.1, 1, 0.000000000000000001, 0,"
            " 'signal', now(), 'paper')",
            agent,
            user,
        )
        await con.execute(
            "INSERT INTO logs VALUES ($1, $1, $2, 2, now(), 'init', 'made')", agent, user
        )
        await con.execute(
            "INSERT INTO messages VALUES ($1, 1, 'trade', $2, now(), $3::jsonb)",
            user,
            agent,
            json.dumps({"a": 1}),
        )
        await con.execute(
            "INSERT INTO quarantine (shard, version, n, payload, reason)"
            " VALUES (0, 1, 1, '\\x00', 'why')"
        )
        await con.execute("INSERT INTO source_anchors VALUES ('replay', 5, '{}')")
    finally:
        await con.close()
