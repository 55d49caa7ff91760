"""HashKey Global's public market data as its documents have it: exchangeInfo, klines, realtimes.

`python -m tests.servers.hashkey` runs one and prints the settings for it.
"""

import asyncio
import json
from typing import Any

from aiohttp import web

from tests.servers.exchanges import ExchangeServer, serving

KLINE_S = {"1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "4h": 14_400, "1d": 86_400}


class HashKeyServer(ExchangeServer):
    """One topic and symbol for each subscription; times in milliseconds, numbers as text."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/api/v1/exchangeInfo", self._exchange_info)
        router.add_get("/quote/v1/klines", self._klines)
        router.add_get("/quote/ws/v1", self.serve_socket)

    async def hear(self, socket: web.WebSocketResponse, said: dict[str, Any]) -> None:
        if "ping" in said:
            return await socket.send_str(json.dumps({"pong": said["ping"]}))
        base = str(said["symbol"]).removesuffix("USDT")
        if said["topic"] == "realtimes" and said["event"] == "sub" and base in self.prices:
            self.subscribed[base] += 1
            self.sockets[socket].add(base)
            await socket.send_str(json.dumps(self.ticker(base) | {"f": True}))
        return None

    def ticker(self, base: str) -> dict[str, Any]:
        pair, price, now_ms = f"{base}USDT", f"{self.prices[base]:g}", int(self.clock() * 1000)
        day = {"h": price, "l": price, "o": price, "v": "666.5019", "qv": "1586902.757079"}
        return {
            "symbol": pair,
            "symbolName": pair,
            "topic": "realtimes",
            "params": {"realtimeInterval": "24h"},
            "data": [{"t": now_ms, "s": pair, "sn": pair, "c": price, **day, "m": "-0.24"}],
            "f": False,
            "sendTime": now_ms + 22,
            "shared": False,
        }

    async def _exchange_info(self, request: web.Request) -> web.Response:
        listed = [_spot(base) for base in self.prices]
        return await self.answer(
            request,
            lambda: {
                "timezone": "UTC",
                "serverTime": str(int(self.clock() * 1000)),
                "brokerFilters": [],
                "symbols": listed,
                "options": [],
                "contracts": [_perpetual(base) for base in self.prices],
                "coins": [],
            },
        )

    async def _klines(self, request: web.Request) -> web.Response:
        base, interval = request.query["symbol"].removesuffix("USDT"), request.query["interval"]
        self.candles_asked.append((f"{base}/USDT", interval))
        bars = self.bars(base, KLINE_S[interval], int(request.query.get("limit", "200")))
        return await self.answer(
            request,
            lambda: [
                [t * 1000, f"{o}", f"{h}", f"{low}", f"{c}", f"{v}", 0, "7", 68, "0.5", "3"]
                for t, o, h, low, c, v in bars
            ],
        )


def _filters(least: str) -> list[dict[str, object]]:
    return [
        {"minPrice": "0.01", "maxPrice": "100000", "tickSize": "0.01",
         "filterType": "PRICE_FILTER"},
        {"minQty": least, "maxQty": "8", "stepSize": least, "marketOrderMinQty": least,
         "marketOrderMaxQty": "4", "filterType": "LOT_SIZE"},
        {"minNotional": "1", "filterType": "MIN_NOTIONAL"},
    ]  # fmt: skip


def _spot(base: str) -> dict[str, object]:
    return {
        "symbol": f"{base}USDT", "symbolName": f"{base}USDT", "status": "TRADING",
        "baseAsset": base, "baseAssetName": base, "baseAssetPrecision": "0.00001",
        "quoteAsset": "USDT", "quoteAssetName": "USDT", "quotePrecision": "0.0000001",
        "retailAllowed": True, "piAllowed": True, "corporateAllowed": True,
        "omnibusAllowed": True, "icebergAllowed": False, "isAggregate": False,
        "allowMargin": False, "filters": _filters("0.00001"),
    }  # fmt: skip


def _perpetual(base: str) -> dict[str, object]:
    name = f"{base}USDT-PERPETUAL"
    risk = {"riskLimitId": "200000722", "quantity": "1000.00", "initialMargin": "0.10",
            "maintMargin": "0.005", "isWhite": False}  # fmt: skip
    return {
        "filters": _filters("0.001"), "exchangeId": "301", "symbol": name, "symbolName": name,
        "status": "TRADING", "baseAsset": name, "baseAssetPrecision": "0.001",
        "quoteAsset": "USDT", "quoteAssetPrecision": "0.1", "icebergAllowed": False,
        "inverse": False, "index": "USDT", "marginToken": "USDT", "marginPrecision": "0.0001",
        "contractMultiplier": "0.001", "underlying": base, "riskLimits": [risk],
    }  # fmt: skip


async def _serve() -> None:
    async with serving(HashKeyServer()) as server:
        print(f"ARTIC_EXCHANGE=hashkey ARTIC_EXCHANGE_URL={server.url}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
