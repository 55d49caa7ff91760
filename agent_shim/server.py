"""Serves the agent endpoint over HTTP/1.1: asyncio and h11, nothing else.

Everything is bounded: connections, the head of a request and its body in bytes and in time, idle
connections, and how long a stop waits for the calls under way.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import format_datetime

import h11

from agent_shim.calls import BODY_BYTES_MAX, Call, Reply, refused

log = logging.getLogger("artic.shim")

CONNECTIONS_MAX = 1_000
HEAD_BYTES_MAX = 16_384
HEAD_S = 10.0
BODY_S = 10.0
IDLE_S = 75.0
SEND_S = 10.0
GRACE_S = 3.0
_CHUNK_BYTES = 16_384

Answer = Callable[[Call], Awaitable[Reply]]


class Server:
    """Connections of one listening socket."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._open: dict[asyncio.Task[None], _Served] = {}

    async def serve(self, listening: socket.socket, stopping: asyncio.Event) -> None:
        """Serves until `stopping` is set; calls under way then have GRACE_S to end."""
        server = await asyncio.start_server(self._meet, sock=listening, limit=HEAD_BYTES_MAX)
        async with server:
            await stopping.wait()
            server.close()
            for task, served in list(self._open.items()):
                if not served.is_busy:
                    task.cancel()
                served.is_last = True
            if self._open:
                await asyncio.wait(self._open, timeout=GRACE_S)
            for task in list(self._open):
                task.cancel()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served = _Served(reader, writer)
        if len(self._open) >= CONNECTIONS_MAX:
            writer.close()
            return
        self._open[task] = served
        try:
            await served.run(self._answer)
        except (OSError, TimeoutError, h11.ProtocolError, asyncio.CancelledError) as error:
            log.debug("a connection ended: %r", error)
        finally:
            del self._open[task]
            writer.close()


class _Served:
    """One connection: its calls, one after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self.is_busy = False
        self.is_last = False

    async def run(self, answer: Answer) -> None:
        while True:
            try:
                call = await self._next_call()
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint, "this is no HTTP request")
                return
            if call is None:
                return
            await self._send(call.method, await answer(call))
            self.is_busy = False
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            if self.is_last:
                return
            self._http.start_next_cycle()

    async def _next_call(self) -> Call | None:
        """The next request with its body, None at the end of the connection."""
        head = await self._event(IDLE_S, HEAD_S)
        if not isinstance(head, h11.Request):
            return None
        self.is_busy = True
        if self._http.they_are_waiting_for_100_continue:
            self._writer.write(
                self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b""
            )
        path, _, query = head.target.decode("latin-1").partition("?")
        async with asyncio.timeout(BODY_S):
            body = await self._body()
        return Call(head.method.decode(), path, query, list(head.headers), body)

    async def _body(self) -> bytes | None:
        """The body; None where it is too large, and the rest of it stays unread."""
        chunks: list[bytes] = []
        size = 0
        while True:
            event = await self._event(BODY_S, BODY_S)
            if isinstance(event, h11.EndOfMessage):
                return b"".join(chunks)
            if not isinstance(event, h11.Data):
                raise ConnectionResetError("the body ended early")
            size += len(event.data)
            if size > BODY_BYTES_MAX:
                return None
            chunks.append(bytes(event.data))

    async def _event(self, first_s: float, whole_s: float) -> h11.Event | None:
        """The next event; first_s bounds the wait for its first byte, whole_s what comes after."""
        seconds = first_s
        while (event := self._http.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(seconds):
                self._http.receive_data(await self._reader.read(_CHUNK_BYTES))
            seconds = whole_s
        return event if isinstance(event, h11.Event) else None

    async def _refuse(self, status: int, detail: str) -> None:
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._send("GET", refused(status, detail))

    async def _send(self, method: str, reply: Reply) -> None:
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(reply.body))),
            ("Date", format_datetime(datetime.now(UTC), usegmt=True)),
            *reply.headers.items(),
        ]
        if self.is_last or self._http.their_state not in (h11.DONE, h11.MUST_CLOSE):
            headers.append(("Connection", "close"))
        response = h11.Response(status_code=reply.status, headers=headers)
        parts = [self._http.send(response)]
        if method != "HEAD":
            parts.append(self._http.send(h11.Data(reply.body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        self._writer.write(b"".join(part for part in parts if part))
        async with asyncio.timeout(SEND_S):
            await self._writer.drain()
