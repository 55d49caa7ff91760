"""The way to PostgreSQL: one bounded pool for each process, shared by Tortoise and plain SQL.

Everything waits for a bounded time: for a place in the pool, for a connection, for a lock, for
a statement. The server ends a transaction whose owner has gone quiet, so that a stopped process
holds no lock for long. What goes wrong on the way comes out as adapters.db.errors.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from tortoise.context import TortoiseContext
from tortoise.exceptions import DBConnectionError

from adapters.db.engine import BoundedClient
from adapters.db.errors import DatabaseAway, DatabaseBusy, DatabaseRefused, DatabaseUrlError

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

SslMode: TypeAlias = Literal["disable", "prefer", "allow", "require", "verify-ca", "verify-full"]

POOL_MAX = 10
"""Connections of one process; with 20 processes this is what a default server takes."""
LOCK_HOLDERS_MAX = 2
CONNECT_S = 5.0
COMMAND_S = 30.0
LONG_S = 60.0
"""What a statement may take that is about all agents of an account: 100,000 take some seconds."""
STATEMENT_SHARE = 0.8
"""Of that time the server has so much; what it has not said by then is said by us."""
IDLE_CONNECTION_S = 300.0
LOCK_MS = 10_000
QUIET_TRANSACTION_MS = 15_000
"""A transaction that asks nothing for so long is ended by the server."""
CONNECTION_NAME = "default"

_SSL_MODES: dict[str, SslMode] = {mode: mode for mode in get_args(SslMode)}
_SCHEMES = {"postgres", "postgresql"}
_OPTIONS = {"host", "port", "user", "password", "sslmode"}


def _apps(credentials: dict[str, Any]) -> dict[str, Any]:
    return {
        "connections": {
            CONNECTION_NAME: {
                "engine": "adapters.db.engine",
                "credentials": credentials,
            }
        },
        "apps": {
            "artic": {
                "models": ["adapters.db.models"],
                "migrations": "adapters.db.migrations",
                "default_connection": CONNECTION_NAME,
            }
        },
    }


TORTOISE_ORM = _apps({"host": "localhost", "user": "artic", "password": None, "database": "artic"})
"""For `tortoise -c adapters.db.connection.TORTOISE_ORM makemigrations`, which connects nowhere."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where PostgreSQL is. host is a name, an address or the folder of a socket."""

    host: str
    port: int
    user: str
    password: str | None
    database: str
    ssl: SslMode | None = None

    def __repr__(self) -> str:
        return f"Address({self.user}@{self.host}:{self.port}/{self.database})"


def parse_address(url: str) -> Address:
    """Reads `postgresql://user:pw@host:5432/db` and `postgresql://user:pw@/db?host=/folder`.

    Raises:
        DatabaseUrlError: with a sentence that holds no password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise DatabaseUrlError("the database URL has no valid host or port") from error
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme not in _SCHEMES:
        raise DatabaseUrlError("the database URL must start with postgresql://")
    unknown = sorted(options.keys() - _OPTIONS)
    if unknown:
        raise DatabaseUrlError(f"the database URL has unknown options: {', '.join(unknown)}")
    database = unquote(parts.path.lstrip("/"))
    user = options.get("user") or unquote(parts.username or "")
    host = options.get("host") or unquote(parts.hostname or "")
    if not database or not user or not host:
        raise DatabaseUrlError("the database URL must name a user, a host and a database")
    number = options.get("port") or str(port or 5432)
    if not number.isdigit() or not 0 < int(number) < 65_536:
        raise DatabaseUrlError("the database URL has a wrong port")
    password = options.get("password", unquote(parts.password) if parts.password else None)
    sslmode = options.get("sslmode")
    if sslmode is not None and sslmode not in _SSL_MODES:
        raise DatabaseUrlError("the database URL has an unknown sslmode")
    ssl = _SSL_MODES[sslmode] if sslmode else None
    return Address(host, int(number), user, password, database, ssl)


def tortoise_config(
    address: Address, pool_max: int = POOL_MAX, command_s: float = COMMAND_S
) -> dict[str, Any]:
    """Tortoise's settings for an address, with every wait bounded."""
    credentials: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "user": address.user,
        "password": address.password,
        "database": address.database,
        "minsize": 0,
        "maxsize": pool_max,
        "timeout": CONNECT_S,
        "command_timeout": command_s,
        "max_inactive_connection_lifetime": IDLE_CONNECTION_S,
        "server_settings": server_settings(command_s),
    }
    if address.ssl is not None:
        credentials["ssl"] = address.ssl
    return _apps(credentials)


