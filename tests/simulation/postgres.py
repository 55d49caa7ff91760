"""PostgreSQL under virtual time: each statement runs for real while the simulated clock stands.

What asyncpg and the server do in real time is done here in virtual time: the pool's limit, waiting
for a lock, the server's clock, the end of a client that died.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeVar

import asyncpg

from adapters.db.connection import LOCK_MS, POOL_MAX, Database
from tests.simulation.real_side import Real, RealSide
from tests.simulation.virtual_loop import Process, pass_time, present_process
from tests.simulation.wire import Wire

T = TypeVar("T")

_LOCK_RETRY_S = 0.02


@dataclass
class _Places:
    """What one process has of the pool."""

    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(POOL_MAX))
    idle: list["Connection"] = field(default_factory=list)


class Pool:
    """Stands where asyncpg's pool stands, for every simulated process at once."""

    def __init__(self, side: RealSide, wire: Wire) -> None:
        self.side = side
        self.wire = wire
        self.away = False
        """The server refuses and drops every connection."""
        self.open: dict[Connection, None] = {}
        self._places: dict[Process, _Places] = {}

    def database(self) -> Database:
        """A database as a process opens it."""
        self.side.client._pool = self
        return Database(self.side.address, self.side.client, self.side.context)

    async def acquire(self, *, timeout: float | None = None) -> "Connection":
        places = self._places.setdefault(present_process(), _Places())
        async with asyncio.timeout(timeout):
            await places.room.acquire()
        while places.idle:
            con = places.idle.pop()
            if not con.closed:
                return con
        try:
            await self.wire.before(("connect",))
            if self.away:
                raise ConnectionRefusedError("PostgreSQL is away")
            await self.wire.after(("connect",))
        except BaseException:
            places.room.release()
            raise
        return Connection(self)

    async def release(self, con: "Connection", *, timeout: float | None = None) -> None:
        places = self._places[present_process()]
        if not con.closed:
            if con.real.is_in_transaction():
                con.close()
            else:
                places.idle.append(con)
        places.room.release()

    def drop_all(self) -> None:
        """The server ends: every connection breaks."""
        for con in list(self.open):
            con.close()


class Connection:
    """Stands where an asyncpg connection stands."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.closed = False
        self.real: Real = pool.side.lend()
        pool.open[self] = None
        pool.wire.own(self)

    def close(self) -> None:
        """From the outside: the server ends what was under way."""
        if not self.closed:
            self.closed = True
            del self._pool.open[self]
            self._pool.side.take_back(self.real)

    terminate = close

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        return await self._ask(query, lambda: self.real.execute(query, *args, **options))

    async def fetch(self, query: str, *args: Any, **options: Any) -> list[asyncpg.Record]:
        return await self._ask(query, lambda: self.real.fetch(query, *args, **options))

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> asyncpg.Record | None:
        return await self._ask(query, lambda: self.real.fetchrow(query, *args, **options))

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return await self._ask(query, lambda: self.real.fetchval(query, *args, **options))

    async def executemany(self, query: str, args: Any, **options: Any) -> None:
        rows = list(args)
        await self._ask(query, lambda: self.real.executemany(query, rows, **options))

    async def copy_records_to_table(self, table: str, *, records: Any, **options: Any) -> str:
        rows = [row async for row in records] if hasattr(records, "__aiter__") else list(records)
        return await self._ask(
            f"COPY {table}",
            lambda: self.real.copy_records_to_table(table, records=rows, **options),
        )

    def transaction(self) -> "Transaction":
        return Transaction(self)

    async def _ask(self, query: str, call: Callable[[], Awaitable[T]]) -> T:
        return await self.exchange(("sql", query.lstrip().split(maxsplit=1)[0]), query, call)

    async def exchange(
        self, what: tuple[str, ...], query: str, call: Callable[[], Awaitable[T]]
    ) -> T:
        """One statement, with all that may happen on the way to the server and back."""
        if self.closed:
            raise asyncpg.InterfaceError("the connection is closed")
        wire = self._pool.wire
        try:
            await wire.before(what)
            if self._pool.away:
                raise ConnectionResetError("PostgreSQL is away")
            result = await self._wait_for_locks(query, call)
            await wire.after(what)
        except ConnectionResetError as error:
            self.close()
            raise asyncpg.ConnectionDoesNotExistError(
                "connection was closed in the middle of operation"
            ) from error
        if self.closed:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed by the server")
        return result

    async def _wait_for_locks(self, query: str, call: Callable[[], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        until = loop.time() + LOCK_MS / 1000
        while True:
            try:
                return self._pool.side.run(self._run(query, call))
            except asyncpg.LockNotAvailableError:
                if loop.time() >= until:
                    raise
            await pass_time(_LOCK_RETRY_S)
            if self.closed:
                raise ConnectionResetError("closed while it waited for a lock")

    async def _run(self, query: str, call: Callable[[], Awaitable[T]]) -> T:
        """The statement itself. In a transaction that may have to wait for another one it is
        guarded, so that it can be tried again: here waiting for a lock is an error at once. Where
        transactions begin and end nothing waits, and a guard would come between them.
        """
        if "clock_timestamp" in query:
            now = datetime.fromtimestamp(self._pool.wire.loop.now, UTC).isoformat()
            await self.real.execute("SELECT set_config('virtual.now', $1, false)", now)
        inside = bool(query) and self.real.is_in_transaction()
        if not inside or not self._others_are_in_transactions():
            return await call()
        await self.real.execute("SAVEPOINT waiting")
        try:
            result = await call()
        except asyncpg.LockNotAvailableError:
            await self.real.execute("ROLLBACK TO SAVEPOINT waiting")
            raise
        if self.real.is_in_transaction():  # and not at its end
            await self.real.execute("RELEASE SAVEPOINT waiting")
        return result

    def _others_are_in_transactions(self) -> bool:
        return any(con is not self and con.real.is_in_transaction() for con in self._pool.open)


class Transaction:
    """Stands where asyncpg's transaction stands."""

    def __init__(self, con: Connection) -> None:
        self._con = con
        self._real = con.real.transaction()

    async def start(self) -> None:
        await self._con.exchange(("BEGIN",), "", self._real.start)

    async def commit(self) -> None:
        await self._con.exchange(("COMMIT",), "", self._real.commit)

    async def rollback(self) -> None:
        await self._con.exchange(("ROLLBACK",), "", self._real.rollback)

    async def __aenter__(self) -> None:
        await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.commit()
        else:
            await self.rollback()
