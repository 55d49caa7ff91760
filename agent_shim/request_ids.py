"""Every call has an id: the caller's own X-Request-ID, or one that is made. It is answered, goes on
to the hub, and stands in every line that is logged for the call, here and there.
"""

import logging
import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_shim.log import log_fields

log = logging.getLogger("artic.shim")

HEADER = "X-Request-ID"
MISTAKE = b'{"detail":"the agent endpoint made a mistake; it was logged"}'
_GOOD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_CREDENTIAL = re.compile(r"(ak|rt)_|eyJ", re.IGNORECASE)
"""How keys and tokens of the hub begin: one in the wrong header must not reach a log."""


def request_id_of(headers: Headers) -> str:
    """The id that the caller gave, if it is one and the only one, else a new one."""
    given = headers.getlist(HEADER)
    if len(given) == 1 and _GOOD.fullmatch(given[0]) and not _CREDENTIAL.match(given[0]):
        return given[0]
    return uuid4().hex


class RequestIds:
    """ASGI middleware, the outermost: mistakes of ours are logged and answered with the id, too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def answering(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with log_fields(request_id=request_id):
            try:
                await self._app(scope, receive, answering)
            except Exception as error:
                log.error("a call failed", exc_info=error)
                if started:
                    raise
                answer = Response(MISTAKE, 500, media_type="application/json")
                await answer(scope, receive, answering)
