"""Tortoise's way to PostgreSQL through asyncpg, with the bounds that it lacks.

A statement that takes too long is given up; asyncpg then asks the server to cancel it, and waits
for that before it gives the connection back. A server that hangs does not answer this either, so
such a connection is ended at once, and its place in the pool is free.
"""

import asyncio
from types import TracebackType
from typing import Any, Final

from tortoise.backends.asyncpg.client import AsyncpgDBClient
from tortoise.backends.base.client import PoolConnectionWrapper

ACQUIRE_S: Final = 5.0
"""For a place in the pool, and a connection to fill it."""
RELEASE_S: Final = 2.0
UNKNOWN = (TimeoutError, asyncio.CancelledError)
"""What leaves a statement behind that may still run."""


class BoundedLease(PoolConnectionWrapper[Any]):
    """One connection of the pool for as long as it is used."""

    async def __aenter__(self) -> Any:
        await self.ensure_connection()
        self.connection = await self.client._pool.acquire(timeout=ACQUIRE_S)
        return self.connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.connection is not None and isinstance(error, UNKNOWN):
            self.connection.terminate()
        await self.client._pool.release(self.connection, timeout=RELEASE_S)


class BoundedClient(AsyncpgDBClient):
    """Tortoise's client of one database."""

    def acquire_connection(self) -> BoundedLease:
        """A connection for `async with`; TimeoutError where there is none in time."""
        return BoundedLease(self, self._pool_init_lock)


client_class = BoundedClient
"""What Tortoise looks for in an engine."""
