"""Accounts. What lets them in besides their password is in adapters/db/logins.py."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast
from uuid import UUID, uuid4

import asyncpg

from adapters.db import models
from adapters.db.connection import Database, connection, orm, transaction
from adapters.db.errors import EmailTaken
from adapters.db.quotas import DEFAULTS, Quotas

Role = Literal["operator", "user"]

_FIRST_ACCOUNT_LOCK = 0x41525501
"""Advisory lock under which an account is made, so that only one is the first."""


@dataclass(frozen=True, slots=True)
class User:
    """An account. email is lower case; message_seq numbers the newest trade or log message; halt is
    the strictest of its own (engine.rows.Halt)."""

    id: UUID
    email: str
    password_hash: str
    role: Role
    message_seq: int
    created_at: datetime
    halt: int = 0
    quotas: Quotas = DEFAULTS

    def __repr__(self) -> str:
        return f"User({self.id}, {self.role})"  # the hash belongs in no log


@dataclass(frozen=True, slots=True)
class Account:
    """An account as operators see it. halt is engine.rows.Halt, the strictest of its own; agents
    and plans are how many it has, those that are being deleted among them.
    """

    id: UUID
    email: str
    role: Role
    halt: int
    quotas: Quotas
    agents: int
    plans: int


_ACCOUNTS = (
    "SELECT id, email, role, greatest(halt, halt_by_operator) AS halt, agents_quota, plans_quota,"
    " requests_quota, (SELECT count(*) FROM agents WHERE user_id = users.id) AS agents,"
    " (SELECT count(*) FROM plans WHERE made_by = users.id) AS plans FROM users"
    " WHERE ($1::uuid IS NULL OR id = $1) AND ($2::text IS NULL OR email = $2)"
    " AND ($3::uuid IS NULL OR id > $3) ORDER BY id LIMIT $4"
)


async def accounts(
    database: Database, email: str | None, after: UUID | None, limit: int
) -> list[Account]:
    """Accounts by id, or the one of an address."""
    address = None if email is None else normal_email(email)
    async with connection(database) as con:
        return [_account(row) for row in await con.fetch(_ACCOUNTS, None, address, after, limit)]


async def account(database: Database, user_id: UUID) -> Account | None:
    """One of them."""
    async with connection(database) as con:
        found = await con.fetchrow(_ACCOUNTS, user_id, None, None, 1)
    return None if found is None else _account(found)


async def create_user(database: Database, email: str, password_hash: str) -> User:
    """Makes an account; the first one of all is the operator.

    Raises:
        EmailTaken: another account has this address, in whatever case.
    """
    try:
        async with transaction(database) as con:
            await con.execute("SELECT pg_advisory_xact_lock($1)", _FIRST_ACCOUNT_LOCK)
            row = await con.fetchrow(
                "INSERT INTO users (id, email, password_hash, role) SELECT $1, $2, $3,"
                " CASE WHEN EXISTS (SELECT FROM users) THEN 'user' ELSE 'operator' END"
                " RETURNING id, email, password_hash, role, message_seq, created_at",
                uuid4(),
                normal_email(email),
                password_hash,
            )
    except asyncpg.UniqueViolationError as error:
        raise EmailTaken("another account has this e-mail address") from error
    assert row is not None
    return User(**dict(row))


async def find_by_email(database: Database, email: str) -> User | None:
    """The account of an address, in whatever case it was typed."""
    async with orm(database):
        found = await models.User.get_or_none(email=normal_email(email))
    return _user(found)


async def get(database: Database, user_id: UUID) -> User | None:
    """One account."""
    async with orm(database):
        found = await models.User.get_or_none(id=user_id)
    return _user(found)


def normal_email(email: str) -> str:
    """The form in which addresses are stored and compared."""
    return email.strip().lower()


def _account(found: asyncpg.Record) -> Account:
    return Account(
        id=found["id"],
        email=found["email"],
        role=found["role"],
        halt=found["halt"],
        quotas=Quotas(found["agents_quota"], found["plans_quota"], found["requests_quota"]),
        agents=found["agents"],
        plans=found["plans"],
    )


def _user(found: models.User | None) -> User | None:
    if found is None:
        return None
    return User(
        id=found.id,
        email=found.email,
        password_hash=found.password_hash,
        role=cast(Role, found.role),
        message_seq=found.message_seq,
        created_at=found.created_at,
        halt=max(found.halt, found.halt_by_operator),
        quotas=Quotas(found.agents_quota, found.plans_quota, found.requests_quota),
    )
