"""A pool of connections whose usual case costs nothing: one is free, and nothing lies in it unread.

redis-py's own takes a lock, starts two timers and reads from the socket each time, which was a
tenth of a worker's time. Whatever is not the usual case is still its business: connecting, waiting
for a place, and connections that the server has closed or on which something is left over.
"""

import asyncio
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import hiredis
from redis._parsers.hiredis import _AsyncHiredisParser
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection

_bytes_of: Callable[[asyncio.StreamReader], bytearray] = attrgetter("_buffer")
_answers_of: Callable[[_AsyncHiredisParser], hiredis.Reader] = attrgetter("_reader")
"""What has come and was not read: from the socket, and of that by the parser."""


class QuickPool(BlockingConnectionPool):
    """Bounded; who finds it full waits in line."""

    _waiting = 0

    async def get_connection(
        self, command_name: Any = None, *keys: Any, **options: Any
    ) -> AbstractConnection:
        """A connection that is ready to send; the newest one that was given back."""
        if not self._waiting and self._available_connections:
            connection: AbstractConnection = self._available_connections[-1]
            if _is_ready(connection):
                self._in_use_connections.add(self._available_connections.pop())
                return connection
        self._waiting += 1
        try:
            slow: AbstractConnection = await super().get_connection()
        finally:
            self._waiting -= 1
        return slow

    async def release(self, connection: AbstractConnection) -> None:
        """Gives it back; who waits is woken.

        Both happen also where the caller is canceled meanwhile: a place that is lost is lost for
        good, and a waiter that is not woken waits for nothing.
        """
        self._in_use_connections.remove(connection)
        self._available_connections.append(connection)
        if self._waiting:
            await asyncio.shield(self._wake_one())

    async def _wake_one(self) -> None:
        async with self._condition:
            self._condition.notify()


def _is_ready(connection: AbstractConnection) -> bool:
    """Connected, not closed by the server, and with no answer in it that nobody has read."""
    stream, parser = connection._reader, connection._parser
    if stream is None or not isinstance(parser, _AsyncHiredisParser) or not parser._connected:
        return False
    is_open = not stream.at_eof() and stream.exception() is None
    return is_open and not _bytes_of(stream) and not _answers_of(parser).has_data()
