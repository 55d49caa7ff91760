"""The real PostgreSQL beside the simulation: real connections on a real event loop of their own.

Whatever is asked here is answered before anything else happens in the simulation.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeAlias, TypeVar

import asyncpg
import uvloop
from tortoise.context import TortoiseContext

from adapters.db.connection import CONNECTION_NAME, parse_address, tortoise_config

T = TypeVar("T")
Real: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_CLOCK = """
CREATE SCHEMA IF NOT EXISTS virtual;
CREATE OR REPLACE FUNCTION virtual.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT current_setting('virtual.now')::timestamptz $$;
"""
_FIND_TABLES = """
SELECT tablename FROM pg_tables
WHERE schemaname = 'public' AND tablename NOT LIKE '%migration%' ORDER BY tablename
"""


class RealSide:
    """A database, emptied for each run; connections are kept over many runs."""

    def __init__(self, url: str) -> None:
        self.address = parse_address(url)
        self._loop = uvloop.new_event_loop()
        self._loop.set_exception_handler(lambda *_: None)  # says that a lost client was at work
        self._idle: list[Real] = []
        self.context, self.client = self.run(self._orm())
        self.execute(_CLOCK)
        tables = [row[0] for row in self.ask(_FIND_TABLES)]
        self.execute("".join(f"ALTER TABLE {t} SET (autovacuum_enabled = off);" for t in tables))
        # in whatever order: the keys between them are not looked at
        self._empty = "SET session_replication_role = replica;"
        self._empty += "".join(map("DELETE FROM {};".format, tables))
        self._empty += "RESET session_replication_role"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something on the real loop to its end, whatever loop runs outside."""
        outside = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return self._loop.run_until_complete(work)
        finally:
            asyncio._set_running_loop(outside)

    def lend(self) -> Real:
        """A connection in its first state."""
        return self._idle.pop() if self._idle else self.run(self._connect())

    def take_back(self, con: Real) -> None:
        """Ends whatever its client was at, as the server does when a client has gone."""
        self.run(con.reset())
        self._idle.append(con)

    def empty(self) -> None:
        """Takes out everything that a run before has left."""
        self.execute(self._empty)

    def execute(self, statements: str) -> None:
        """Statements of the simulation itself: no network, no time."""
        con = self.lend()
        self.run(con.execute(statements))
        self._idle.append(con)

    def ask(self, question: str, *values: Any) -> list[asyncpg.Record]:
        """Rows of a question of the simulation itself."""
        con = self.lend()
        rows = self.run(con.fetch(question, *values))
        self._idle.append(con)
        return rows

    def close(self) -> None:
        """Ends every connection."""
        for con in self._idle:
            self.run(con.close())
        self._loop.close()

    async def _orm(self) -> tuple[TortoiseContext, Any]:
        context = TortoiseContext()
        with context:
            await context.init(config=tortoise_config(self.address))
            return context, context.db(CONNECTION_NAME)

    async def _connect(self) -> Real:
        at = self.address
        return await asyncpg.connect(
            host=at.host,
            port=at.port,
            user=at.user,
            password=at.password,
            database=at.database,
            server_settings={
                # while the simulated clock stands still, a lock that is held stays held
                "lock_timeout": "1",
                "search_path": "virtual, pg_catalog, public",
                "timezone": "UTC",
                "client_min_messages": "warning",
                "jit": "off",
            },
        )
