"""A hub that knows only agent containers, as they exist in the field: it takes what containers
report, believes every report, and counts a trade as often as it is told of it.

It serves the three calls of /internal that agents make, with that hub's own secret. Bodies are
held to the field's format; what is none is answered 422 and written down in `mistakes`.
"""

import asyncio
import json
import socket
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

SECRET = "the-secret-of-the-old-hub"
STATUS: dict[str, tuple[type, ...]] = {
    "running": (bool,),
    "symbol": (str,),
    "last_price": (float, int),
    "side": (str,),
    "entry_price": (float, int),
    "position_size_usdt": (float, int),
    "leverage": (int,),
    "unrealized_pnl_usdt": (float, int),
    "last_action": (str,),
    "last_reason": (str,),
    "active_strategy": (str,),
}
TRADE: dict[str, tuple[type, ...]] = {
    "agent_id": (str,),
    "side": (str,),
    "entry_price": (float, int),
    "exit_price": (float, int),
    "size_usdt": (float, int),
    "leverage": (int,),
    "pnl": (float, int),
    "strategy": (str,),
    "close_reason": (str,),
    "tx_hash": (str,),
}
LOGS: dict[str, tuple[type, ...]] = {"agent_id": (str,), "entries": (list,)}
LINE: dict[str, tuple[type, ...]] = {"ts": (str,), "level": (str,), "message": (str,)}


@dataclass
class OldHub:
    """What it was told. `fails` is a status that it answers instead; `held` makes it slow: it
    answers only once this is set; `loses_answers`: it takes a report and breaks off. `sends_to` is
    where it redirects.
    """

    fails: int | None = None
    held: asyncio.Event | None = None
    loses_answers: bool = False
    sends_to: str = ""
    statuses: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    trades: list[dict[str, Any]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    lines: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    calls_of_logs: int = 0
    requests: int = 0
    connections: set[Any] = field(default_factory=set)
    mistakes: list[str] = field(default_factory=list)
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """What containers are told as HUB_URL."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listens; on the port of before when it is started again."""
        app = web.Application()
        app.router.add_post("/internal/agents/{id}/status", self._status)
        app.router.add_post("/internal/trades", self._trade)
        app.router.add_post("/internal/logs", self._logs)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        listening = socket.create_server(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        await web.SockSite(self._runner, listening).start()

    async def stop(self) -> None:
        """Nobody listens any more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return await self._take(request, STATUS, ("running",), self._keep_status)

    async def _trade(self, request: web.Request) -> web.StreamResponse:
        self.events.append(request.headers.get("Idempotency-Key", ""))
        return await self._take(request, TRADE, ("agent_id", "side", "entry_price"), self._keep)

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        self.calls_of_logs += 1
        return await self._take(request, LOGS, ("agent_id", "entries"), self._keep_lines)

    async def _take(
        self, request: web.Request, fields: dict[str, Any], needed: tuple[str, ...], keep: Any
    ) -> web.StreamResponse:
        self.requests += 1
        self.connections.add(request.transport)
        if self.held is not None:
            await self.held.wait()
        if self.sends_to:
            return web.Response(status=307, headers={"Location": self.sends_to})
        if self.fails is not None:
            return web.Response(status=self.fails, text="Internal Server Error")
        if request.headers.get("X-Internal-Secret") != SECRET:
            return web.json_response({"detail": "Invalid internal secret"}, status=403)
        body = json.loads(await request.read())
        wrong = _wrong(body, fields, needed)
        if wrong:
            self.mistakes.append(f"{request.path}: {wrong}")
            return web.json_response({"detail": wrong}, status=422)
        keep(request, body)
        if self.loses_answers:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"ok": True})

    def _keep_status(self, request: web.Request, body: dict[str, Any]) -> None:
        if body.get("side") not in ("LONG", "SHORT", "FLAT", None):
            self.mistakes.append(f"side {body['side']}")
        self.statuses[request.match_info["id"]].append(body)

    def _keep(self, request: web.Request, body: dict[str, Any]) -> None:
        self.trades.append(body)

    def _keep_lines(self, request: web.Request, body: dict[str, Any]) -> None:
        for line in body["entries"]:
            wrong = _wrong(line, LINE, tuple(LINE))
            if wrong:
                self.mistakes.append(f"{request.path}: {wrong}")
        self.lines[body["agent_id"]] += body["entries"]


def _wrong(body: Any, fields: dict[str, tuple[type, ...]], needed: tuple[str, ...]) -> str:
    """What of a body is not in the field's format; empty where nothing is."""
    if not isinstance(body, dict):
        return "no object"
    missing = [name for name in needed if name not in body]
    wrong = [
        name
        for name, value in body.items()
        if name not in fields
        or not isinstance(value, fields[name])
        or (isinstance(value, bool) and bool not in fields[name])
    ]
    return ", ".join([f"{name} missing" for name in missing] + [f"{name} wrong" for name in wrong])
