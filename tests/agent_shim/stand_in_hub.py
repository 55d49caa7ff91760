"""A small HTTP server that speaks the hub's /internal/agents/{id}/endpoint/*, and writes down what
it was asked.

It knows one agent and one secret. `spoil` makes it answer what no hub should.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.conftest import wait_for

SECRET = "internal-" * 4
AGENT = UUID("0e37df36-f698-11e6-8dd4-cb9ced3df976")
STRANGER = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
STATUS: dict[str, Any] = {
    "running": True,
    "symbol": "BTC/USDT",
    "last_price": 64_231.5,
    "amount_usdt": 50.0,
    "config_leverage": 2,
    "side": "FLAT",
    "entry_price": None,
    "position_size_usdt": None,
    "leverage": None,
    "unrealized_pnl_usdt": None,
    "last_action": "HOLD",
    "last_reason": "the signal is below the threshold",
    "active_strategy": "momentum_breakout",
}
STARTED = {
    "started": True,
    "symbol": "BTC/USDT",
    "live_mode": False,
    "tp_sl_mode": "fixed",
    "supervisor_interval_seconds": None,
}
LOG_LINE = {"ts": "2026-01-31T12:00:00.000Z", "level": "action", "message": "long, 1 ₿ \u2713"}


@dataclass(frozen=True)
class Asked:
    """One call as the hub saw it."""

    method: str
    call: str
    query: str
    body: bytes
    content_type: str | None


@dataclass
class StandInHub:
    """What it was asked, and what it answers instead of the usual."""

    asked: list[Asked] = field(default_factory=list)
    request_ids: list[str | None] = field(default_factory=list)
    spoil: Response | None = None

    @property
    def app(self) -> Starlette:
        """The application."""
        path = "/internal/agents/{agent_id}/endpoint/{call}"
        return Starlette(routes=[Route(path, self._answer, methods=["GET", "POST"])])

    async def _answer(self, request: Request) -> Response:
        call = request.path_params["call"]
        headers = request.headers
        if headers.get("x-internal-secret") != SECRET:
            return JSONResponse({"detail": "the internal secret is missing or wrong"}, 403)
        body = await request.body()
        query = request.url.query
        self.asked.append(Asked(request.method, call, query, body, headers.get("content-type")))
        self.request_ids.append(headers.get("x-request-id"))
        if request.path_params["agent_id"] != str(AGENT):
            return JSONResponse({"detail": "no such agent"}, 404)
        if self.spoil is not None:
            return self.spoil
        if call == "plan":
            return JSONResponse({"detail": "LLM not configured"}, 503)
        return JSONResponse(self._usual(call, await request.json() if body else {}))

    def _usual(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        answers: dict[str, dict[str, Any]] = {
            "health": {"ok": True, "running": True},
            "start": STARTED,
            "stop": {"stopped": True, "closed": True},
            "status": STATUS,
            "logs": {"logs": [LOG_LINE], "running": True},
            "config": {"status": "ok", "updated": body},
        }
        return answers[call]


def broken() -> Response:
    """An answer that is no JSON."""
    return PlainTextResponse("<html>Bad Gateway</html>", 502)


@asynccontextmanager
async def listen(app: Starlette, port: int = 0) -> AsyncIterator[int]:
    """Serves an application on a port of this machine, by default a free one."""
    listening = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="none")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await wait_for(lambda: server.started or task.done(), seconds=10)
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await task


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
