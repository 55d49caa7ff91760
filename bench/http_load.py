"""Many HTTP/1.1 clients in one process, each sending its next request when the answer is there.

Written on bare protocols: a client library, or asyncio's streams, would cost more than the server
they measure. What these clients cost themselves is measured, too: a full core of it would mean
that the figures are theirs and not the server's.
"""

import asyncio
import itertools
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from bench.stack import BenchError

_LENGTH = b"\r\ncontent-length:"
_HEAD_END = b"\r\n\r\n"
MakeRequest = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Load:
    """Answers a second, latencies in milliseconds, and how much of a core the clients took."""

    per_second: float
    p50_ms: float
    p99_ms: float
    answers: int
    clients_cores: float


def request_bytes(
    method: str, path: str, *, token: str = "", body: object = None, host: str = "hub"
) -> bytes:
    """One request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    content = b"" if body is None else json.dumps(body).encode()
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def load(
    url: str, make: MakeRequest, *, clients: int, seconds: float = 0.0, answers: int = 0
) -> Load:
    """Sends for so many seconds, or until there were so many answers.

    Raises:
        BenchError: an answer was no success, or a connection ended.
    """
    where = urlsplit(url)
    host, port = where.hostname or "127.0.0.1", where.port or 80
    loop = asyncio.get_running_loop()
    until = time.perf_counter() + seconds if seconds else math.inf
    counter = itertools.count()
    latencies: list[float] = []

    def next_request() -> bytes | None:
        over = time.perf_counter() >= until or (answers and next(counter) >= answers)
        return None if over else make()

    began, cpu_began = time.perf_counter(), time.process_time()
    opened = [
        await loop.create_connection(lambda: _Client(next_request, latencies), host, port)
        for _ in range(clients)
    ]
    try:
        for _, client in opened:
            client.send_next()
        await asyncio.gather(*(client.done for _, client in opened))
    finally:
        for transport, client in opened:
            client.done.cancel()
            transport.abort()
    took = time.perf_counter() - began
    ordered = sorted(latencies)
    return Load(
        per_second=len(ordered) / took,
        p50_ms=1000 * percentile(ordered, 0.50),
        p99_ms=1000 * percentile(ordered, 0.99),
        answers=len(ordered),
        clients_cores=(time.process_time() - cpu_began) / took,
    )


class _Client(asyncio.Protocol):
    """One connection. `done` ends when there is no next request, or with a BenchError."""

    def __init__(self, next_request: Callable[[], bytes | None], latencies: list[float]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next_request = next_request
        self._latencies = latencies
        self._transport: asyncio.WriteTransport | None = None
        self._received = bytearray()
        self._length = 0
        """Of the whole answer, 0 until its head is there."""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's derive from nothing

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the server closed the connection")

    def send_next(self) -> None:
        """Sends the next request, or is done."""
        request = self._next_request()
        if request is None:
            self._end()
            return
        assert self._transport is not None
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._length:
            end = self._received.find(_HEAD_END)
            if end < 0:
                return
            length = _content_length(bytes(self._received[:end]))
            if length is None:
                self._fail(f"an answer does not say its length: {bytes(self._received[:200])!r}")
                return
            self._length = end + len(_HEAD_END) + length
        if len(self._received) < self._length:
            return
        if self._received[9:10] != b"2":
            self._fail(bytes(self._received[:500]).decode("ascii", "replace"))
            return
        self._latencies.append(time.perf_counter() - self._sent)
        self._received.clear()
        self._length = 0
        self.send_next()

    def _end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(BenchError(why))


def _content_length(head: bytes) -> int | None:
    lowered = head.lower()
    at = lowered.find(_LENGTH)
    return None if at < 0 else int(lowered[at + len(_LENGTH) :].split(b"\r\n", 1)[0])


def percentile(ordered: list[float], share: float) -> float:
    """The smallest of some ordered values that so large a share of them does not exceed."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else math.nan
