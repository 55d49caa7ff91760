"""Routes out of the table of calls: one for each path, so that a 405 names all its methods."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from api.call import Call, Handler

Endpoint = Callable[[Request], Awaitable[Response]]


def routes_of(calls: Iterable[Call]) -> list[BaseRoute]:
    """The routes, paths in the order in which they first appear."""
    by_path: dict[str, dict[str, Handler]] = {}
    routes: list[BaseRoute] = []
    for call in calls:
        if call.is_socket:
            routes.append(WebSocketRoute(call.path, call.handler))
        else:
            by_path.setdefault(call.path, {})[call.method] = call.handler
    for path, handlers in by_path.items():
        routes.append(Route(path, _endpoint(handlers), methods=list(handlers)))
    return routes


def _endpoint(handlers: Mapping[str, Handler]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        answer = await handlers[method](request)
        assert isinstance(answer, Response)
        return answer

    return endpoint
