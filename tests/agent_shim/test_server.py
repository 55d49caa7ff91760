"""The server of the agent endpoint on a real socket: what it bears and what it refuses."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from agent_shim import server as serving
from agent_shim.calls import BODY_BYTES_MAX, Call, Reply, as_json
from agent_shim.server import Server
from tests.conftest import wait_for

HEAD = b"POST /x?a=1 HTTP/1.1\r\nHost: h\r\n"


@dataclass
class Heard:
    """Calls as they arrived; `gate` holds answers back until it is set."""

    calls: list[Call] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, call: Call) -> Reply:
        self.calls.append(call)
        await self.gate.wait()
        return as_json(200, {"n": len(self.calls)}, {"X-Own": "1"})


@dataclass
class Running:
    port: int
    heard: Heard
    stopping: asyncio.Event
    task: "asyncio.Task[None]"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def exchange(self, data: bytes) -> bytes:
        """Sends bytes, and reads until the server closes, which may be by a reset."""
        reader, writer = await self.connect()
        writer.write(data)
        try:
            return await asyncio.wait_for(reader.read(), 10)
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def running(open_gate: bool = True) -> AsyncIterator[Running]:
    listening = socket.create_server(("127.0.0.1", 0))
    heard, stopping = Heard(), asyncio.Event()
    if open_gate:
        heard.gate.set()
    task = asyncio.create_task(Server(heard.answer).serve(listening, stopping))
    try:
        yield Running(listening.getsockname()[1], heard, stopping, task)
    finally:
        heard.gate.set()
        stopping.set()
        await asyncio.wait_for(task, 10)


async def read_answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """One answer with a length: head and body."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    return head, await reader.readexactly(length)


async def test_a_call_arrives_as_it_was_sent() -> None:
    async with running() as server:
        answer = await server.exchange(
            HEAD + b"X-A: 1\r\nx-a: 2\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
        )
        [call] = server.heard.calls
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b'{"n":1}')
    assert b"X-Own: 1" in answer and b"Date: " in answer
    assert (call.method, call.path, call.query, call.body) == ("POST", "/x", "a=1", b"abc")
    assert call.header("X-A") == ["1", "2"]
    assert call.query_items == [("a", "1")]


async def test_one_connection_bears_many_calls_also_sent_at_once() -> None:
    async with running() as server:
        reader, writer = await server.connect()
        writer.write(3 * (HEAD + b"Content-Length: 1\r\n\r\nz"))
        for number in (1, 2, 3):
            assert (await read_answer(reader))[1] == f'{{"n":{number}}}'.encode()
        writer.close()


async def test_head_has_no_body() -> None:
    async with running() as server:
        answer = await server.exchange(b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert b"Content-Length: 7" in answer and answer.endswith(b"\r\n\r\n")


async def test_a_body_in_pieces() -> None:
    async with running() as server:
        sent = (
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
        )
        await server.exchange(HEAD + sent)
        assert server.heard.calls[0].body == b"abc"


async def test_who_waits_for_leave_to_send_gets_it() -> None:
    async with running() as server:
        reader, writer = await server.connect()
        writer.write(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 100 ")
        writer.write(b"ok")
        await asyncio.wait_for(reader.readline(), 10)
        assert (await read_answer(reader))[0].startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_a_body_that_is_too_large_is_not_read_to_its_end() -> None:
    async with running() as server:
        reader, writer = await server.connect()
        length = 100 * BODY_BYTES_MAX
        writer.write(HEAD + f"Content-Length: {length}\r\n\r\n".encode())
        writer.write(b"x" * (BODY_BYTES_MAX + 1))
        head, _ = await read_answer(reader)
        assert server.heard.calls[0].body is None
        assert b"connection: close" in head.lower()
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000, b"431"),
    ],
)
async def test_what_is_no_request_is_refused(sent: bytes, status: bytes) -> None:
    async with running() as server:
        answer = await server.exchange(sent)
        assert server.heard.calls == []
    assert answer.split(b" ")[1] == status
    assert answer.endswith(b'{"detail":"this is no HTTP request"}')


async def test_a_head_that_comes_too_slowly_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "HEAD_S", 0.05)
    async with running() as server:
        assert await server.exchange(b"GET / HT") == b""


async def test_a_body_that_comes_too_slowly_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "BODY_S", 0.05)
    async with running() as server:
        assert await server.exchange(HEAD + b"Content-Length: 9\r\n\r\nabc") == b""


async def test_there_are_no_more_connections_than_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "CONNECTIONS_MAX", 2)
    async with running(open_gate=False) as server:
        waiting = [await server.connect() for _ in range(2)]
        for _, writer in waiting:
            writer.write(HEAD + b"Content-Length: 0\r\n\r\n")
        await wait_for(lambda: len(server.heard.calls) == 2)
        assert await server.exchange(HEAD + b"\r\n") == b""
        server.heard.gate.set()
        for reader, writer in waiting:
            assert (await read_answer(reader))[0].startswith(b"HTTP/1.1 200 ")
            writer.close()


async def test_a_stop_lets_calls_end_and_idle_connections_go() -> None:
    async with running(open_gate=False) as server:
        idle_reader, idle_writer = await server.connect()
        reader, writer = await server.connect()
        writer.write(HEAD + b"Content-Length: 0\r\n\r\n")
        await wait_for(lambda: server.heard.calls)
        server.stopping.set()
        assert await asyncio.wait_for(idle_reader.read(), 10) == b""
        server.heard.gate.set()
        head, body = await read_answer(reader)
        assert body == b'{"n":1}' and b"connection: close" in head.lower()
        await asyncio.wait_for(server.task, 10)
        for each in (writer, idle_writer):
            each.close()
