"""What is no HTTP, too much of it, or too slow: refused in the hub's own words, and the connection
ends. The bytes go over a real socket.
"""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from adapters.settings import Settings
from api import bodies, http_heads
from tests.api.serving import ServedHub, serve

NOT_HTTP = (400, "this is not HTTP/1.1 as the hub understands it")
TOO_LONG = (431, "the headers are longer than 65536 bytes")
BAD_HANDSHAKE = (
    431,
    "a WebSocket's request line and each of its at most 128 headers may have 8192 bytes: name fewer"
    " agents, or none for all",
)
TOO_LARGE = (413, "the body is larger than 1000000 bytes")
GET = b"GET /health HTTP/1.1\r\nHost: hub\r\n"
LOGIN = b"POST /auth/login HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n"
CHUNKED = LOGIN + b"Transfer-Encoding: chunked\r\n\r\n"
MUCH = b"a" * 400_000
UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
SOCKET = b"GET /ws HTTP/1.1\r\nHost: hub\r\n" + UPGRADE

REQUESTS = [
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", NOT_HTTP),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NOT_HTTP),
    ("HTTP/9.9", b"GET /health HTTP/9.9\r\nHost: hub\r\n\r\n", NOT_HTTP),
    ("line feeds alone", b"GET /health HTTP/1.1\nHost: hub\n\n", NOT_HTTP),
    ("space in the path", b"GET /he alth HTTP/1.1\r\nHost: hub\r\n\r\n", NOT_HTTP),
    ("path not escaped", "GET /hé HTTP/1.1\r\nHost: hub\r\n\r\n".encode(), NOT_HTTP),
    ("space before a colon", GET + b"X-Request-ID : a\r\n\r\n", NOT_HTTP),
    ("folded header", GET + b"X-Request-ID: a\r\n b\r\n\r\n", NOT_HTTP),
    ("zero byte in a header", GET + b"X-Request-ID: a\0b\r\n\r\n", NOT_HTTP),
    ("header in a header", GET + b"X-Request-ID: a\rSet-Cookie: b\r\n\r\n", NOT_HTTP),
    ("length is no number", LOGIN + b"Content-Length: abc\r\n\r\n", NOT_HTTP),
    ("length below zero", LOGIN + b"Content-Length: -5\r\n\r\n", NOT_HTTP),
    ("length beyond 64 bits", LOGIN + b"Content-Length: " + b"9" * 24 + b"\r\n\r\n", NOT_HTTP),
    ("two lengths", LOGIN + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", NOT_HTTP),
    ("length and chunks", CHUNKED.replace(b"Host", b"Content-Length: 2\r\nHost"), NOT_HTTP),
    ("body gzipped in transfer", LOGIN + b"Transfer-Encoding: gzip\r\n\r\n", NOT_HTTP),
    ("chunk size is no number", CHUNKED + b"ZZ\r\n{}\r\n0\r\n\r\n", NOT_HTTP),
    ("chunk size beyond 64 bits", CHUNKED + b"F" * 17 + b"\r\n{}", NOT_HTTP),
    ("endless path", b"GET /" + MUCH, TOO_LONG),
    ("endless header", GET + b"X: " + MUCH, TOO_LONG),
    ("endless headers", GET + b"".join(b"X-%d: y\r\n" % i for i in range(60_000)), TOO_LONG),
    ("endless trailer", CHUNKED + b"2\r\n{}\r\n0\r\nX: " + MUCH, TOO_LONG),
    ("endless chunk extension", CHUNKED + b"2;a=" + MUCH, TOO_LONG),
    ("handshake with a long query", SOCKET.replace(b"/ws", b"/ws?agents=" + MUCH[:8_200]) + b"\r\n",
     BAD_HANDSHAKE),
    ("handshake with a long header", SOCKET + b"X: " + MUCH[:8_200] + b"\r\n\r\n", BAD_HANDSHAKE),
    ("handshake with many headers", SOCKET + b"X: y\r\n" * 130 + b"\r\n", BAD_HANDSHAKE),
    ("length of 1 TB", LOGIN + b"Content-Length: 1000000000000\r\n\r\n", TOO_LARGE),
    ("1 TB announced, not sent", LOGIN + b"Expect: 100-continue\r\nContent-Length: 1000000000000"
     b"\r\n\r\n", TOO_LARGE),
    ("chunks of 1.1 MB", CHUNKED + (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 17, TOO_LARGE),
]  # fmt: skip


HANDSHAKES = [
    ("no key", SOCKET.replace(b"Sec-WebSocket-Key", b"X-Key"), 400, "Sec-WebSocket-Key"),
    ("key too short", SOCKET.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"AAAA"), 400, "Key"),
    ("other version", SOCKET.replace(b"Version: 13", b"Version: 12"), 400, "Version"),
    ("version is no number", SOCKET.replace(b"Version: 13", b"Version: x"), 400, "Version"),
    ("POST", SOCKET.replace(b"GET", b"POST"), 405, "unsupported HTTP method"),
    ("no such path", SOCKET.replace(b"/ws", b"/wss"), 403, "no WebSocket is opened here"),
    ("path of a call", SOCKET.replace(b"/ws", b"/api/me"), 403, "no WebSocket is opened here"),
]


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[ServedHub]:
    async with serve(settings) as hub:
        yield hub


async def answer_to(port: int, sent: bytes) -> tuple[int, object, bytes]:
    """(status, detail, all of it) of the first answer, once the hub has hung up or answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2])
                for line in head.splitlines()
                if line.lower().startswith(b"content-length:")
            )
            body = await reader.readexactly(length)
    finally:
        writer.close()
    return int(head.split()[1]), json.loads(body).get("detail"), head + body


async def test_what_is_no_request_is_refused_in_bounded_memory(served: ServedHub) -> None:
    wrong = []
    for name, sent, wanted in REQUESTS:
        status, detail, raw = await answer_to(served.port, sent)
        if (status, detail) != wanted:
            wrong.append((name, status, detail))
        assert b"application/problem+json" in raw, name
        assert b"Set-Cookie" not in raw, name
    assert wrong == []
    assert (await answer_to(served.port, GET + b"\r\n"))[0] == 200


async def test_handshakes_that_are_none_are_refused_as_everything_is(served: ServedHub) -> None:
    for name, sent, wanted, word in HANDSHAKES:
        status, detail, raw = await answer_to(served.port, sent + b"\r\n")
        assert (status, word in str(detail)) == (wanted, True), (name, status, detail)
        assert b"content-type: application/problem+json\r\n" in raw, name
        assert b"connection: close\r\n" in raw, name


async def test_a_head_that_does_not_end_is_given_up(
    served: ServedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_heads, "HEAD_S_MAX", 0.2)
    for sent in (b"", b"GET /hea", GET):
        status, detail, _ = await answer_to(served.port, sent)
        assert (status, detail) == (408, "the headers did not arrive in time"), sent


async def test_a_connection_that_is_used_is_not_given_up(
    served: ServedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_heads, "HEAD_S_MAX", 0.05)
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    ends = loop.time() + 0.3
    while loop.time() < ends:
        writer.write(GET + b"\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        await reader.readexactly(len(b'{"ok":true}'))
    writer.close()


async def test_a_body_that_does_not_come_is_given_up(
    served: ServedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_S_MAX", 0.1)
    status, detail, raw = await answer_to(served.port, LOGIN + b"Content-Length: 5\r\n\r\n{")
    assert (status, detail) == (400, "the body did not arrive in time")
    assert b"connection: close" in raw.lower()


async def test_a_body_that_breaks_off_costs_nothing(served: ServedHub) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(LOGIN + b"Content-Length: 5\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await answer_to(served.port, GET + b"\r\n"))[0] == 200
