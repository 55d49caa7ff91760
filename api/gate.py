"""In front of every /api path: who is calling, and whether it is not too much.

Here and not in the handlers, so that no handler can forget it, and so that nobody without a
credential makes the hub read a body.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.db.errors import DatabaseError
from api.auth import SCOPE_KEY, find_caller
from api.errors import Problem, on_database_away, problem_answer, too_many
from api.hub import hub_of

GUARDED = "/api/"


class Gate:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(GUARDED):
            request = Request(scope)
            try:
                caller = await find_caller(request)
                wait_s = hub_of(request).requests.wait_s(caller.user_id)
                if wait_s:
                    raise too_many("requests", wait_s)
            except Problem as problem:
                await problem_answer(scope["path"], problem)(scope, receive, send)
                return
            except DatabaseError as error:
                await (await on_database_away(request, error))(scope, receive, send)
                return
            scope[SCOPE_KEY] = caller
        await self._app(scope, receive, send)
