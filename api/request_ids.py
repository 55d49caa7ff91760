"""Every request has an id: the caller's own X-Request-ID, or one that is made. It is answered, and
stands in every line that is logged for the request.

The outermost of the hub's own middleware: a mistake of ours becomes its 500 here, with the id.
"""

import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.log import log_fields
from api.errors import on_mistake

HEADER = "X-Request-ID"
_GOOD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_CREDENTIAL = re.compile(r"(ak|rt)_|eyJ", re.IGNORECASE)
"""How keys and tokens begin: one that was put into the wrong header must not reach a log."""


def request_id_of(headers: Headers) -> str:
    """The id that the caller gave, if it is one and the only one, else a new one."""
    given = headers.getlist(HEADER)
    if len(given) == 1 and _GOOD.fullmatch(given[0]) and not _CREDENTIAL.match(given[0]):
        return given[0]
    return uuid4().hex


class RequestIds:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(Headers(scope=scope))
        started = False

        async def answering(message: Message) -> None:
            nonlocal started
            if message["type"] in ("http.response.start", "websocket.accept"):
                started = True
                message.setdefault("headers", [])
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with log_fields(request_id=request_id):
            try:
                await self._app(scope, receive, answering)
            except Exception as error:
                if scope["type"] != "http" or started:
                    raise
                answer = await on_mistake(Request(scope), error)
                await answer(scope, receive, answering)
