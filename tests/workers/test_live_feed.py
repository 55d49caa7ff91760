"""Who streams the prices, and what happens when they stop."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest

from adapters import live_table, price_gate
from adapters.live_frames import LivePrices
from adapters.live_table import LivePrice, LiveTable
from adapters.redis_client import Redis, open_redis
from adapters.settings import Settings
from tests.conftest import wait_for
from tests.servers.hermes import KEY, HermesServer, hermes
from workers.__main__ import open_pool
from workers.context import PoolContext
from workers.live_feed import FeedReportLine, LiveFeed, pyth_feed
from workers.live_market import FeedKeeper, turn_of


@pytest.fixture
async def server() -> AsyncIterator[HermesServer]:
    async with hermes() as server:
        yield server


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def pyth_settings(settings: Settings, server: HermesServer) -> Settings:
    return replace(settings, price_source="pyth", pyth_url=server.url, pyth_api_key=KEY)


@asynccontextmanager
async def keeper(settings: Settings, name: str) -> AsyncIterator[tuple[FeedKeeper, PoolContext]]:
    async with open_pool(settings) as pool:
        pool.name = name
        source = pool.market.source
        assert isinstance(source, LivePrices)
        keeper = FeedKeeper(pool, source.table, turn_of(pool, source.table))
        task = asyncio.create_task(keeper.run())
        try:
            yield keeper, pool
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def next_price(table: LiveTable, symbol: str, after: float = 0.0) -> LivePrice:
    """A price that was published later than another."""
    found: list[LivePrice] = []

    async def check() -> bool:
        price = (await table.prices([symbol])).get(symbol)
        found[:] = [price] if price is not None and price.publish_time > after else []
        return bool(found)

    await wait_for(check, seconds=8, what=f"a price of {symbol} published after {after}")
    return found[0]


async def test_one_of_two_streams_and_the_other_takes_over(
    pyth_settings: Settings, server: HermesServer, redis: Redis
) -> None:
    table = LiveTable(redis)
    async with keeper(pyth_settings, "one") as (one, pool):
        await table.ask("BTC/USDT", pool.clock.now())
        first = await next_price(table, "BTC/USDT")
        assert first.price == 61409.93501 and first.conf > 0
        async with keeper(pyth_settings, "two") as (two, _):
            await wait_for(lambda: server.events > 20)
            assert (one.streams, two.streams) == (True, False)
            assert server.most_streams == 1
            known = await table.known_symbols("pyth")
            assert known is not None and "WBTC/USDT" in known
            assert await table.known_symbols("other") is None
    # Both are gone, and the lease was given back.
    assert await table.holder() == ""


async def test_a_lease_that_nobody_renews_is_taken_within_three_seconds(
    pyth_settings: Settings, server: HermesServer, redis: Redis
) -> None:
    table = LiveTable(redis)
    async with keeper(pyth_settings, "two") as (two, pool):
        await table.ask("BTC/USDT", pool.clock.now())
        await wait_for(lambda: two.streams)
        await next_price(table, "BTC/USDT")
        # Somebody else has it, as after a pause of this process: it writes nothing more.
        await redis.set("artic:{market}:feeder", "dead", px=1_500)
        began = pool.clock.now()
        await wait_for(lambda: server.open_streams == 0)
        await wait_for(lambda: server.open_streams == 1)
        await next_price(table, "BTC/USDT", after=began)
        assert pool.clock.now() - began < 3.0 + 1.0  # publish times are whole seconds
        assert await table.holder() == "two"


async def test_symbols_that_are_too_many_are_said(
    pyth_settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_table, "SYMBOLS_MAX", 2)
    table = LiveTable(redis)
    await table.hold("one", 60_000)
    await table.use(["BTC/USDT", "ETH/USDT", "SOL/USDT"])
    opens = pyth_feed(pyth_settings, time.time, table)
    feed = LiveFeed(table, "one", opens, jump_pct=20, clock=time.time)

    async def said() -> bool:
        told = await table.told()
        line = None if told is None else msgspec.json.decode(told, type=FeedReportLine)
        return line is not None and line.left_out == ["SOL/USDT"] and line.symbols == 2

    running = asyncio.create_task(feed.run())
    try:
        await wait_for(said, seconds=8)
        await next_price(table, "ETH/USDT")
        assert not await table.prices(["SOL/USDT"])
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_who_takes_over_streams_before_the_feeds_are_listed_again(
    pyth_settings: Settings, server: HermesServer, redis: Redis
) -> None:
    table = LiveTable(redis)
    async with keeper(pyth_settings, "one") as (_, pool):
        await table.ask("BTC/USDT", pool.clock.now())
        await next_price(table, "BTC/USDT")
    began = time.time()
    server.held_list = asyncio.Event()
    async with keeper(pyth_settings, "two") as (_, pool):
        await table.ask("BTC/USDT", pool.clock.now())
        await next_price(table, "BTC/USDT", after=began)
        assert await table.holder() == "two"
        server.held_list.set()


async def test_what_is_no_price_is_dropped_and_counted(
    pyth_settings: Settings,
    server: HermesServer,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(price_gate, "CONFIRMED_AFTER_S", 3600.0)
    table = LiveTable(redis)

    async def report() -> FeedReportLine | None:
        told = await table.told()
        return None if told is None else msgspec.json.decode(told, type=FeedReportLine)

    async with keeper(pyth_settings, "one") as (_, pool):
        await table.ask("BTC/USDT", pool.clock.now())
        await table.ask("ETH/USDT", pool.clock.now())
        await table.ask("NOPE/USDT", pool.clock.now())
        await next_price(table, "BTC/USDT")
        await next_price(table, "ETH/USDT")
        server.feeds["BTC"].price = 61409.93501 * 2
        server.feeds["ETH"].price = 0.0

        async def counted() -> bool:
            told = await report()
            return (
                told is not None
                and told.dropped.keys() == {"jump", "not_a_price"}
                and told.unknown == ["NOPE/USDT"]
            )

        await wait_for(counted)
        kept = await table.prices(["BTC/USDT", "ETH/USDT"])
        assert [kept[s].price for s in sorted(kept)] == [61409.93501, 3012.5]
        told = await report()
        assert told is not None
        assert (told.feeder, told.source, told.symbols) == ("one", "pyth", 3)
        monkeypatch.setattr(price_gate, "CONFIRMED_AFTER_S", 0.0)

        async def shifted() -> bool:
            (price,) = (await table.prices(["BTC/USDT"])).values()
            return price.price == 61409.93501 * 2

        await wait_for(shifted, seconds=10)  # it was true, after all
