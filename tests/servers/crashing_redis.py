"""A Redis that can be made to lose what it was told last: a real one, and the one in memory.

`keep` marks what the server will still have after the next crash; without it that is nothing.
"""

import os
import signal
from pathlib import Path
from typing import Protocol

from adapters.embedded_redis import EmbeddedRedis
from adapters.redis_client import Redis, command, open_redis
from tests.servers.memory_redis import MemoryRedis
from tests.servers.redis_values import Keyspace
from tests.servers.redis_wire import PlainLink, memory_client


class CrashingRedis(Protocol):
    """A server that dies on demand."""

    async def start(self) -> None:
        """Starts it with what was kept, as another run."""

    def open(self) -> Redis:
        """A client, for any number of lives of the server."""

    async def keep(self) -> None:
        """What it has now survives the next crash."""

    async def crash(self) -> None:
        """Ends it at once."""


class CrashingRealRedis:
    """redis-server with a file that it writes on demand alone."""

    def __init__(self, folder: Path) -> None:
        self._server = EmbeddedRedis(folder, durable=False)
        self._url = ""

    async def start(self) -> None:
        self._url = await self._server.start()

    async def stop(self) -> None:
        """Ends it for good."""
        await self._server.stop()

    def open(self) -> Redis:
        return open_redis(self._url)

    async def keep(self) -> None:
        async with self.open() as client:
            await command(client, "SAVE")

    async def crash(self) -> None:
        assert self._server.pid is not None
        os.kill(self._server.pid, signal.SIGKILL)
        await self._server.stop()


class CrashingMemoryRedis:
    """The same in this process."""

    def __init__(self, server: MemoryRedis) -> None:
        self.server = server
        self._kept = Keyspace(server.now)
        self._runs = 0

    async def start(self) -> None:
        if not self.server.up:
            self._runs += 1
            self.server.start(f"{self._runs:040x}", self._kept.snapshot())

    def open(self) -> Redis:
        return memory_client(PlainLink(self.server))

    async def keep(self) -> None:
        self._kept = self.server.keys.snapshot()

    async def crash(self) -> None:
        self.server.crash()
