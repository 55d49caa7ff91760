"""Clients of the stream that have died or hang: found by pings, and by sends that do not end."""

import asyncio
import base64
import os
import socket

import pytest

from adapters import redis_keys as keys
from adapters.redis_client import command
from adapters.settings import Settings
from api import __main__ as hub_process
from api import http_heads, websocket
from tests.api.serving import ServedHub, serve
from tests.api.test_live import big_fact
from tests.conftest import wait_for

PING, CLOSE = 0x89, 0x88


async def shaken(
    served: ServedHub, token: str, receive_bytes: int = 1 << 20
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A socket after the handshake, whose client does nothing by itself."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", served.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=4_096)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /ws?token={token} HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\n"
        f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        "\r\n".encode()
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    return reader, writer


async def test_who_answers_no_ping_is_dropped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_process, "PING_S", 0.3)
    async with serve(settings) as served:
        user_id, token = await served.token("alice")
        reader, writer = await shaken(served, token)
        assert user_id in served.hub.live.topics
        async with asyncio.timeout(10):
            said = await reader.read()  # until the hub hangs up
        assert said[0] == PING
        assert CLOSE in said
        await wait_for(lambda: not served.hub.live.topics)
        writer.close()


async def test_a_send_that_does_not_end_ends_the_client(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before it is too far behind by the number of its messages."""
    monkeypatch.setattr(websocket, "SEND_S_MAX", 0.2)
    monkeypatch.setattr(websocket, "CLOSE_S", 0.2)
    monkeypatch.setattr(http_heads, "HANG_UP_S", 0.2)
    async with serve(settings) as served:
        user_id, token = await served.token("alice")
        _, writer = await shaken(served, token, receive_bytes=4_096)
        topics = served.hub.live.topics
        await wait_for(lambda: topics[user_id].order.last == 0)
        [watcher] = topics[user_id].watchers
        channel = keys.user_channel(str(user_id))
        for seq in range(1, 900):
            message = big_fact(seq, user_id)
            await command(served.hub.state_redis, "PUBLISH", channel, message)
        await wait_for(lambda: not topics)
        assert watcher.outbox.too_far_behind
        assert not watcher.given_up.is_set()
        await wait_for(lambda: not served.connections)  # though the client has not read all
        writer.close()


async def test_who_reads_no_answer_is_cut_off(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_heads, "UNREAD_S_MAX", 0.3)
    async with serve(settings) as served:
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", served.port))
        with plain:
            ask = b"GET /openapi.json HTTP/1.1\r\nHost: hub\r\n\r\n"
            await asyncio.get_running_loop().sock_sendall(plain, 40 * ask)
            await wait_for(lambda: len(served.connections) == 1)
            await wait_for(lambda: not served.connections)
