"""The process that loads ccxt: started when it is needed, started again, ended with its worker."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.candle_store import CandleStore
from adapters.live_frames import LivePrices
from adapters.live_table import LivePrice, LiveTable
from adapters.processes import process_birth, process_command
from adapters.redis_client import Redis, open_redis
from adapters.redis_clock import RedisClock
from adapters.settings import Settings
from tests.conftest import wait_for
from tests.servers.exchanges import serving
from tests.servers.hashkey import HashKeyServer
from workers import exchange_child, exchange_process
from workers.__main__ import open_pool
from workers.exchange_child import ExchangeChild, probe_exchange
from workers.live_feed import LeaseLost
from workers.live_market import FeedKeeper, turn_of


@pytest.fixture
async def server() -> AsyncIterator[HashKeyServer]:
    async with serving(HashKeyServer()) as server:
        yield server


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def exchange_settings(settings: Settings, server: HashKeyServer) -> Settings:
    return replace(settings, price_source="exchange", exchange_url=server.url)


@asynccontextmanager
async def keeping(settings: Settings) -> AsyncIterator[None]:
    async with open_pool(settings) as pool:
        source = pool.market.source
        assert isinstance(source, LivePrices) and source.name == "hashkey"
        keeper = FeedKeeper(pool, source.table, turn_of(pool, source.table))
        task = asyncio.create_task(keeper.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def children() -> list[int]:
    """The exchange's processes of this test process."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    return [
        pid
        for pid in pids
        if "workers.exchange_process" in process_command(pid)
        and process_birth(pid) is not None
        and f"PPid:\t{os.getpid()}\n" in Path(f"/proc/{pid}/status").read_text()
    ]


async def shown(table: LiveTable, price: float) -> LivePrice:
    """The price of BTC in the table, once it is this one."""
    found: list[LivePrice] = []

    async def check() -> bool:
        found[:] = (await table.prices(["BTC/USDT"])).values()
        return bool(found) and found[0].price == price

    await wait_for(check, seconds=20, what=f"BTC at {price}")
    return found[0]


@pytest.mark.slow
async def test_it_streams_is_started_again_and_ends_with_its_worker(
    exchange_settings: Settings, server: HashKeyServer, redis: Redis
) -> None:
    table, clock = LiveTable(redis), RedisClock(redis)
    await clock.refresh()
    async with keeping(exchange_settings):
        await table.ask("BTC/USDT", clock.now())
        await shown(table, 64_231.5)
        assert await table.known_symbols("hashkey") == ("BTC/USDT", "ETH/USDT", "SOL/USDT")
        (child,) = children()
        told = Path(f"/proc/{child}/environ").read_bytes()
        assert b"ARTIC_REDIS_URL=" in told
        assert b"ARTIC_DATABASE_URL" not in told and b"ARTIC_MASTER_KEY" not in told
        os.kill(child, signal.SIGKILL)
        server.prices["BTC"] = 64_300.0
        await shown(table, 64_300.0)
        assert children() != [child]
    await wait_for(lambda: not children())


async def test_an_exchange_that_cannot_be_used_is_said_until_it_can(
    exchange_settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside Pyth it is needed for candles only, so nothing else would tell."""
    monkeypatch.setattr(exchange_process, "IDLE_S", 0.0)
    store = CandleStore(redis)
    wrong = replace(exchange_settings, price_source="pyth", exchange="nope")
    child = ExchangeChild(wrong, LiveTable(redis), "me", time.time)
    running = asyncio.create_task(child.run())
    try:
        await store.request([("BTC/USDT", "1m")])
        told = "ARTIC_EXCHANGE cannot be used: ccxt has no exchange 'nope' with a stream of prices"

        async def is_told() -> bool:
            return await store.exchange_trouble("nope") == told

        await wait_for(is_told, seconds=20)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert await store.exchange_trouble("hashkey") is None
    await store.tell_exchange_trouble("hashkey", "it ended", unless_known=True)
    assert await store.exchange_trouble("nope") == told
    await store.tell_exchange_trouble("hashkey", "it broke")
    await exchange_process.serve(replace(exchange_settings, price_source="pyth"), "me")
    assert await store.exchange_trouble("hashkey") is None


async def test_it_ends_when_nobody_needs_it(
    exchange_settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_process, "IDLE_S", 0.2)
    monkeypatch.setattr(exchange_process, "LOOK_EVERY_S", 0.02)
    table = LiveTable(redis)
    assert await table.hold("me", 60_000)
    # With nobody to look at a symbol it only learns which there are.
    async with asyncio.timeout(20):
        await exchange_process.serve(exchange_settings, "me")
    assert await table.known_symbols("hashkey") is not None
    assert await table.known_symbols("kraken") is None


async def test_it_ends_when_the_lease_is_somebody_elses(
    exchange_settings: Settings, redis: Redis
) -> None:
    table, clock = LiveTable(redis), RedisClock(redis)
    await clock.refresh()
    assert await table.hold("other", 60_000)
    await table.ask("BTC/USDT", clock.now())
    with pytest.raises(LeaseLost):
        async with asyncio.timeout(20):
            await exchange_process.serve(exchange_settings, "me")
    assert await table.prices(["BTC/USDT"]) == {}


@pytest.mark.slow
async def test_whether_an_exchange_answers(
    exchange_settings: Settings, server: HashKeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await probe_exchange(exchange_settings) == ""
    said = await probe_exchange(replace(exchange_settings, exchange="nope"))
    assert said == "cannot be used: ccxt has no exchange 'nope' with a stream of prices"
    server.refuse = (503, "Service Unavailable")
    assert "cannot be used: hashkey: ExchangeNotAvailable" in await probe_exchange(
        exchange_settings
    )
    server.refuse, server.held = None, asyncio.Event()
    monkeypatch.setattr(exchange_child, "PROBE_S", 0.5)
    assert await probe_exchange(exchange_settings) == "did not answer within 0.5 s"
    server.held.set()
    await wait_for(lambda: not children())
