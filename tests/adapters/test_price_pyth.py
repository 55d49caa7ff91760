"""The stream of Pyth against a server that speaks Hermes, and whatever goes wrong with it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest

from adapters import price_pyth, pyth_requests
from adapters.errors import FeedError
from adapters.price_gate import PriceUpdate
from adapters.price_pyth import PythFeed
from adapters.pyth_feeds import KNOWN_IDS, FeedAttributes, ListedFeed, read_feeds
from tests.conftest import wait_for
from tests.servers.hermes import KEY, Feed, HermesServer, hermes

STREAM = "/v2/updates/price/stream"


@dataclass
class Following:
    """A feed that runs, and what it has said."""

    feed: PythFeed
    updates: list[PriceUpdate]

    async def prices(self, *symbols: str) -> dict[str, float]:
        """The next price of each of these symbols."""
        self.updates.clear()
        await wait_for(lambda: set(symbols) <= {update.symbol for update in self.updates})
        return {update.symbol: update.price for update in self.updates}


@asynccontextmanager
async def following(
    server: HermesServer, *symbols: str, key: str = KEY, bases: Sequence[str] = ()
) -> AsyncIterator[Following]:
    updates: list[PriceUpdate] = []
    feed = PythFeed(bases or [server.url], key, updates.extend)
    feed.want(symbols)
    task = asyncio.create_task(feed.run())
    try:
        await feed.list_symbols()
        yield Following(feed, updates)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def says(prices: Following, text: str) -> bool:
    """Whether the last error of a feed has these words."""
    return text in (prices.feed.report.last_error or "")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rules in a shorter time."""
    monkeypatch.setattr(price_pyth, "SETTLE_S", 0.01)
    monkeypatch.setattr(price_pyth, "SILENCE_S", 0.4)
    monkeypatch.setattr(price_pyth, "FIRST_EVENT_S", 2.0)
    monkeypatch.setattr(price_pyth, "BACKOFF_S", (0.02, 0.05))
    monkeypatch.setattr(price_pyth, "BODY_S", 0.1)
    monkeypatch.setattr(price_pyth, "BANNED_S", 0.3)
    monkeypatch.setattr(pyth_requests, "BANNED_S", 0.3)
    monkeypatch.setattr(pyth_requests, "REQUESTS_WINDOW_S", 0.1)


async def test_one_stream_prices_of_any_exponent_and_the_key_in_a_header() -> None:
    async with hermes() as server, following(server, "BTC/USDT", "BTC/USD", "BONK/USDT") as prices:
        seen = await prices.prices("BTC/USDT", "BTC/USD", "BONK/USDT")
        assert seen == {"BTC/USDT": 61409.93501, "BTC/USD": 61409.93501, "BONK/USDT": 0.0000242}
        assert server.requests == {"/v2/price_feeds": 1, STREAM: 1}
        assert server.asked_ids == [sorted([KNOWN_IDS["BTC"], KNOWN_IDS["BONK"]])]
        update = prices.updates[-1]
        assert update.conf == 0.0003287868 or update.conf == 0.03287868
        assert update.publish_time.is_integer()
        report = prices.feed.report
        assert (report.state, report.connections, report.errors) == ("connected", 1, 0)
        assert report.connected_since is not None and report.last_message_at is not None


async def test_the_list_of_symbols_has_whole_symbols_only() -> None:
    async with hermes() as server, following(server) as prices:
        symbols = await prices.feed.list_symbols()
        assert "BTC/USDT" in symbols and "WBTC/USDT" in symbols and "USDT/USD" in symbols
        assert "USDT/USDT" not in symbols
        assert server.requests == {"/v2/price_feeds": 2}
        assert prices.feed.report.state == "idle"


