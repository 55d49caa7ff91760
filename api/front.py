"""What every HTTP request goes through, from its first byte to its line in the log.

In order: an id, who is calling and whether it is not too much, which call it is, its handler, and
whatever was refused as an answer. One layer instead of one for each of these: a layer costs some
microseconds of every request, and together they cost more than the answer. WebSockets pass on to
Starlette.
"""

import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.log import put_fields, reset_fields
from api.access_log import log_request
from api.auth import SCOPE_KEY, check_internal_secret, find_caller
from api.bodies import Nothing, read_query, usual_uuid
from api.errors import Problem, too_many_requests
from api.hub import hub_of
from api.paths import Paths
from api.refusals import refusal
from api.request_ids import HEADER_BYTES, request_id_of

GUARDED = "/api/"
"""Below it every path, known or not, asks for a credential: no handler can forget it, and nobody
without one makes the hub read a body."""


class Front:
    """ASGI middleware that serves every path there is; what is no HTTP goes through."""

    def __init__(self, app: ASGIApp, paths: Paths) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500
        request_id = request_id_of(scope["headers"])
        fields = put_fields({"request_id": request_id})
        try:
            request = Request(scope, receive)
            try:
                answer = await self._answer(request, request_id)
            except Exception as error:
                answer = refusal(request, error)
            status = answer.status_code
            answer.raw_headers.append((HEADER_BYTES, request_id.encode("ascii")))
            await answer(scope, receive, send)
        finally:
            log_request(scope, status, time.perf_counter() - began)
            reset_fields(fields)

    async def _answer(self, request: Request, request_id: str) -> Response:
        scope = request.scope
        path = scope["path"]
        if path.startswith(GUARDED):
            caller = await find_caller(request)
            requests = hub_of(request).requests
            wait_s = requests.wait_s(caller.user_text)
            if wait_s:
                raise too_many_requests(requests.per_minute_of(caller.user_text), wait_s)
            scope[SCOPE_KEY] = caller
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        served = self._paths.find(path, method)
        if served is None:
            raise Problem(404, "no such path")
        call = served.calls.get(method)
        if call is None:
            allowed = {"Allow": ", ".join(served.methods)}
            raise Problem(405, f"{method} is not allowed here", headers=allowed)
        scope["path_params"] = served.parameters
        if call.guard == "internal":
            check_internal_secret(request, or_pool=call.or_pool_secret, or_bearer=call.or_bearer)
        if scope["query_string"] and call.takes_no_query:
            # Not ignored: ?close_position=false has to be told that it belongs into the body.
            read_query(request, Nothing)
        agent_id = served.parameters.get("agent_id")
        if agent_id is None or usual_uuid(agent_id) is None:
            answer = await call.handler(request)
        else:
            # Whatever is logged for a request about an agent names it.
            fields = put_fields({"request_id": request_id, "agent_id": agent_id.lower()})
            try:
                answer = await call.handler(request)
            finally:
                reset_fields(fields)
        assert isinstance(answer, Response)
        return answer
