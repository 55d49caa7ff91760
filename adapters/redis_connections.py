"""Connections to Redis whose writes can be canceled.

redis-py bounds a write with asyncio.wait_for. On Python 3.11 that drops a cancellation which comes
in the same turn of the loop as the end of the write, so that a task that is told to stop goes on,
whoever waits for it waits for ever, and an asyncio.timeout around a command never strikes.
asyncio.timeout in its place has no such gap, and needs no task for each command.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError


class _CancelableWrites(AbstractConnection):
    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        """Writes what is already encoded, within the socket's timeout.

        Whatever ends it halfway ends the connection, too: a part of a command may be on the wire.
        """
        connect: Callable[[], Awaitable[None]] = self.connect
        check: Callable[[], Awaitable[None]] = self.check_health
        if not self.is_connected:
            await connect()
        elif check_health:
            await check()
        packed = command.encode() if isinstance(command, str) else command
        writer = self._writer
        if writer is None:
            raise RedisConnectionError("Redis broke off")
        try:
            async with asyncio.timeout(self.socket_timeout):
                writer.writelines([packed] if isinstance(packed, bytes) else packed)
                await writer.drain()
        except TimeoutError:
            await self.disconnect(nowait=True)
            raise RedisTimeoutError("Redis takes no more: writing timed out") from None
        except OSError as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(f"writing to Redis failed: {error}") from error
        except BaseException:
            await self.disconnect(nowait=True)
            raise


class _Tcp(_CancelableWrites, Connection):
    pass


class _Tls(_CancelableWrites, SSLConnection):
    pass


class _UnixSocket(_CancelableWrites, UnixDomainSocketConnection):
    pass


def cancelable(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """The same kind of connection, with writes that can be canceled.

    Raises:
        KeyError: it is none of those that a Redis URL stands for.
    """
    return {Connection: _Tcp, SSLConnection: _Tls, UnixDomainSocketConnection: _UnixSocket}[kind]
