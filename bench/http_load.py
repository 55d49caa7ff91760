"""Many HTTP/1.1 clients in one process, each sending its next request when the answer is there.

Written on plain streams: a full client library would cost more than the server it measures.
"""

import asyncio
import itertools
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.stack import BenchError

_LENGTH = b"content-length:"
MakeRequest = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Load:
    """Answers a second, and latencies in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float
    answers: int


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
        BenchError: an answer was no success.
    """
    latencies: list[float] = []
    until = time.perf_counter() + seconds if seconds else math.inf
    counter = itertools.count()
    began = time.perf_counter()

    async def one_client() -> None:
        where = urlsplit(url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        try:
            while time.perf_counter() < until and (not answers or next(counter) < answers):
                sent = time.perf_counter()
                writer.write(make())
                await _read_answer(reader)
                latencies.append(time.perf_counter() - sent)
        finally:
            writer.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(one_client())
    took = time.perf_counter() - began
    ordered = sorted(latencies)
    return Load(
        per_second=len(ordered) / took,
        p50_ms=1000 * _percentile(ordered, 0.50),
        p99_ms=1000 * _percentile(ordered, 0.99),
        answers=len(ordered),
    )


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    lowered = head.lower()
    at = lowered.index(_LENGTH) + len(_LENGTH)
    body = await reader.readexactly(int(lowered[at : lowered.index(b"\r\n", at)]))
    if head[9:10] != b"2":
        raise BenchError(f"{head.splitlines()[0].decode()}: {body[:300].decode()}")


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else math.nan
