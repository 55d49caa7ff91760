"""The client that only reads gets what a real server sends."""

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection, serve

from bench.plain_socket import plain_socket
from bench.stack import BenchError

SIZES = (0, 1, 125, 126, 65_535, 65_536, 300_000)


async def test_texts_of_all_sizes_pings_and_the_end() -> None:
    got: list[bytes] = []

    async def speak(server: ServerConnection) -> None:
        for size in SIZES:
            await server.send("x" * size)
            await (await server.ping())  # the answer comes

    async with serve(speak, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        socket = await plain_socket("127.0.0.1", port, "/ws", got.append)
        assert "closed with 1000" in await socket.ended
    assert got == [b"x" * size for size in SIZES]


async def test_a_refusal_is_an_error() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BenchError, match="403 Forbidden"):
            await plain_socket("127.0.0.1", port, "/ws", print)
