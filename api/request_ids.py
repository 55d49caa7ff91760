"""Every request has an id: the caller's own X-Request-ID, or one that is made. It is answered, and
stands in every line that is logged for the request.
"""

import os
import re
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.log import log_fields

HEADER = "X-Request-ID"
HEADER_BYTES = HEADER.lower().encode("ascii")
_ID_BYTES = 16
_GOOD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_CREDENTIAL = re.compile(r"(ak|rt)_|eyJ", re.IGNORECASE)
"""How keys and tokens begin: one that was put into the wrong header must not reach a log."""


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The id that the caller gave, if it is one and the only one, else a new one."""
    given = [value for name, value in headers if name == HEADER_BYTES]
    if len(given) == 1:
        text = given[0].decode("latin-1")
        if _GOOD.fullmatch(text) and not _CREDENTIAL.match(text):
            return text
    return os.urandom(_ID_BYTES).hex()


class SocketIds:
    """ASGI middleware that does the same for WebSockets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope["headers"])

        async def answering(message: Message) -> None:
            if message["type"] == "websocket.accept":
                headers = [*message.get("headers", ()), (HEADER_BYTES, request_id.encode("ascii"))]
                message["headers"] = headers
            await send(message)

        with log_fields(request_id=request_id):
            await self._app(scope, receive, answering)