def test_a_feed_in_doubt_is_refused() -> None:
    def listed(base: str, feed_id: str) -> ListedFeed:
        return ListedFeed(feed_id, FeedAttributes(f"Crypto.{base}/USD"))

    feeds = read_feeds([
        listed("BTC", "0x" + KNOWN_IDS["BTC"].upper()),
        listed("BTC", "cd" * 32),
        listed("ETH", "cd" * 32),
        listed("NEW", "ab" * 32),
        listed("TWO", "01" * 32),
        listed("TWO", "02" * 32),
        listed("BAD", "xyz"),
        ListedFeed("ef" * 32, FeedAttributes("Crypto.WBTC/USD.RR")),
    ])  # fmt: skip
    assert feeds.by_base == {"BTC": KNOWN_IDS["BTC"], "NEW": "ab" * 32}
    assert set(feeds.refused) == {"ETH", "TWO"}
    assert feeds.of("BTC/USDT") == feeds.of("BTC/USD") == KNOWN_IDS["BTC"]
    assert feeds.of("BTC/EUR") is None and feeds.of("ETH/USDT") is None


async def test_symbols_come_and_go_without_losing_the_others() -> None:
    async with hermes() as server, following(server, "BTC/USDT") as prices:
        await prices.prices("BTC/USDT")
        prices.updates.clear()
        prices.feed.want(["BTC/USDT", "ETH/USDT"])
        await prices.prices("ETH/USDT")
        await wait_for(lambda: server.open_streams == 1)
        assert server.requests[STREAM] == 2
        assert server.most_streams == 2  # the one before went on until the new one had prices
        prices.feed.want(["SOL/USDT"])
        await prices.prices("SOL/USDT")
        await wait_for(lambda: server.open_streams == 1)
        assert server.asked_ids[-1] == [KNOWN_IDS["SOL"]]
        prices.feed.want([])
        await wait_for(lambda: server.open_streams == 0)
        await wait_for(lambda: prices.feed.report.state == "idle")
        assert prices.feed.report.errors == 0


async def test_a_stream_that_breaks_off_begins_anew() -> None:
    async with hermes() as server, following(server, "BTC/USDT") as prices:
        report = prices.feed.report
        for connections in (1, 2, 3):
            await prices.prices("BTC/USDT")
            assert report.connections == connections
            server.wire.break_off()
            await wait_for(lambda: report.errors == report.connections)
        await prices.prices("BTC/USDT")


async def test_a_stream_that_ends_after_a_day_or_drops_us_begins_anew() -> None:
    async with hermes() as server, following(server, "BTC/USDT") as prices:
        for text in ("Connection timeout reached (24h)", "Slow consumer: disconnected"):
            await prices.prices("BTC/USDT")
            server.end(text)
            await wait_for(partial(says, prices, text))
        await prices.prices("BTC/USDT")
        assert server.requests[STREAM] == 3


async def test_an_error_that_the_server_survives_ends_nothing() -> None:
    async with hermes() as server, following(server, "BTC/USDT") as prices:
        await prices.prices("BTC/USDT")
        server.say(b"event: error\ndata: Error receiving update: lagged\n\n")
        await wait_for(lambda: prices.feed.report.errors == 1)
        await prices.prices("BTC/USDT")
        assert server.requests[STREAM] == 1


@pytest.mark.parametrize("fault", ["silent", "stalled"])
async def test_a_stream_without_prices_is_given_up(fault: str) -> None:
    """Keep-alives only, or a socket that says nothing: both look open."""
    async with hermes() as server, following(server, "BTC/USDT") as prices:
        await prices.prices("BTC/USDT")
        setattr(server.faults, fault, True)
        await wait_for(lambda: prices.feed.report.errors >= 1)
        assert "no prices for some seconds" in (prices.feed.report.last_error or "")
        setattr(server.faults, fault, False)
        await prices.prices("BTC/USDT")


