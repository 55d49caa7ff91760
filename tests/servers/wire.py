"""HTTP/1.1 on bare sockets, for servers that have to misbehave: stall, break off, say nonsense."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

DRIP_S = 0.05


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]

    def values(self, name: str) -> list[str]:
        """All values of a query parameter."""
        return [value for key, value in self.query if key == name]


Handle = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


class WireServer:
    """Takes connections on a port of this machine and counts them."""

    def __init__(self, handle: Handle) -> None:
        self.connections = 0
        self._handle = handle
        self._server: asyncio.Server | None = None
        self._writers: dict[asyncio.StreamWriter, asyncio.StreamReader] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self, port: int = 0) -> None:
        """Listens; on the port of before when it is started again."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port or self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuses connections from now on and breaks off those there are."""
        if self._server is not None:
            self._server.close()
            self.break_off()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    def reader_of(self, writer: asyncio.StreamWriter) -> asyncio.StreamReader:
        """What a client still says, which is its end."""
        return self._writers[writer]

    def break_off(self) -> None:
        """Resets every connection, in the middle of whatever it says."""
        for writer in list(self._writers):
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers[writer] = reader
        try:
            while (asked := await _read(reader)) is not None:
                await self._handle(asked, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            del self._writers[writer]
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode().rstrip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = dict(line.split(": ", 1) for line in lines)
    parts = urlsplit(target)
    query = parse_qsl(parts.query, keep_blank_values=True)
    return Asked(method, parts.path, query, {k.lower(): v for k, v in headers.items()})


def respond(
    writer: asyncio.StreamWriter,
    status: int,
    body: bytes,
    kind: str = "application/json",
    headers: dict[str, str] | None = None,
) -> None:
    """A whole answer."""
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
    writer.write(head.encode() + more.encode() + b"\r\n" + body)


def begin_stream(writer: asyncio.StreamWriter, kind: str = "text/event-stream") -> None:
    """The head of an answer that goes on in chunks."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncache-control: no-cache\r\n"
    writer.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode())


def write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    """One chunk; an empty one ends the answer."""
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An answer without end, a byte at a time, until the client has had enough."""
    begin_stream(writer, "application/json")
    while not writer.is_closing():
        write_chunk(writer, b" ")
        try:
            if not await asyncio.wait_for(reader.read(1), DRIP_S):
                return
        except TimeoutError:
            continue
