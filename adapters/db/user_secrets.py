"""Secrets of users, as sealed by adapters/vault.py: here they are bytes that nobody can read."""

from uuid import UUID

import asyncpg

from adapters.db.connection import Database, connection
from adapters.db.errors import NoSuchUser


async def put_secret(database: Database, user_id: UUID, key_name: str, sealed: bytes) -> None:
    """Keeps a secret in place of the one of before. Raises NoSuchUser."""
    try:
        async with connection(database) as con:
            await con.execute(
                "INSERT INTO user_secrets (user_id, key_name, sealed) VALUES ($1, $2, $3)"
                " ON CONFLICT (user_id, key_name)"
                " DO UPDATE SET sealed = excluded.sealed, updated_at = now()",
                user_id,
                key_name,
                sealed,
            )
    except asyncpg.ForeignKeyViolationError as error:
        raise NoSuchUser("the account is gone") from error


async def find_secret(database: Database, user_id: UUID, key_name: str) -> bytes | None:
    """One secret, sealed; None where the user has none of this name."""
    async with connection(database) as con:
        sealed: bytes | None = await con.fetchval(
            "SELECT sealed FROM user_secrets WHERE user_id = $1 AND key_name = $2",
            user_id,
            key_name,
        )
    return sealed


async def secret_names(database: Database, user_id: UUID) -> list[str]:
    """The names of a user's secrets, in order."""
    async with connection(database) as con:
        rows = await con.fetch(
            "SELECT key_name FROM user_secrets WHERE user_id = $1 ORDER BY key_name", user_id
        )
    return [row["key_name"] for row in rows]


async def drop_secret(database: Database, user_id: UUID, key_name: str) -> bool:
    """Removes a secret; whether there was one."""
    async with connection(database) as con:
        dropped = await con.fetchval(
            "DELETE FROM user_secrets WHERE user_id = $1 AND key_name = $2 RETURNING true",
            user_id,
            key_name,
        )
    return bool(dropped)
