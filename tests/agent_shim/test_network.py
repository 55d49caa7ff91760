"""The way to the hub on a real socket: connections that are kept, that end, that say nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import pytest

from agent_shim import network
from agent_shim.network import HttpNetwork, NotReachable, TooMany, TooSlow
from tests.agent_shim.stand_in_hub import free_port

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\n{}"


@asynccontextmanager
async def hub(handler: Handler) -> AsyncIterator[int]:
    """A server that does with each connection what the test says."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def ask(way: HttpNetwork, body: bytes = b"") -> network.Heard:
    return await way.ask("POST", "/a?b=1", {"X-Secret": "s"}, body)


async def test_a_connection_is_kept_and_the_request_is_whole() -> None:
    heads: list[bytes] = []
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(3))
            writer.write(OK)

    async with hub(handler) as port, aclosing(HttpNetwork(f"http://127.0.0.1:{port}/base")) as way:
        for _ in range(3):
            heard = await ask(way, b"abc")
            assert (heard.status, heard.body, heard.headers["retry-after"]) == (200, b"{}", "7")
    assert connections == 1
    assert heads[0].startswith(b"POST /base/a?b=1 HTTP/1.1\r\n")
    assert b"X-Secret: s" in heads[0] and b"Content-Length: 3" in heads[0]
    assert f"Host: 127.0.0.1:{port}".encode() in heads[0]


async def test_a_kept_connection_that_has_ended_is_replaced() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)  # says nothing of closing, and closes

    async with hub(handler) as port, aclosing(HttpNetwork(f"http://127.0.0.1:{port}")) as way:
        for _ in range(3):
            assert (await ask(way)).status == 200


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n[1]")

    async with hub(handler) as port, aclosing(HttpNetwork(f"http://127.0.0.1:{port}")) as way:
        assert (await ask(way)).body == b"[1]"
        assert (await ask(way)).body == b"[1]"


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"SSH-2.0-x\r\n"])
async def test_what_is_no_answer_is_not_reachable(said: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)

    async with hub(handler) as port, aclosing(HttpNetwork(f"http://127.0.0.1:{port}")) as way:
        with pytest.raises(NotReachable):
            await ask(way)


async def test_nobody_listens() -> None:
    with pytest.raises(NotReachable):
        await ask(HttpNetwork(f"http://127.0.0.1:{free_port()}"))


async def test_an_answer_that_is_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "ANSWER_BYTES_MAX", 10)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + b"x" * 999)

    async with hub(handler) as port, aclosing(HttpNetwork(f"http://127.0.0.1:{port}")) as way:
        with pytest.raises(NotReachable):
            await ask(way)


async def test_a_hub_that_says_nothing_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "ANSWER_S", 0.05)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with hub(handler) as port, aclosing(HttpNetwork(f"http://127.0.0.1:{port}")) as way:
        with pytest.raises(TooSlow):
            await ask(way)


async def test_more_calls_than_connections_wait_and_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(network, "CONNECTIONS_MAX", 1)
    monkeypatch.setattr(network, "WAIT_S", 0.05)
    gate, asked = asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await gate.wait()
        writer.write(OK)

    async with hub(handler) as port, aclosing(HttpNetwork(f"http://127.0.0.1:{port}")) as way:
        first = asyncio.create_task(ask(way))
        await asked.wait()
        with pytest.raises(TooMany):
            await ask(way)
        gate.set()
        assert (await first).status == 200
