"""HTTP/1.1 and the handshakes of WebSockets as uvicorn serves them, with the bounds that it lacks.

httptools gathers a header until it ends, however long it is and takes; a handshake that
websockets refuses to read gets no answer; and a connection that was closed stays until its client
has read all that was written, which may be never. Without this anybody could fill the hub's
memory, or hold its connections, without a credential.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, cast

import msgspec
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidState
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS, Response
from websockets.server import ServerProtocol
from websockets.typing import StatusLike

from api.errors import TITLES, ProblemAnswer

HEAD_BYTES_MAX: Final = 65_536
"""Of a request line with its headers. One more read of the socket (256 KB) may stand above it."""
HEAD_S_MAX: Final = 20.0
"""From the first byte of a request, or the beginning of a connection, to the end of its head."""
UNREAD_S_MAX: Final = 20.0
"""A client that takes nothing of what was written to it for so long is cut off. It is looked at in
such steps, so that it may be twice as long."""
HANG_UP_S: Final = 15.0
"""From the end of a WebSocket's handler to the end of its connection: time for the closing
handshake, for which uvicorn waits 10 s, whether or not the client reads."""
TOO_LONG: Final = f"the headers are longer than {HEAD_BYTES_MAX} bytes"
BAD_HANDSHAKE: Final = (
    f"a WebSocket's request line and each of its at most {MAX_NUM_HEADERS} headers may have"
    f" {MAX_LINE_LENGTH} bytes: name fewer agents, or none for all"
)


class BoundedHttp(HttpToolsProtocol):
    """The protocol of one connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unparsed_bytes = 0
        """Received since the parser last had something whole: a head, a piece of body, an end."""
        self._answered: RequestResponseCycle | None = None
        """The request that is answered just now; `cycle` is the newest one that has come."""
        self._unread_bytes = 0
        """Written and not taken, when it was looked at last."""
        self._in_body = False
        self._waits_since = self.loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to watch how long the head takes, and whether answers are read."""
        super().connection_made(cast(asyncio.Transport, transport))
        self.loop.call_later(HEAD_S_MAX, self._check_patience)
        self.loop.call_later(UNREAD_S_MAX, self._check_reading)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone. Who waits to write to it is woken, and is not to write any more."""
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """Counts what the parser keeps for itself."""
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self._unparsed_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._refuse(431, TOO_LONG)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._waits_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._unparsed_bytes = 0
        self._in_body = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._unparsed_bytes = 0
        self._in_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP."""
        self._refuse(400, "this is not HTTP/1.1 as the hub understands it")

    def _check_patience(self) -> None:
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return  # ended, or a WebSocket by now
        waits_s = self.loop.time() - self._waits_since
        answers = self.cycle is not None and not self.cycle.response_complete
        idles = self.timeout_keep_alive_task is not None  # that ends by itself
        if waits_s >= HEAD_S_MAX and not (self._in_body or answers or idles):
            self._refuse(408, "the headers did not arrive in time")
            return
        self.loop.call_later(HEAD_S_MAX, self._check_patience)

    def _check_reading(self) -> None:
        """Goes on while the connection is being closed: it is open until all was taken."""
        transport = self.transport
        unread_bytes = transport.get_write_buffer_size()
        is_over = transport.is_closing() and not unread_bytes
        if is_over or transport.get_protocol() is not self:
            return
        if unread_bytes and unread_bytes == self._unread_bytes:
            transport.abort()
            return
        self._unread_bytes = unread_bytes
        self.loop.call_later(UNREAD_S_MAX, self._check_reading)

    def _refuse(self, status: int, detail: str) -> None:
        _refuse(self.transport, status, detail)


def batch_of(messages: Sequence[bytes]) -> dict[str, Any]:
    """An ASGI event that sends texts, each as a message of its own, in one write."""
    return {"type": "websocket.send", "artic.texts": messages}


class Handshakes(ServerProtocol):
    """What is sent on a WebSocket; a handshake is refused as everything else is."""

    def reject(self, status: StatusLike, text: str) -> Response:
        """The answer to a handshake. text: why, without it a client is where no socket is."""
        detail = text.strip() or "no WebSocket is opened here"
        body = msgspec.json.encode(_problem(int(status), detail))
        headers = Headers(
            {
                "content-type": "application/problem+json",
                "content-length": str(len(body)),
                "connection": "close",
            }
        )
        return Response(int(status), HTTPStatus(status).phrase, headers, body)


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """The protocol of a connection from its upgrade on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.config.ws_per_message_deflate:
            raise ValueError("compression of WebSockets is off: it keeps much for each client")
        self.conn = Handshakes(max_size=self.config.ws_max_size, logger=self.logger)
        self._hanging_up: asyncio.TimerHandle | None = None

    def keepalive_timeout(self) -> None:
        """No pong: whoever does not read does not see the close either."""
        super().keepalive_timeout()
        self._hang_up_soon()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The handler has ended: nothing more will be said."""
        super().on_task_complete(task)
        self._hang_up_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        super().connection_lost(exc)
        if self._hanging_up is not None:
            self._hanging_up.cancel()

    def _hang_up_soon(self) -> None:
        if self._hanging_up is None and not self.disconnected:
            self._hanging_up = self.loop.call_later(HANG_UP_S, self.transport.abort)

    async def send(self, message: Any) -> None:
        """Sends texts that come together (batch_of) in one write; all else is as ever."""
        texts = message.get("artic.texts")
        if texts is None:
            await super().send(message)
            return
        await self.writable.wait()
        if self.disconnected or self.close_sent:
            raise ClientDisconnected
        try:
            for text in texts:
                self.conn.send_text(text)
        except InvalidState:
            raise ClientDisconnected from None
        self.transport.write(b"".join(self.conn.data_to_send()))

    def data_received(self, data: bytes) -> None:
        """Answers a handshake that could not be read, which is dropped in silence otherwise."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.transport.is_closing():
            _refuse(self.transport, 431, BAD_HANDSHAKE)


def _refuse(transport: asyncio.Transport, status: int, detail: str) -> None:
    """The last answer of a connection."""
    body = msgspec.json.encode(_problem(status, detail))
    head = (
        f"HTTP/1.1 {status} {TITLES[status]}\r\n"
        "content-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    )
    transport.write(head.encode("ascii") + body)
    transport.close()


def _problem(status: int, detail: str) -> ProblemAnswer:
    title = TITLES.get(status) or HTTPStatus(status).phrase
    return ProblemAnswer("about:blank", title, status, detail)