def server_settings(command_s: float = COMMAND_S) -> dict[str, str]:
    """What each session asks of the server."""
    return {
        "application_name": "artic",
        "timezone": "UTC",
        "client_min_messages": "warning",
        "jit": "off",  # every statement here is short
        "lock_timeout": str(LOCK_MS),
        "statement_timeout": str(int(command_s * STATEMENT_SHARE * 1000)),
        "idle_in_transaction_session_timeout": str(QUIET_TRANSACTION_MS),
        "tcp_keepalives_idle": "15",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }


@dataclass(slots=True, eq=False)
class Database:
    """An open way to the record. Make it with open_database, end it with close_database."""

    address: Address
    client: BoundedClient
    context: TortoiseContext
    command_s: float = COMMAND_S
    closed: bool = False
    lock_holders: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(LOCK_HOLDERS_MAX)
    )
    """Taken by whoever holds one connection for a lock while it uses others: if all of a pool did
    so at once, each would wait for a connection that only another could give back."""


async def open_database(
    url: str, *, pool_max: int = POOL_MAX, command_s: float = COMMAND_S
) -> Database:
    """Makes the pool; connects when it is first used, so that PostgreSQL may still be away.

    command_s: how long a statement may take, seconds.

    Raises:
        DatabaseUrlError: the URL cannot be used.
    """
    address = parse_address(url)
    context = TortoiseContext()
    with context:
        await context.init(config=tortoise_config(address, pool_max, command_s))
        client = context.db(CONNECTION_NAME)
    assert isinstance(client, BoundedClient)
    await client.create_connection(with_db=True)
    return Database(address, client, context, command_s)


async def close_database(database: Database) -> None:
    """Ends the pool; running statements get a short while to finish."""
    database.closed = True
    await database.context.close_connections()


async def ping(database: Database) -> None:
    """Asks one question of the server.

    Raises:
        DatabaseAway: it does not answer. DatabaseRefused: it answers, but not to us.
    """
    async with connection(database) as con:
        await con.fetchval("SELECT 1")


@asynccontextmanager
async def connection(database: Database) -> AsyncIterator[Connection]:
    """One connection of the pool for plain SQL; errors of the way come out typed."""
    _check_open(database)
    with typed_errors():
        async with database.client.acquire_connection() as con:
            yield con


@asynccontextmanager
async def orm(database: Database) -> AsyncIterator[None]:
    """Tortoise's models work inside, on this database; errors of the way come out typed."""
    _check_open(database)
    # a copy, because a context remembers who entered it and so bears one task at a time
    with typed_errors(), copy(database.context):
        async with asyncio.timeout(database.command_s):
            yield


@asynccontextmanager
async def transaction(database: Database) -> AsyncIterator[Connection]:
    """A connection inside a READ COMMITTED transaction, rolled back when the body raises."""
    async with connection(database) as con, con.transaction():
        yield con


@asynccontextmanager
async def long_transaction(database: Database) -> AsyncIterator[Connection]:
    """The same for statements about all agents of an account: give them `timeout=LONG_S`."""
    async with transaction(database) as con:
        await con.execute(f"SET LOCAL statement_timeout = {int(LONG_S * STATEMENT_SHARE * 1000)}")
        yield con


@contextmanager
def typed_errors() -> Iterator[None]:
    """Turns what a broken way to PostgreSQL raises into DatabaseAway and its kin."""
    try:
        yield
    except (
        asyncpg.DeadlockDetectedError,
        asyncpg.LockNotAvailableError,
        asyncpg.QueryCanceledError,
        asyncpg.SerializationError,
    ) as error:
        raise DatabaseBusy(f"PostgreSQL made us wait too long: {error}") from error
    except (
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidCatalogNameError,
        asyncpg.InsufficientPrivilegeError,
    ) as error:
        raise DatabaseRefused(f"PostgreSQL refuses us: {error}") from error
    except (
        OSError,  # TimeoutError is one
        DBConnectionError,
        asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError,
        asyncpg.InsufficientResourcesError,
        asyncpg.IdleInTransactionSessionTimeoutError,
        asyncpg.ReadOnlySQLTransactionError,  # a failover is going on
    ) as error:
        raise DatabaseAway(_sentence(error)) from error
    except asyncpg.InterfaceError as error:
        if not _lost(error):
            raise
        raise DatabaseAway(_sentence(error)) from error


def _check_open(database: Database) -> None:
    # Tortoise would quietly make a new pool, which nobody would close
    if database.closed:
        raise DatabaseAway("the way to PostgreSQL was closed by this process")


def _lost(error: asyncpg.InterfaceError) -> bool:
    # asyncpg has no type of its own for "the connection went away before the call"
    return not isinstance(error, ValueError) and "clos" in str(error)


def _sentence(error: BaseException) -> str:
    return f"PostgreSQL does not answer: {str(error) or type(error).__name__}"
