"""One line for each request: method, path, status, milliseconds. Never a query string, since the
WebSocket's holds a token.
"""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("artic.access")

PATH_BYTES_MAX = 300
"""Of a path in the log; the hub's own are shorter."""


class AccessLog:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not log.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        status = 500
        began = time.perf_counter()

        async def noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting_status)
        finally:
            # The raw path is percent-encoded: nobody writes lines of their own into the log.
            raw = scope.get("raw_path") or scope["path"].encode("ascii", "backslashreplace")
            path = raw.partition(b"?")[0][:PATH_BYTES_MAX].decode("ascii", "backslashreplace")
            took_ms = (time.perf_counter() - began) * 1000
            log.info("%s %s %d %.1f ms", scope["method"], path, status, took_ms)
