"""An exchange's public REST and WebSocket on one port: what HashKey and Kraken have in common.

Prices are served as the test sets them; one that changes is pushed to whoever has subscribed.
Counts requests, connections and subscriptions.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import WSMsgType, web

BASES = {"BTC": 64_231.5, "ETH": 3_012.25, "SOL": 151.5}
Bar = tuple[float, float, float, float, float, float]


@dataclass
class ExchangeServer:
    """One exchange. prices by base currency, all quoted in USDT."""

    prices: dict[str, float] = field(default_factory=lambda: dict(BASES))
    requests: Counter[str] = field(default_factory=Counter)
    candles_asked: list[tuple[str, str]] = field(default_factory=list)
    subscribed: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    silent: bool = False
    """Sockets stay open and nothing comes of them."""
    refuse: tuple[int, str] | None = None
    """What REST answers instead, with this status."""
    held: asyncio.Event | None = None
    """REST answers only once this is set."""
    clock: Callable[[], float] = time.time
    sockets: dict[web.WebSocketResponse, set[str]] = field(default_factory=dict)
    port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Its paths."""
        raise NotImplementedError

    def ticker(self, base: str) -> object:
        """The message that pushes a price."""
        raise NotImplementedError

    async def hear(self, socket: web.WebSocketResponse, said: dict[str, Any]) -> None:
        """A client's message."""
        raise NotImplementedError

    async def push(self, base: str, price: float) -> None:
        """A new price, told to all who have subscribed to it."""
        self.prices[base] = price
        if not self.silent:
            for socket, bases in list(self.sockets.items()):
                if base in bases:
                    await socket.send_str(json.dumps(self.ticker(base)))

    def forget(self, base: str) -> None:
        """Loses every subscription to a symbol, without a word."""
        for bases in self.sockets.values():
            bases.discard(base)

    async def break_off(self) -> None:
        """Ends every WebSocket."""
        for socket in list(self.sockets):
            await socket.close(code=1011)

    def bars(self, base: str, seconds: int, limit: int) -> list[Bar]:
        """Bars up to the unfinished one of now, oldest first: made up, the same for everybody."""
        newest = int(self.clock()) // seconds * seconds
        return [
            _bar(BASES.get(base, 1.0), opened, seconds)
            for opened in range(newest - (limit - 1) * seconds, newest + 1, seconds)
        ]

    async def answer(self, request: web.Request, make: Callable[[], object]) -> web.Response:
        """A REST answer, or the fault that stands."""
        self.requests[request.path] += 1
        if self.held is not None:
            await self.held.wait()
        if self.refuse is not None:
            return web.Response(status=self.refuse[0], text=self.refuse[1])
        return web.json_response(make())

    async def serve_socket(self, request: web.Request) -> web.WebSocketResponse:
        """A WebSocket from its beginning to its end."""
        self.connections += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets[socket] = set()
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT and not self.silent:
                    await self.hear(socket, json.loads(message.data))
        finally:
            del self.sockets[socket]
        return socket


def _bar(level: float, opened: int, seconds: int) -> Bar:
    step = opened // seconds % 97
    return (opened, level + step, level + step + 2, level + step - 3, level + step + 1, 1.5 + step)


Server = TypeVar("Server", bound=ExchangeServer)


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    """The exchange on a free port."""
    app = web.Application()
    server.add_routes(app.router)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await server.break_off()
        await runner.cleanup()