async def test_malformed_events_and_feeds_harm_no_other() -> None:
    good = b'{"id":"%s","price":{"price":"%d","conf":"1","expo":-2,"publish_time":1}}'
    btc, eth = (KNOWN_IDS[base].encode() for base in ("BTC", "ETH"))
    wrong = (
        b'{"id":"xyz","price":{"price":"1","conf":"1","expo":0,"publish_time":1}}',
        b'{"id":"%s","price":{"price":"1.5","conf":"1","expo":0,"publish_time":1}}' % btc,
        b'{"id":"%s","price":{"price":7,"conf":"1","expo":0,"publish_time":1}}' % btc,
        b'{"id":"%s","price":{"price":"1","conf":"1","expo":400,"publish_time":1}}' % btc,
        b'{"id":"%s","price":{"price":"1","conf":"1","expo":0,"publish_time":1%s}}'
        % (btc, b"0" * 400),
        b'{"id":"%s","price":null}' % btc,
        b"7",
    )
    async with hermes(event_s=30) as server, following(server, "BTC/USDT", "ETH/USDT") as prices:
        await wait_for(lambda: server.open_streams == 1)
        server.malformed()
        server.say(b"data:nonsense\n\ndata:{}\n\ndata:\xff\xfe\n\n")
        server.say(b'data:{"binary":%s\n\n' % (b"[" * 100_000))
        for each in wrong:
            server.say(b'data:{"parsed":[%s,%s]}\n\n' % (each, good % (eth, 250)))
        await wait_for(lambda: len(prices.updates) == len(wrong))
        assert {(u.symbol, u.price) for u in prices.updates} == {("ETH/USDT", 2.5)}
        assert prices.feed.report.malformed == 5 + len(wrong)
        server.say(b'data:{"parsed":[%s]}\n\n' % (good % (btc, 100)))
        await wait_for(lambda: prices.updates[-1].symbol == "BTC/USDT")


async def test_an_id_that_the_server_does_not_know_costs_the_others_nothing() -> None:
    async with hermes() as server, following(server, "BTC/USDT", "SOL/USDT") as prices:
        await prices.prices("SOL/USDT")
        del server.feeds["SOL"]
        server.wire.break_off()
        await wait_for(lambda: prices.feed.report.unknown == ["SOL/USDT"])
        assert set(await prices.prices("BTC/USDT")) == {"BTC/USDT"}
        assert server.asked_ids[-1] == [KNOWN_IDS["BTC"]]
        assert "does not know 1 of the feeds" in (prices.feed.report.last_error or "")


@pytest.mark.parametrize(
    ("status", "text", "says"),
    [
        (401, "missing key", "refuses the key (HTTP 401): look at ARTIC_PYTH_API_KEY"),
        (403, "<html>forbidden</html>", "refuses the key (HTTP 403)"),
        (429, "Too many requests", "too many requests from here (HTTP 429)"),
    ],
)
async def test_a_refusal_is_said_and_left_alone_for_a_while(
    status: int, text: str, says: str
) -> None:
    async with hermes() as server, following(server) as prices:
        server.faults.refuse = (status, text)
        prices.feed.want(["BTC/USDT"])
        await wait_for(lambda: prices.feed.report.state == "waiting")
        assert says in (prices.feed.report.last_error or "")
        assert server.requests[STREAM] == 1  # the ban lasts, and nobody asks meanwhile
        server.faults.refuse = None
        await prices.prices("BTC/USDT")
        assert server.requests[STREAM] == 2


