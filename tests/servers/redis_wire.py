"""redis-py on the in-memory Redis: its real client, pool, pipelines and retries over no socket.

A Link is the network between a client and the server; the plain one has no delays and no faults.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

from redis._parsers import BaseParser
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.redis_client import BLIPS, retry_policy
from tests.servers.memory_redis import Command, MemoryRedis, Session
from tests.servers.redis_values import Reply, ReplyError


class Link(Protocol):
    """A way to the server. Every method may take its time, and may raise OSError."""

    async def connect(self) -> Session:
        """A new connection."""

    async def send(self, session: Session, commands: Sequence[Command]) -> None:
        """Brings commands to the server; what it answers can be read when this returns."""


class PlainLink:
    """The server is at hand."""

    def __init__(self, server: MemoryRedis) -> None:
        self._server = server

    async def connect(self) -> Session:
        return self._server.connect()

    async def send(self, session: Session, commands: Sequence[Command]) -> None:
        for command in commands:
            session.send(command)


class MemoryConnection(AbstractConnection):
    """One connection of redis-py, over a link instead of a socket."""

    def __init__(self, *, link: Link, **options: Any) -> None:
        super().__init__(**{**options, "lib_name": None, "lib_version": None})
        self._link = link
        self._session: Session | None = None

    def repr_pieces(self) -> list[tuple[str, str]]:
        return [("server", "memory")]

    def _host_error(self) -> str:
        return "the server in memory"

    @property
    def is_connected(self) -> bool:
        return self._session is not None

    @property
    def has_gone(self) -> bool:
        """Whether the server has closed it since it was used."""
        return self._session is not None and self._session.closed

    async def _connect(self) -> None:
        self._session = await self._link.connect()

    async def on_connect(self) -> None:
        """There is nothing to agree upon."""

    async def disconnect(self, nowait: bool = False) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def pack_command(self, *args: Any) -> list[Any]:
        name = args[0].encode() if isinstance(args[0], str) else args[0]
        return [tuple(name.split()) + tuple(map(self._word, args[1:]))]

    def _word(self, word: Any) -> bytes:
        if type(word) is bytes:
            return word
        if type(word) is str:
            return word.encode()
        encode: Callable[[Any], bytes] = self.encoder.encode
        return bytes(encode(word))

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[Any]:
        return [packed for words in commands for packed in self.pack_command(*words)]

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        if self._session is None:
            connect: Callable[[], Awaitable[None]] = self.connect
            await connect()
        assert self._session is not None
        try:
            await self._link.send(self._session, command)
        except OSError as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(f"Error while writing: {error}") from error
        except BaseException:
            await self.disconnect(nowait=True)
            raise

    async def can_read_destructive(self) -> bool:
        if self._session is None:
            return False
        if self._session.closed:
            await self.disconnect(nowait=True)
            raise RedisConnectionError("the connection was closed")
        return bool(self._session.replies)

    async def read_response(
        self,
        disable_decoding: bool = False,
        timeout: float | None = None,
        *,
        disconnect_on_error: bool = True,
        push_request: bool | None = False,
    ) -> Any:
        session = self._session
        if session is None:
            raise RedisConnectionError("not connected")
        try:
            if session.replies:
                reply = session.replies.popleft()
            else:
                async with asyncio.timeout(self.socket_timeout if timeout is None else timeout):
                    reply = await session.receive()
        except TimeoutError as error:
            if timeout is not None:
                return None
            if disconnect_on_error:
                await self.disconnect(nowait=True)
            raise RedisTimeoutError("Timeout reading from the server in memory") from error
        except OSError as error:
            if disconnect_on_error:
                await self.disconnect(nowait=True)
            raise RedisConnectionError(f"Error while reading: {error}") from error
        except BaseException:
            if disconnect_on_error:
                await self.disconnect(nowait=True)
            raise
        answer = _parsed(reply)
        if isinstance(answer, Exception):
            raise answer
        return answer


_error_of: Callable[[str], Exception] = BaseParser.parse_error


def _parsed(reply: Reply) -> Any:
    if isinstance(reply, ReplyError):
        return _error_of(str(reply))
    if isinstance(reply, list):
        return [_parsed(each) for each in reply]
    return reply


class MemoryPool(ConnectionPool):
    """Connections that nobody waits for: redis-py's own pools cost more than the server here."""

    async def get_connection(
        self, command_name: str | None = None, *keys: Any, **options: Any
    ) -> MemoryConnection:
        idle: list[Any] = self._available_connections
        make: Callable[[], MemoryConnection] = self.make_connection
        connection = idle.pop() if idle else make()
        if connection.has_gone:
            await connection.disconnect()
        if not connection.is_connected:
            connect: Callable[[], Awaitable[None]] = connection.connect
            try:
                await connect()
            except BaseException:
                idle.append(connection)
                raise
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        self._available_connections.append(connection)


def memory_pool(link: Link, timeout_s: int = 5) -> MemoryPool:
    """Connections as adapters.redis_client.open_redis has them, over a link."""
    return MemoryPool(
        connection_class=MemoryConnection,
        link=link,
        socket_timeout=timeout_s,
        retry=retry_policy(),
        retry_on_error=BLIPS,
    )


def memory_client(link: Link) -> Redis:
    """What adapters.redis_client.open_redis gives, over a link."""
    return Redis.from_pool(memory_pool(link))


def open_memory_redis() -> Redis:
    """A client of a server of its own, by the clock of this machine."""
    return memory_client(PlainLink(MemoryRedis(time.time, "f" * 40)))
