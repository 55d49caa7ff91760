"""Routes out of the table of calls: one for each path, so that a 405 names all its methods.

What a call's line in the table says is held here, not in its handler: that the internal secret is
asked for, and that a query means something.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from adapters.log import log_fields
from api.auth import check_internal_secret
from api.bodies import Nothing, read_query, usual_uuid
from api.call import Call

Endpoint = Callable[[Request], Awaitable[Response]]


def routes_of(calls: Iterable[Call]) -> list[BaseRoute]:
    """The routes, paths in the order in which they first appear."""
    by_path: dict[str, dict[str, Call]] = {}
    routes: list[BaseRoute] = []
    for call in calls:
        if call.is_socket:
            routes.append(WebSocketRoute(call.path, call.handler))
        else:
            by_path.setdefault(call.path, {})[call.method] = call
    for path, by_method in by_path.items():
        routes.append(Route(path, _endpoint(by_method), methods=list(by_method)))
    return routes


def _endpoint(calls: Mapping[str, Call]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        call = calls["GET" if request.method == "HEAD" else request.method]
        if call.guard == "internal":
            check_internal_secret(request)
        if request.scope["query_string"] and call.takes_no_query:
            # Not ignored: ?close_position=false has to be told that it belongs into the body.
            read_query(request, Nothing)
        with _about(request):
            answer = await call.handler(request)
        assert isinstance(answer, Response)
        return answer

    return endpoint


def _about(request: Request) -> AbstractContextManager[None]:
    """Whatever is logged for a request about an agent names it."""
    agent_id = usual_uuid(request.path_params.get("agent_id", ""))
    return nullcontext() if agent_id is None else log_fields(agent_id=agent_id)
