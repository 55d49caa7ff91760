"""What the hub says of a live market: symbols, prices, sources, and why nobody trades for real."""

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import httpx
import msgspec
import pytest
from starlette.applications import Starlette

from adapters import candle_service
from adapters.db import users
from adapters.live_frames import LivePrices
from adapters.live_table import SYMBOLS_MAX, LiveTable, SeenPrice
from adapters.settings import Settings
from api import market
from api.app import create_app
from api.hub import Hub
from api.sources import sources_of
from tests.api.conftest import CHEAP_HASH
from tests.api.serving import serve
from tests.api.test_secrets import put
from tests.conftest import wait_for
from tests.servers.twelvedata import twelvedata
from workers.live_feed import FeedReportLine

AGENT = {"symbol": "BTC/USDT", "strategy_name": "momentum_breakout"}


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[Starlette]:
    """A hub on prices of Pyth; nobody streams them."""
    app = create_app(replace(settings, price_source="pyth", pyth_url="http://127.0.0.1:1"))
    async with app.router.lifespan_context(app):
        await app.state.hub.clock.measure()
        yield app


@pytest.fixture
def hub(app: Starlette) -> Hub:
    hub = app.state.hub
    assert isinstance(hub, Hub)
    return hub


@pytest.fixture
def table(hub: Hub) -> LiveTable:
    assert isinstance(hub.prices.source, LivePrices)
    return hub.prices.source.table


@pytest.fixture
async def http(app: Starlette, hub: Hub) -> AsyncIterator[httpx.AsyncClient]:
    user = await users.create_user(hub.database, "alice@example.com", CHEAP_HASH)
    token = hub.tokens.issue(user.id, uuid4())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://hub", headers=headers
    ) as http:
        yield http


async def feed(table: LiveTable, symbol: str, price: float, published: float) -> None:
    seen = SeenPrice(symbol, price, price, price, price, math.nan, published, 0.25)
    assert await table.hold("me", 60_000) and await table.write("me", [seen])


async def test_until_the_source_has_said_its_symbols_callers_wait(
    hub: Hub, http: httpx.AsyncClient, table: LiveTable
) -> None:
    for path in ("symbols", "price?symbol=BTC", "candles?symbol=BTC&timeframe=1m"):
        answer = await http.get(f"/api/market/{path}")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert (await http.post("/api/agents", json=AGENT)).status_code == 503
    await table.know_symbols("pyth", ["BTC/USDT", "ETH/USDT"])
    await wait_for(lambda: hub.prices.symbols)
    assert (await http.get("/api/market/symbols")).json() == {"symbols": ["BTC/USDT", "ETH/USDT"]}
    assert (await http.post("/api/agents", json=AGENT)).status_code == 201
    assert await table.followed(hub.clock.now()) == ("BTC/USDT",)
    refused = await http.post("/api/agents", json=AGENT | {"symbol": "ETHH/USDT"})
    assert refused.json()["errors"] == [
        {"field": "symbol", "message": "no prices for ETHH/USDT; did you mean ETH/USDT?"}
    ]


async def test_a_price_that_nobody_followed_is_waited_for(
    hub: Hub, http: httpx.AsyncClient, table: LiveTable
) -> None:
    await table.know_symbols("pyth", ["BTC/USDT"])
    await hub.prices.learn()
    asking = asyncio.create_task(http.get("/api/market/price", params={"symbol": "btc"}))

    async def followed() -> bool:
        return await table.followed(hub.clock.now()) == ("BTC/USDT",)

    await wait_for(followed)
    now = hub.clock.now()
    await feed(table, "BTC/USDT", 61_409.5, now)
    told = (await asking).json()
    assert (told["price"], told["conf"], told["source"]) == (61_409.5, 0.25, "pyth")
    assert told["stale"] is False
    await feed(table, "BTC/USDT", 61_500.0, now - 60)
    told = (await http.get("/api/market/price", params={"symbol": "btc"})).json()
    assert told["stale"] is True


async def test_an_old_price_is_told_at_once(
    hub: Hub, http: httpx.AsyncClient, table: LiveTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market, "FIRST_PRICE_S", 60.0)
    await table.know_symbols("pyth", ["BTC/USDT", "WBTC/USDT"])
    await hub.prices.learn()
    await feed(table, "WBTC/USDT", 61_300.0, hub.clock.now() - 7_200)
    async with asyncio.timeout(20):
        told = (await http.get("/api/market/price", params={"symbol": "wbtc"})).json()
    assert (told["symbol"], told["price"], told["stale"]) == ("WBTC/USDT", 61_300.0, True)


async def test_an_exchange_that_cannot_be_used_is_said(
    settings: Settings, hub: Hub, http: httpx.AsyncClient
) -> None:
    """Also where its prices are the only ones, and nobody can stream them."""
    why = "ARTIC_EXCHANGE cannot be used: ccxt has no exchange 'nope' with a stream of prices"
    await hub.candles.store.tell_exchange_trouble("nope", why)
    (prices,) = (await http.get("/api/market/sources")).json()["sources"]
    assert prices["state"] == "nobody"  # it is of another source
    app = create_app(replace(settings, price_source="exchange", exchange="nope"))
    async with app.router.lifespan_context(app):
        await app.state.hub.clock.measure()
        (told,) = await sources_of(app.state.hub)
        assert (told.state, told.last_error, told.errors) == ("failing", why, 1)


