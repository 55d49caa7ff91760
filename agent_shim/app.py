"""The agent endpoint as an ASGI application: whom a request is for, then what it asks.

Handlers read a call, pass it to the hub and hand its answer back; they decide nothing. Everything
that is no success has the shape {"detail": ...}.
"""

import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, ExceptionHandler, Receive, Scope, Send

from agent_shim import bodies
from agent_shim.addresses import WRONG_HOST, Addressed, NotAddressed, find_agent
from agent_shim.answers import WrongAnswer, read_answer
from agent_shim.client import Called, HubAnswer, HubClient
from agent_shim.errors import Detail, Refusal
from agent_shim.log import log_fields
from agent_shim.request_ids import RequestIds

log = logging.getLogger("artic.shim")

BODY_BYTES_MAX = 65_536
PASSED_ON = frozenset({400, 404, 409, 413, 422, 429, 503})
"""Refusals of the hub that callers hear as they are; any other is a mistake between us: 502."""


def create_app(hub: HubClient, only_agent: UUID | None = None) -> Starlette:
    """The gateway of every agent, or the endpoint of one. It closes the client when it ends."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        log.info("agent endpoint ready for %s", only_agent or "every agent")
        yield
        await hub.aclose()

    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(RequestIds), Middleware(AgentAddress, only_agent=only_agent)],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a path is spelled in one way
    app.state.hub = hub
    return app


class AgentAddress:
    """ASGI middleware: finds the agent that is meant, and leaves the path of the call."""

    def __init__(self, app: ASGIApp, only_agent: UUID | None) -> None:
        self._app = app
        self._only_agent = only_agent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = self._find(scope)
        if isinstance(found, NotAddressed):
            await _detail(found.status, found.detail)(scope, receive, send)
            return
        state = {**scope.get("state", {}), "agent_id": found.agent_id}
        with log_fields(agent_id=str(found.agent_id)):
            await self._app({**scope, "path": found.path, "state": state}, receive, send)

    def _find(self, scope: Scope) -> Addressed | NotAddressed:
        hosts = [value for key, value in scope["headers"] if key == b"host"]
        if len(hosts) != 1:
            return WRONG_HOST
        return find_agent(hosts[0].decode("latin-1"), scope["path"], self._only_agent)


async def health(request: Request) -> Response:
    """GET /health: {ok, running}."""
    bodies.read_no_query(request.query_params.multi_items())
    return await _ask(request, "health")


async def start(request: Request) -> Response:
    """POST /start: with a body what is to be done, without one as the hub knows the agent."""
    bodies.read_no_query(request.query_params.multi_items())
    body = bodies.read_start(await _read_bytes(request), _content_type(request))
    return await _ask(request, "start", body=body)


async def stop(request: Request) -> Response:
    """POST /stop?closePosition=true."""
    close_position = bodies.read_stop_query(request.query_params.multi_items())
    bodies.read_no_body(await _read_bytes(request))
    query = {"closePosition": "true" if close_position else "false"}
    return await _ask(request, "stop", query=query)


async def status(request: Request) -> Response:
    """GET /status."""
    bodies.read_no_query(request.query_params.multi_items())
    return await _ask(request, "status")


async def logs(request: Request) -> Response:
    """GET /logs?limit=: {logs, running}, newest last."""
    limit = bodies.read_logs_query(request.query_params.multi_items())
    return await _ask(request, "logs", query=None if limit is None else {"limit": str(limit)})


async def plan(request: Request) -> Response:
    """POST /plan: the body of /start, or none."""
    bodies.read_no_query(request.query_params.multi_items())
    body = bodies.read_start(await _read_bytes(request), _content_type(request))
    return await _ask(request, "plan", body=body)


async def config(request: Request) -> Response:
    """POST /config: {status, updated}."""
    bodies.read_no_query(request.query_params.multi_items())
    body = bodies.read_config(await _read_bytes(request), _content_type(request))
    return await _ask(request, "config", body=body)


async def _ask(
    request: Request,
    call: str,
    *,
    body: dict[str, Any] | None = None,
    query: dict[str, str] | None = None,
) -> Response:
    """Passes a call to the hub, and its answer back."""
    hub: HubClient = request.app.state.hub
    method = "GET" if request.method == "HEAD" else request.method
    to = Called(method, request.state.agent_id, call, request.state.request_id)
    answer = await hub.call(to, body=body, query=query)
    if answer.status != 200:
        raise _refusal(call, answer)
    try:
        return _json(200, read_answer(call, answer.body))
    except WrongAnswer as error:
        log.error("the hub's answer is not the contract's: %s", error)
        raise Refusal(502, "hub gave no valid answer") from error


def _refusal(call: str, answer: HubAnswer) -> Refusal:
    detail = answer.body.get("detail") if isinstance(answer.body, dict) else None
    if answer.status not in PASSED_ON or not isinstance(detail, str | list):
        log.error("the hub answered %s with status %d", call, answer.status)
        return Refusal(502, "hub failed")
    headers = {} if answer.retry_after is None else {"Retry-After": answer.retry_after}
    return Refusal(answer.status, detail, headers)


async def _read_bytes(request: Request) -> bytes:
    chunks: list[bytes] = []
    length = 0
    try:
        async for chunk in request.stream():
            length += len(chunk)
            if length > BODY_BYTES_MAX:
                raise Refusal(413, f"the body is larger than {BODY_BYTES_MAX} bytes")
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise Refusal(400, "the body ended early") from error
    return b"".join(chunks)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "")


def _json(status: int, value: object, headers: Mapping[str, str] | None = None) -> Response:
    # In ASCII: a caller's own broken text, named in an error, must not break the answer.
    encoded = json.dumps(value, separators=(",", ":"))
    return Response(encoded, status, headers, "application/json")


def _detail(status: int, detail: Detail, headers: Mapping[str, str] | None = None) -> Response:
    return _json(status, {"detail": detail}, headers)


async def on_refusal(request: Request, error: Exception) -> Response:
    """Exception handler for Refusal."""
    assert isinstance(error, Refusal)
    return _detail(error.status, error.detail, error.headers)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Exception handler for what the router itself refuses (404, 405)."""
    assert isinstance(error, HTTPException)
    details = {404: "no such path", 405: f"{request.method} is not allowed here"}
    detail = details.get(error.status_code, str(error.detail))
    return _detail(error.status_code, detail, error.headers)


HANDLERS: Mapping[Any, ExceptionHandler] = {
    Refusal: on_refusal,
    HTTPException: on_http_exception,
}

ROUTES = [
    Route("/health", health),
    Route("/start", start, methods=["POST"]),
    Route("/stop", stop, methods=["POST"]),
    Route("/status", status),
    Route("/logs", logs),
    Route("/plan", plan, methods=["POST"]),
    Route("/config", config, methods=["POST"]),
]
