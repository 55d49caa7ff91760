"""One line for each request: method, path, status, milliseconds; two for each WebSocket: when it is
let in, and when it ends, with its code and seconds. Never a query string, since that of a WebSocket
holds a token.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.log import log_line
from api.auth import SCOPE_KEY
from api.callers import Caller
from api.errors import path_of

log = logging.getLogger("artic.access")

NO_CODE = 1006
"""What WebSockets call an end without a close frame."""


def log_request(scope: Scope, status: int, took_s: float) -> None:
    """The line of one HTTP request."""
    if log.isEnabledFor(logging.INFO):
        line = f"{scope['method']} {path_of(scope)} {status} {1000 * took_s:.1f} ms"
        log_line(log, line, _who(scope))


class SocketLog:
    """ASGI middleware that writes the lines of WebSockets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket" or not log.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        code, refused = NO_CODE, ""
        accepted = False
        began = time.perf_counter()

        async def noting_end(message: Message) -> None:
            nonlocal code, refused, accepted
            if message["type"] == "websocket.accept":
                accepted = True
                log.info("WebSocket %s accepted", path_of(scope), extra=_who(scope))
            elif message["type"] == "websocket.close" and accepted:
                code = message.get("code", 1000)
            elif message["type"] == "websocket.close":
                refused = ", refused"
            await send(message)

        async def noting_disconnect() -> Message:
            nonlocal code
            message = await receive()
            if message["type"] == "websocket.disconnect":
                code = message.get("code", NO_CODE)
            return message

        try:
            await self._app(scope, noting_disconnect, noting_end)
        finally:
            lasted_s = time.perf_counter() - began
            text = "WebSocket %s closed %d after %.1f s%s"
            log.info(text, path_of(scope), code, lasted_s, refused, extra=_who(scope))


def _who(scope: Mapping[str, Any]) -> dict[str, object]:
    caller = scope.get(SCOPE_KEY)
    return {"user_id": caller.user_text} if isinstance(caller, Caller) else {}
