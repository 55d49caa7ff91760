"""What lets an account in besides its password: families of refresh tokens, and its API key.

A family is one login. Each of its tokens is good once; one that comes back was copied, so the
whole family ends. Only hashes of random credentials are stored and compared, inside an index:
how long that takes says nothing that helps to guess 256 bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

import asyncpg

from adapters.db.connection import Connection, Database, connection, transaction
from adapters.db.errors import NoSuchUser
from adapters.db.history import prune_in_batches

_FAMILY_LOCK = 0x41525502
"""First half of the advisory lock of a family: its tokens are spent and revoked in turns, so
that no new one slips past a revocation."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What became of a refresh token.

    "rotated": it is spent and the new one is kept. "reused": it had been spent before, and the
    family is revoked now. "refused": unknown, expired or of a revoked family.
    """

    outcome: Literal["rotated", "reused", "refused"]
    user_id: UUID | None = None
    family_id: UUID | None = None


async def store_refresh_token(
    database: Database, user_id: UUID, family_id: UUID, token_hash: str, expires_at: datetime
) -> None:
    """Keeps the hash of a family's first token. Raises NoSuchUser."""
    try:
        async with connection(database) as con:
            await _insert(con, user_id, family_id, token_hash, expires_at)
    except asyncpg.ForeignKeyViolationError as error:
        raise NoSuchUser("the account is gone") from error


async def rotate_refresh_token(
    database: Database, token_hash: str, new_hash: str, new_expires_at: datetime
) -> Rotation:
    """Spends a token and keeps its successor, or revokes the family of one spent before."""
    async with transaction(database) as con:
        family_id = await _lock_family(con, token_hash)
        row = await con.fetchrow(
            "SELECT user_id, spent_at, revoked_at, expires_at > now() AS is_fresh"
            " FROM refresh_tokens WHERE token_hash = $1",
            token_hash,
        )
        if row is None or family_id is None or row["revoked_at"] is not None:
            return Rotation("refused")
        if row["spent_at"] is not None:
            await _revoke(con, family_id)
            return Rotation("reused", row["user_id"], family_id)
        if not row["is_fresh"]:
            return Rotation("refused")
        await con.execute(
            "UPDATE refresh_tokens SET spent_at = now() WHERE token_hash = $1", token_hash
        )
        await _insert(con, row["user_id"], family_id, new_hash, new_expires_at)
    return Rotation("rotated", row["user_id"], family_id)


async def revoke_family_of(database: Database, token_hash: str) -> UUID | None:
    """Ends the login that a token belongs to, spent or not; answers which, None if unknown."""
    async with transaction(database) as con:
        family_id = await _lock_family(con, token_hash)
        if family_id is not None:
            await _revoke(con, family_id)
    return family_id


async def families_revoked_within(database: Database, period: timedelta) -> list[UUID]:
    """The families that were revoked in so much time before now, by the database's clock."""
    async with connection(database) as con:
        rows = await con.fetch(
            "SELECT DISTINCT family_id FROM refresh_tokens WHERE revoked_at > now() - $1::interval",
            period,
        )
    return [row["family_id"] for row in rows]


async def revoked_among(database: Database, families: Sequence[UUID]) -> list[UUID]:
    """Those of the families that are revoked, whenever it was."""
    async with connection(database) as con:
        rows = await con.fetch(
            "SELECT DISTINCT family_id FROM refresh_tokens"
            " WHERE family_id = ANY($1::uuid[]) AND revoked_at IS NOT NULL",
            families,
        )
    return [row["family_id"] for row in rows]


async def prune_refresh_tokens(database: Database, before: datetime) -> int:
    """Removes the tokens that expired before a moment; answers how many."""
    async with connection(database) as con:
        return await prune_in_batches(
            con,
            "DELETE FROM refresh_tokens WHERE ctid IN"
            " (SELECT ctid FROM refresh_tokens WHERE expires_at < $1 LIMIT $2)",
            before,
        )


async def set_api_key(database: Database, user_id: UUID, key_hash: str) -> None:
    """The account's only API key from now on, known by its hash. Raises NoSuchUser."""
    async with connection(database) as con:
        done = await con.execute(
            "UPDATE users SET api_key_hash = $2 WHERE id = $1", user_id, key_hash
        )
    if done != "UPDATE 1":
        raise NoSuchUser("the account is gone")


async def user_of_api_key(database: Database, key_hash: str) -> UUID | None:
    """Whose key this is; None for an unknown or a replaced one."""
    async with connection(database) as con:
        user_id: UUID | None = await con.fetchval(
            "SELECT id FROM users WHERE api_key_hash = $1", key_hash
        )
    return user_id


async def _lock_family(con: Connection, token_hash: str) -> UUID | None:
    """The family of a token, nobody else's until the end of the transaction."""
    family_id: UUID | None = await con.fetchval(
        "SELECT family_id FROM refresh_tokens WHERE token_hash = $1", token_hash
    )
    if family_id is not None:
        await con.execute(
            "SELECT pg_advisory_xact_lock($1::int, hashtext($2))", _FAMILY_LOCK, str(family_id)
        )
    return family_id


async def _revoke(con: Connection, family_id: UUID) -> None:
    await con.execute(
        "UPDATE refresh_tokens SET revoked_at = now() WHERE family_id = $1 AND revoked_at IS NULL",
        family_id,
    )


async def _insert(
    con: Connection, user_id: UUID, family_id: UUID, token_hash: str, expires_at: datetime
) -> None:
    await con.execute(
        "INSERT INTO refresh_tokens (id, user_id, family_id, token_hash, expires_at)"
        " VALUES ($1, $2, $3, $4, $5)",
        uuid4(),
        user_id,
        family_id,
        token_hash,
        expires_at,
    )
