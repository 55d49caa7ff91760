"""HTTP/1.1 to one server over a bounded pool of connections: asyncio and h11, nothing else.

A container with one agent is to cost as little as a Python process can; a client library of the
usual size would double it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import h11

CONNECTIONS_MAX = 100
CONNECT_S = 2.0
WAIT_S = 2.0
ANSWER_S = 10.0
KEPT_OPEN_S = 3.0
"""Shorter than the hub keeps idle connections, so that a call rarely meets one that just ended."""
ANSWER_BYTES_MAX = 8 * 2**20
_CHUNK_BYTES = 65_536


class NetworkError(Exception):
    """There is no answer."""


class NotReachable(NetworkError):
    """No connection, or it broke."""


class TooSlow(NetworkError):
    """Sent, and not answered in time: the outcome is unknown."""


class TooMany(NetworkError):
    """Every connection of the pool is in use."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Network(Protocol):
    """Whatever carries a request to the server and brings its answer."""

    async def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Heard: ...
    async def aclose(self) -> None: ...


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))
    idle_since: float = 0.0

    def close(self) -> None:
        self.writer.close()


class HttpNetwork:
    """Keeps connections to one address open between calls."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        assert parts.hostname is not None
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._secure else 80)
        self._name = parts.netloc.rpartition("@")[2]
        self._path = parts.path.rstrip("/")
        self._idle: deque[_Connection] = deque()
        self._free = asyncio.Semaphore(CONNECTIONS_MAX)

    async def aclose(self) -> None:
        """Ends every connection that waits."""
        while self._idle:
            self._idle.pop().close()

    async def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Heard:
        """One request. Raises NetworkError."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._free.acquire()
        except TimeoutError as error:
            raise TooMany from error
        try:
            request = h11.Request(
                method=method,
                target=self._path + target,
                headers=[
                    ("Host", self._name),
                    ("Content-Length", str(len(body))),
                    *headers.items(),
                ],
            )
            return await self._exchange(request, body)
        finally:
            self._free.release()

    async def _exchange(self, request: h11.Request, body: bytes) -> Heard:
        kept = self._kept()
        if kept is not None:
            try:
                return await self._on(kept, request, body)
            except NotReachable:
                pass  # it had been closed meanwhile; a new one decides
        return await self._on(await self._connect(), request, body)

    def _kept(self) -> _Connection | None:
        """A connection that is young enough, the newest first; older ones are closed."""
        now = time.monotonic()
        while self._idle and now - self._idle[0].idle_since > KEPT_OPEN_S:
            self._idle.popleft().close()
        return self._idle.pop() if self._idle else None

    async def _connect(self) -> _Connection:
        ssl = None
        if self._secure:
            import ssl as tls  # some megabytes, for those who speak it

            ssl = tls.create_default_context()
        try:
            async with asyncio.timeout(CONNECT_S):
                return _Connection(*await asyncio.open_connection(self._host, self._port, ssl=ssl))
        except (OSError, TimeoutError) as error:
            raise NotReachable(str(error)) from error

    async def _on(self, connection: _Connection, request: h11.Request, body: bytes) -> Heard:
        reusable = False
        try:
            async with asyncio.timeout(ANSWER_S):
                heard = await _talk(connection, request, body)
            reusable = connection.http.our_state is connection.http.their_state is h11.DONE
            return heard
        except TimeoutError as error:
            raise TooSlow from error
        except (OSError, h11.ProtocolError) as error:
            raise NotReachable(str(error)) from error
        finally:
            if reusable:
                connection.http.start_next_cycle()
                connection.idle_since = time.monotonic()
                self._idle.append(connection)
            else:
                connection.close()


async def _talk(connection: _Connection, request: h11.Request, body: bytes) -> Heard:
    http, writer = connection.http, connection.writer
    parts = [http.send(request), http.send(h11.Data(body)) if body else b""]
    parts.append(http.send(h11.EndOfMessage()))
    writer.write(b"".join(part for part in parts if part))
    await writer.drain()
    status, headers, chunks, size = 0, {}, [], 0
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await connection.reader.read(_CHUNK_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.Data):
            size += len(event.data)
            if size > ANSWER_BYTES_MAX:
                raise OSError("the answer is too long")
            chunks.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            return Heard(status, headers, b"".join(chunks))
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionResetError("closed without an answer")