async def test_sources_say_how_they_are(
    hub: Hub, http: httpx.AsyncClient, table: LiveTable
) -> None:
    (source,) = (await http.get("/api/market/sources")).json()["sources"]
    assert (source["source"], source["state"], source["held_by"]) == ("pyth", "nobody", None)
    now = hub.clock.now()
    line = FeedReportLine(
        source="pyth", state="connected", connected_since=now - 100, last_message_at=now - 2,
        errors=3, last_error="it broke", dropped={"jump": 2}, feeder="w1", symbols=2, at=now,
    )  # fmt: skip
    await table.tell(msgspec.json.encode(line))
    await hub.candles.store.tell({"at": now, "sources": [
        {"source": "twelvedata", "requests": 9, "errors": 1, "last_error": "no credits",
         "last_message_at": now - 5, "blocked_until": now + 30,
         "budget_left": {"minute": 0, "day": 700}},
        {"source": "hashkey", "requests": 2, "errors": 2, "last_error": "hashkey answers 502",
         "last_message_at": now - 90, "blocked_until": None, "failing": True},
    ]})  # fmt: skip
    await table.use(["BTC/USDT", "ETH/USDT"])
    await feed(table, "BTC/USDT", 61_409.5, now)

    async def framed() -> bool:
        made = await hub.sights.frame(hub.clock.slot())
        return made is not None and (await hub.sights.newest_frame()) is not None

    await wait_for(framed)
    told = (await http.get("/api/market/sources")).json()
    assert told["prices"] == "prices are streamed from Pyth"
    prices, candles, exchange = told["sources"]
    assert (exchange["state"], exchange["last_error"]) == ("failing", "hashkey answers 502")
    assert prices["state"] == "connected" and prices["held_by"] == "w1"
    assert 2 <= prices["last_message_age_s"] < 12 and prices["connected_since"].endswith("Z")
    assert prices["stale_symbols"] == ["ETH/USDT"]
    assert prices["last_error"] == "it broke" and prices["dropped"] == {"jump": 2}
    assert candles["state"] == "blocked" and candles["retry_at"].endswith("Z")
    assert candles["budget_left"] == {"minute": 0, "day": 700}
    http.headers.pop("authorization")
    ready = (await http.get("/ready")).json()
    assert [each["source"] for each in ready["sources"]] == ["pyth", "twelvedata", "hashkey"]
    assert ready["sources"][2]["state"] == "failing" and "last_error" not in ready["sources"][2]
    assert ready["sources"][0]["errors"] == 3 and "last_error" not in ready["sources"][0]


async def test_more_symbols_than_can_be_followed_are_refused(
    hub: Hub, http: httpx.AsyncClient, table: LiveTable
) -> None:
    traded = [f"C{n:03}/USDT" for n in range(SYMBOLS_MAX - 1)]
    await table.know_symbols("pyth", [*traded, "BTC/USDT", "ETH/USDT"])
    await table.use(traded)
    await hub.prices.learn()
    made = (await http.post("/api/agents", json=AGENT)).json()
    await table.use([*traded, "BTC/USDT"])
    await hub.prices.learn()
    assert (await http.post("/api/agents", json=AGENT)).status_code == 201
    refused = await http.post("/api/agents", json=AGENT | {"symbol": "ETH/USDT"})
    assert refused.status_code == 409
    assert refused.json()["detail"].startswith("agents trade 100 symbols already")
    path = f"/api/agents/{made['id']}"
    assert (await http.patch(path, json={"symbol": "ETH"})).status_code == 409
    assert (await http.patch(path, json={"name": "still mine"})).status_code == 200


async def test_a_users_own_key_is_used_and_reported(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candle_service, "WAIT_S", 0.3)  # nobody else fetches here
    async with twelvedata(keys={"of-alice"}) as server:
        live = replace(
            settings, price_source="pyth", pyth_url="http://127.0.0.1:1", twelvedata_url=server.url
        )
        async with serve(live) as served:
            hub = served.hub
            assert isinstance(hub.prices.source, LivePrices)
            await hub.prices.source.table.know_symbols("pyth", ["BTC/USDT", "ETH/USDT"])
            await hub.prices.learn()
            asked = {"symbol": "BTC/USDT", "timeframe": "1h"}
            for name, value in (("alice", "of-alice"), ("bob", "wrong")):
                _, token = await served.token(name)
                async with served.http(token) as http:
                    await put(http, value)
                    told = await http.get("/api/market/candles", params=asked)
                    *_, own = (await http.get("/api/market/sources")).json()["sources"]
                    assert own["is_own"] is True and own["source"] == "twelvedata"
                    assert value not in str(own)
                    if name == "alice":
                        assert told.json()["source"] == "twelvedata" and not told.json()["stale"]
                        assert own["budget_left"] == {"minute": 7, "day": 799}
                        assert (own["state"], own["errors"]) == ("connected", 0)
                        asked = {"symbol": "ETH/USDT", "timeframe": "1h"}
                    else:
                        # A refused key is said to its owner, and not tried again and again.
                        assert told.status_code == 503
                        assert (await http.get("/api/market/candles", params=asked)).is_error
                        assert own["state"] == "blocked" and "refuses the key" in own["last_error"]
            assert [key for _, key, _, _ in server.asked] == ["of-alice", "wrong"]


async def test_live_mode_is_not_built_here_either(
    hub: Hub, http: httpx.AsyncClient, table: LiveTable
) -> None:
    await table.know_symbols("pyth", ["BTC/USDT"])
    await hub.prices.learn()
    refused = await http.post("/api/agents", json=AGENT | {"live_mode": True})
    assert refused.status_code == 409
    assert refused.json()["detail"].startswith("live_mode is not available yet")