@pytest.mark.parametrize("status", [401, 403, 429])
async def test_a_refused_list_of_feeds_is_left_alone_as_long(status: int) -> None:
    """A refusal counts for everything that is asked: also for the list, and for the stream."""
    async with hermes() as server:
        server.faults.refuse = (status, "no")
        feed = PythFeed([server.url], KEY, lambda updates: None)
        feed.want(["BTC/USDT"])
        running = asyncio.create_task(feed.run())
        with pytest.raises(FeedError, match=f"HTTP {status}"):
            await feed.list_symbols()
        assert (feed.report.state, feed.report.retry_at is None) == ("waiting", False)
        server.faults.refuse = None
        assert "BTC/USDT" in await feed.list_symbols()
        first, second = server.asked_at[:2]
        assert second - first >= pyth_requests.BANNED_S
        await wait_for(lambda: feed.report.connections == 1)
        assert feed.report.retry_at is None
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("status", [403, 429])
async def test_a_refusal_counts_though_its_words_never_come(status: int) -> None:
    async with hermes() as server, following(server) as prices:
        server.faults.refuse, server.faults.refusal_stalls = (status, "Too many"), True
        prices.feed.want(["BTC/USDT"])
        await wait_for(lambda: prices.feed.report.state == "waiting")
        assert says(prices, f"(HTTP {status})")
        assert server.requests[STREAM] == 1
        with pytest.raises(FeedError, match=f"HTTP {status}"):
            await prices.feed.list_symbols()
        server.faults.refuse = None
        await prices.prices("BTC/USDT")
        first, list_asked = server.asked_at[1:3]
        assert list_asked - first >= pyth_requests.BANNED_S


async def test_other_answers_are_tried_again_sooner() -> None:
    async with hermes() as server, following(server) as prices:
        server.faults.refuse = (500, "RPC connection error: timed out")
        prices.feed.want(["BTC/USDT"])
        await wait_for(lambda: prices.feed.report.errors >= 3)
        assert "HTTP 500: RPC connection error" in (prices.feed.report.last_error or "")
        server.faults.refuse = None
        await prices.prices("BTC/USDT")


async def test_a_wrong_key_is_said_and_not_repeated() -> None:
    async with hermes() as server:
        feed = PythFeed([server.url], "s3cr3t", lambda updates: None)
        server.faults.refuse = (401, "no such key: s3cr3t")
        with pytest.raises(FeedError, match="refuses the key") as raised:
            await feed.list_symbols()
        assert str(raised.value).endswith("no such key: ***")
        await feed.close()


async def test_the_other_server_is_tried_when_one_is_away() -> None:
    async with hermes() as gone, hermes() as server:
        await gone.wire.stop()
        feed = PythFeed([gone.url, server.url], KEY, lambda updates: None)
        with pytest.raises(FeedError, match="does not say which feeds"):
            await feed.list_symbols()
        assert "BTC/USDT" in await feed.list_symbols()
        await feed.close()


async def test_never_more_requests_than_the_service_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pyth_requests, "REQUESTS_WINDOW_S", 1.0)
    monkeypatch.setattr(price_pyth, "BACKOFF_S", (0.0,))
    async with hermes() as server, following(server, "BTC/USDT") as prices:
        server.faults.refuse = (500, "")
        server.wire.break_off()
        await wait_for(lambda: len(server.asked_at) > 2 * pyth_requests.REQUESTS_MAX, seconds=10)
        # Ten in whatever time of that length one looks at, by the server's own clock.
        times = server.asked_at
        assert all(b - a > 1.0 for a, b in zip(times, times[10:], strict=False))
        assert prices.feed.report.errors > pyth_requests.REQUESTS_MAX


async def test_a_reader_that_is_slow_is_dropped_by_the_server_and_comes_back() -> None:
    """The server's own rule, seen from a client that does not read at all."""
    async with hermes(event_s=0.001, key="") as server:
        for base in range(200):
            server.feeds[f"X{base}"] = Feed(f"{base:064x}", f"X{base}", 1.0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.wire.port, limit=1024)
        ids = "&".join(f"ids[]={n:064x}" for n in range(200))
        writer.write(f"GET /hermes{STREAM}?{ids} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        await wait_for(lambda: server.open_streams == 1)
        await wait_for(lambda: server.open_streams == 0, seconds=10)
        rest = await reader.read(-1)
        assert b"Slow consumer: disconnected" in rest
        writer.close()
