"""A WebSocket client that only reads, for thousands of messages a second in one process.

A library takes some 40 us for a message, which would measure the library. This one knows just what
a server sends that compresses and fragments nothing (RFC 6455): whole texts, pings, a close.
"""

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable
from typing import Final, cast

from bench.stack import BenchError

_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A
_MASKED: Final = 0x80
_SHORT_MAX: Final = 125
_TWO_BYTES, _EIGHT_BYTES = 126, 127


class PlainSocket(asyncio.Protocol):
    """One connection; on_text gets each message as it arrives."""

    def __init__(self, request: bytes, on_text: Callable[[bytes], None]) -> None:
        self._request = request
        self._on_text = on_text
        self._unread = b""
        self._transport: asyncio.WriteTransport | None = None
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks for the upgrade."""
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells whoever waits for the end."""
        self._end(f"the connection was lost: {exc}")

    def data_received(self, data: bytes) -> None:
        """Whole frames are handed on, the rest of one is kept."""
        data = self._unread + data if self._unread else data
        if not self.connected.done():
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._unread = head
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self.connected.set_exception(BenchError(head.splitlines()[0].decode()))
                return
            self.connected.set_result(None)
        self._unread = data[self._frames(data) :]

    def _frames(self, data: bytes) -> int:
        """Takes what is whole; where the rest begins."""
        at = 0
        while at + 2 <= len(data):
            length, begin = data[at + 1], at + 2
            if length > _SHORT_MAX:
                begin += 2 if length == _TWO_BYTES else 8
                length = int.from_bytes(data[at + 2 : begin], "big")
            if begin + length > len(data):
                break
            self._take(data[at], data[begin : begin + length])
            at = begin + length
        return at

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == _TEXT:
            self._on_text(payload)
        elif kind == _PING and self._transport is not None:
            # masked with zeros, which leave it as it is
            self._transport.write(bytes([_PONG, _MASKED | len(payload)]) + bytes(4) + payload)
        elif kind == _CLOSE:
            self._end(f"closed with {int.from_bytes(payload[:2], 'big')} {payload[2:].decode()}")
        else:
            self._end(f"a frame of kind {kind:#x}")

    def _end(self, why: str) -> None:
        if not self.connected.done():
            self.connected.set_exception(BenchError(why))
        if not self.ended.done():
            self.ended.set_result(why)


async def plain_socket(
    host: str, port: int, path: str, on_text: Callable[[bytes], None]
) -> PlainSocket:
    """A connected one. Raises BenchError where it is refused."""
    key = b64encode(os.urandom(16)).decode()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(
        lambda: PlainSocket(request.encode(), on_text), host, port
    )
    await socket.connected
    return socket
