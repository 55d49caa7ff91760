"""The clients that the hub is measured with, against a server that says what it is told to."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bench.http_load import load, percentile, request_bytes
from bench.stack import BenchError

OK = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers each request with the next of some pieces, each written on its own; no piece at all
    hangs up.
    """

    def __init__(self, answer: Callable[[int], list[bytes]]) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.url = ""

    def one_connection(self) -> asyncio.Protocol:
        """What serves it."""
        self.connections += 1
        return _Connection(self)


class _Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._server.requests.append(data)  # they are short, and come alone
        self._write(self._server.answer(len(self._server.requests)))

    def _write(self, pieces: list[bytes]) -> None:
        if not pieces:
            self._transport.close()
            return
        self._transport.write(pieces[0])
        if pieces[1:]:
            asyncio.get_running_loop().call_soon(self._write, pieces[1:])


@asynccontextmanager
async def serving(answer: Callable[[int], list[bytes]]) -> AsyncIterator[Server]:
    """The server on a port of its own."""
    served = Server(answer)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(served.one_connection, "127.0.0.1", 0)
    async with listening:
        served.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield served


async def test_every_client_sends_its_next_request_after_the_answer() -> None:
    request = request_bytes("POST", "/x", token="t", body={"a": 1})
    async with serving(lambda _: [OK]) as server:
        found = await load(server.url, lambda: request, clients=5, answers=40)
    assert (found.answers, server.connections) == (40, 5)
    assert server.requests == [request] * 40
    assert 0 < found.p50_ms <= found.p99_ms < 5_000
    assert found.per_second > 0
    assert found.clients_cores > 0


async def test_answers_may_come_in_pieces() -> None:
    def pieces(number: int) -> list[bytes]:
        cut = number % (len(OK) - 1) + 1
        return [OK[:cut], OK[cut:]]

    async with serving(pieces) as server:
        found = await load(server.url, lambda: b"GET / HTTP/1.1\r\n\r\n", clients=3, answers=120)
    assert found.answers == len(server.requests) == 120


async def test_the_load_ends_in_time() -> None:
    async with serving(lambda _: [OK]) as server:
        found = await load(server.url, lambda: b"GET / HTTP/1.1\r\n\r\n", clients=2, seconds=0.1)
    assert found.answers == len(server.requests) >= 2
    assert found.per_second <= found.answers / 0.1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 503 Away\r\nContent-Length: 4\r\n\r\naway", "503 Away"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "its length"),
    ],
)
async def test_anything_but_success_fails_the_measurement(answer: bytes, words: str) -> None:
    async with serving(lambda number: [OK] if number < 4 else [answer]) as server:
        with pytest.raises(BenchError, match=words):
            await load(server.url, lambda: b"GET / HTTP/1.1\r\n\r\n", clients=2, answers=20)


async def test_a_server_that_hangs_up_fails_the_measurement() -> None:
    async with serving(lambda number: [OK] if number < 4 else []) as server:
        with pytest.raises(BenchError, match="closed the connection"):
            await load(server.url, lambda: b"GET / HTTP/1.1\r\n\r\n", clients=2, answers=20)


def test_percentiles_are_values_that_were_seen() -> None:
    ordered = [1.0, 2.0, 3.0, 4.0]
    shares = [0.0, 0.25, 0.26, 0.5, 0.99, 1.0]
    assert [percentile(ordered, share) for share in shares] == [1.0, 1.0, 2.0, 2.0, 4.0, 4.0]
    assert math.isnan(percentile([], 0.5))
