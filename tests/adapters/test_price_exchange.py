"""The real ccxt against servers that speak the wire formats of two exchanges."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from adapters import price_exchange, price_silence
from adapters.errors import FeedError
from adapters.exchange_ccxt import NoSuchExchange, moved, open_exchange
from adapters.price_exchange import ExchangeFeed
from adapters.price_gate import PriceUpdate
from adapters.price_silence import SilenceWatch
from tests.conftest import wait_for
from tests.servers.exchanges import ExchangeServer, serving
from tests.servers.hashkey import HashKeyServer
from tests.servers.kraken import KrakenServer

EXCHANGES: dict[str, Callable[[], ExchangeServer]] = {
    "hashkey": HashKeyServer,
    "kraken": KrakenServer,
}


@dataclass
class Following:
    """A feed that runs, and what it has said."""

    feed: ExchangeFeed
    updates: list[PriceUpdate]

    async def price(self, symbol: str, price: float) -> PriceUpdate:
        """An update of a symbol with this price."""

        def found() -> list[PriceUpdate]:
            return [u for u in self.updates if (u.symbol, u.price) == (symbol, price)]

        return (await wait_for(found, what=f"{symbol} at {price}"))[-1]


@asynccontextmanager
async def following(name: str, server: ExchangeServer, *symbols: str) -> AsyncIterator[Following]:
    updates: list[PriceUpdate] = []
    feed = ExchangeFeed(name, server.url, updates.extend)
    feed.want(symbols)
    task = asyncio.create_task(feed.run())
    try:
        await feed.list_symbols()
        yield Following(feed, updates)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_exchange, "BACKOFF_S", (0.02, 0.05))


@pytest.mark.parametrize("name", EXCHANGES)
async def test_prices_come_symbols_come_and_go_and_a_broken_socket_is_opened_again(
    name: str,
) -> None:
    async with (
        serving(EXCHANGES[name]()) as server,
        following(name, server, "BTC/USDT", "NOPE/USDT") as prices,
    ):
        first = await prices.price("BTC/USDT", 64_231.5)
        assert abs(first.publish_time - time.time()) < 5
        await server.push("BTC", 64_300.0)
        await prices.price("BTC/USDT", 64_300.0)
        report = prices.feed.report
        assert (report.state, report.connections, report.unknown) == (
            "connected", 1, ["NOPE/USDT"],
        )  # fmt: skip

        prices.feed.want(["BTC/USDT", "ETH/USDT"])
        await prices.price("ETH/USDT", 3_012.25)
        await server.push("BTC", 64_400.0)
        await prices.price("BTC/USDT", 64_400.0)
        assert server.connections == 1  # the others stay on the connection they have

        await server.break_off()
        await wait_for(lambda: report.errors >= 1)
        prices.updates.clear()
        prices.feed.want(["ETH/USDT"])
        await prices.price("ETH/USDT", 3_012.25)
        await server.push("ETH", 3_013.0)
        await prices.price("ETH/USDT", 3_013.0)
        assert server.connections == 2
        assert sum(n for path, n in server.requests.items() if "ticker" not in path) <= 2


async def test_spot_markets_are_what_can_be_followed() -> None:
    async with serving(HashKeyServer()) as server:
        feed = ExchangeFeed("hashkey", server.url, lambda updates: None)
        assert await feed.list_symbols() == ["BTC/USDT", "ETH/USDT", "SOL/USDT"]
        server.refuse = (503, "Service Unavailable")
        with pytest.raises(FeedError, match="hashkey: ExchangeNotAvailable"):
            await feed.list_symbols()
        server.refuse = (400, '{"code": "0003", "msg": "rate limit"}')
        with pytest.raises(FeedError, match="hashkey: RateLimitExceeded"):
            await feed.list_symbols()
        # An error that comes as a success ends in some exception of Python's inside of ccxt.
        server.refuse = (200, '{"code": "0003", "msg": "rate limit"}')
        with pytest.raises(FeedError, match="hashkey: TypeError"):
            await feed.list_symbols()


async def test_a_socket_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_exchange, "SILENCE_S", 1.0)
    async with (
        serving(HashKeyServer()) as server,
        following("hashkey", server, "BTC/USDT") as prices,
    ):
        await prices.price("BTC/USDT", 64_231.5)
        server.silent = True
        await wait_for(lambda: prices.feed.report.errors >= 1)
        assert "no prices for 1 s" in (prices.feed.report.last_error or "")
        server.silent = False
        server.prices["BTC"] = 64_500.0
        prices.feed.want(["BTC/USDT", "ETH/USDT"])
        await prices.price("BTC/USDT", 64_500.0)


@pytest.mark.parametrize("name", EXCHANGES)
async def test_a_lost_subscription_is_noticed_though_the_others_go_on(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price_silence, "SYMBOL_SILENCE_S", 1.0)
    async with (
        serving(EXCHANGES[name]()) as server,
        following(name, server, "BTC/USDT", "ETH/USDT") as prices,
    ):
        await prices.price("BTC/USDT", 64_231.5)
        await prices.price("ETH/USDT", 3_012.25)
        server.forget("ETH")
        server.prices["ETH"] = 3_100.0
        report = prices.feed.report

        async def lost_is_said() -> bool:
            await server.push("BTC", server.prices["BTC"] + 1)
            return report.errors >= 1

        await wait_for(lost_is_said)
        assert "for some time, beginning anew" in (report.last_error or "")
        await prices.price("ETH/USDT", 3_100.0)
        await prices.price("BTC/USDT", server.prices["BTC"])
        assert server.connections >= 2


def test_a_quiet_market_is_asked_for_anew_less_and_less_often() -> None:
    """One symbol each second, one that trades each fifty, one never: over an hour."""
    watch, anew = SilenceWatch(), list[tuple[int, list[str]]]()
    watch.follow(["BUSY", "QUIET", "DEAD"], 0.0)
    for now in range(3_600):
        watch.heard("BUSY", now)
        if now % 50 == 0:
            watch.heard("QUIET", now)
        watch.heard("UNKNOWN", now)
        if lost := watch.lost(now):
            anew.append((now, lost))
            watch.connected(now)
            watch.heard("QUIET", now)  # a subscription begins with the last price
    assert [now for now, lost in anew if "DEAD" in lost] == [30, 90, 210, 450, 930, 1890, 2850]
    assert [now for now, lost in anew if "QUIET" in lost] == [30]
    assert len(anew) == 7 and watch.next_at() is not None

    for now in range(3_600, 4_300):  # it trades again, and is watched closely then
        watch.heard("BUSY", now)
        watch.heard("QUIET", now)
        watch.heard("DEAD", now)
    assert watch.lost(4_328) == []
    assert watch.lost(4_329) == ["BUSY", "QUIET", "DEAD"]
    watch.follow([], 4_330.0)
    assert watch.next_at() is None


async def test_a_ticker_without_a_price_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        serving(HashKeyServer()) as server,
        following("hashkey", server, "BTC/USDT") as prices,
    ):
        await prices.price("BTC/USDT", 64_231.5)
        good = server.ticker

        def without(base: str) -> dict[str, object]:
            told = good(base)
            del told["data"][0]["c"]
            return told

        monkeypatch.setattr(server, "ticker", without)
        await server.push("BTC", 64_300.0)
        await wait_for(lambda: prices.feed.report.malformed == 1)
        monkeypatch.setattr(server, "ticker", good)
        await server.push("BTC", 64_301.0)
        await prices.price("BTC/USDT", 64_301.0)


def test_an_exchange_that_nobody_knows() -> None:
    with pytest.raises(NoSuchExchange, match="no exchange 'nope' with a stream"):
        open_exchange("nope")


def test_urls_move_to_another_server_with_their_paths() -> None:
    urls = {"public": "https://api.x.com/v1", "ws": {"public": "wss://ws.x.com:443/v2"}, "n": 1}
    there = {"public": "http://h:1/v1", "ws": {"public": "ws://h:1/v2"}, "n": 1}
    assert moved(urls, "http://h:1") == there
    assert moved("wss://ws.x.com/v2", "https://h") == "wss://h/v2"
