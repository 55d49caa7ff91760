"""The hub behind a real socket, for WebSockets: what uvicorn does counts here."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import uvicorn
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect

from adapters.db import users
from adapters.settings import Settings
from api.__main__ import server_config
from api.app import create_app
from api.hub import Hub
from tests.api.conftest import CHEAP_HASH
from tests.conftest import wait_for

AGENT = {"symbol": "BTC/USDT", "strategy_name": "momentum_breakout"}


@dataclass(frozen=True)
class ServedHub:
    """A hub that listens."""

    app: Starlette
    port: int
    connections: Collection[object]
    """Those that are open, also where only the end of what was written is waited for."""

    @property
    def hub(self) -> Hub:
        """What its handlers share."""
        hub = self.app.state.hub
        assert isinstance(hub, Hub)
        return hub

    async def token(self, name: str) -> tuple[UUID, str]:
        """A new account and a token of it."""
        user = await users.create_user(self.hub.database, f"{name}@example.com", CHEAP_HASH)
        return user.id, self.hub.tokens.issue(user.id, uuid4())

    def http(self, token: str) -> httpx.AsyncClient:
        """A client over the network."""
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=20.0,
            trust_env=False,
        )

    def socket(self, token: str, query: str = "", **more: Any) -> connect:
        """A WebSocket; use it with `async with`."""
        url = f"ws://127.0.0.1:{self.port}/ws?token={token}{query}"
        return connect(url, proxy=None, **more)


@asynccontextmanager
async def serve(settings: Settings, *, measured: bool = True) -> AsyncIterator[ServedHub]:
    """A hub on a free port, served as the real process is; measured: with Redis there."""
    app = create_app(settings)
    config = server_config(app, settings)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await wait_for(lambda: server.started or task.done(), seconds=10)
        hub = ServedHub(app, listening.getsockname()[1], server.server_state.connections)
        if measured:
            await hub.hub.clock.measure()
        yield hub
    finally:
        server.should_exit = True
        await task


async def receive(client: ClientConnection, seconds: float = 10.0) -> dict[str, Any]:
    """The next message."""
    async with asyncio.timeout(seconds):
        message: dict[str, Any] = json.loads(await client.recv())
    return message


async def receive_until(
    client: ClientConnection,
    kind: str,
    seconds: float = 15.0,
    *,
    check: Callable[[Any], bool] | None = None,
    **data: Any,
) -> list[dict[str, Any]]:
    """Every message up to one of a kind whose data has these values, or passes the check."""
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(seconds):
        while True:
            message = json.loads(await client.recv())
            seen.append(message)
            found = message.get("data", {})
            matches = all(found.get(name) == value for name, value in data.items())
            if message["type"] == kind and matches and (check is None or check(found)):
                return seen
