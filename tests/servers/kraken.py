"""Kraken's public market data: AssetPairs and OHLC over REST, version 2 of its WebSocket.

Many symbols in one subscription, a heartbeat each second, no time in a ticker, seconds in candles.
"""

import json
from typing import Any

from aiohttp import web

from tests.servers.exchanges import ExchangeServer


class KrakenServer(ExchangeServer):
    """Answers are wrapped in `error` and `result`; numbers are numbers on the WebSocket."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/0/public/AssetPairs", self._pairs)
        router.add_get("/0/public/Assets", self._assets)
        router.add_get("/0/public/OHLC", self._ohlc)
        router.add_get("/v2", self.serve_socket)

    async def hear(self, socket: web.WebSocketResponse, said: dict[str, Any]) -> None:
        if said["method"] == "ping":
            return await socket.send_str(json.dumps({"method": "pong", "req_id": said["req_id"]}))
        asked = said["params"]
        for symbol in asked["symbol"]:
            result = {"channel": asked["channel"], "symbol": symbol, "snapshot": True}
            times = {"time_in": "2026-01-01T00:00:00Z", "time_out": "2026-01-01T00:00:00Z"}
            told = {"method": "subscribe", "req_id": said["req_id"], "result": result, **times}
            await socket.send_str(json.dumps(told | {"success": True}))
            base = symbol.partition("/")[0]
            self.subscribed[base] += 1
            self.sockets[socket].add(base)
            await socket.send_str(json.dumps(self.ticker(base) | {"type": "snapshot"}))
        return None

    def ticker(self, base: str) -> dict[str, Any]:
        price = self.prices[base]
        book = {"bid": price, "bid_qty": 0.013, "ask": price, "ask_qty": 17.2}
        day = {"volume": 2158.3, "vwap": price, "low": price, "high": price, "change": 0.0}
        data = {"symbol": f"{base}/USDT", **book, "last": price, **day, "change_pct": 0.0}
        return {"channel": "ticker", "type": "update", "data": [data]}

    async def _pairs(self, request: web.Request) -> web.Response:
        return await self._result(request, {f"{base}USDT": _pair(base) for base in self.prices})

    async def _assets(self, request: web.Request) -> web.Response:
        names = [*self.prices, "USDT"]
        return await self._result(
            request,
            {
                name: {
                    "aclass": "currency",
                    "altname": name,
                    "decimals": 10,
                    "display_decimals": 5,
                    "status": "enabled",
                }
                for name in names
            },
        )

    async def _ohlc(self, request: web.Request) -> web.Response:
        pair, minutes = request.query["pair"], int(request.query["interval"])
        base = pair.removesuffix("USDT")
        self.candles_asked.append((f"{base}/USDT", str(minutes)))
        bars = [
            [t, f"{o}", f"{h}", f"{low}", f"{c}", f"{c}", f"{v}", 5]
            for t, o, h, low, c, v in self.bars(base, minutes * 60, 720)
        ]
        return await self._result(request, {pair: bars, "last": bars[-2][0]})

    async def _result(self, request: web.Request, result: object) -> web.Response:
        return await self.answer(request, lambda: {"error": [], "result": result})


def _pair(base: str) -> dict[str, object]:
    return {
        "altname": f"{base}USDT", "wsname": f"{base}/USDT", "aclass_base": "currency",
        "base": base, "aclass_quote": "currency", "quote": "USDT", "lot": "unit",
        "cost_decimals": 5, "pair_decimals": 1, "lot_decimals": 8, "lot_multiplier": 1,
        "leverage_buy": [], "leverage_sell": [], "fees": [[0, 0.4]], "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD", "margin_call": 80, "margin_stop": 40,
        "ordermin": "0.00005", "costmin": "0.5", "tick_size": "0.1", "status": "online",
    }  # fmt: skip
