"""The live table in a real Redis, and frames made out of it."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import redis_keys as keys
from adapters.live_frames import LivePrices, path_of
from adapters.live_table import ASKED_MAX, SYMBOLS_MAX, LiveTable, PathEntry, SeenPrice
from adapters.market_store import MarketStore
from adapters.redis_client import Redis, command
from engine.frames import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    TIME,
    TIMEFRAMES,
    VOLUME,
    Frame,
    Pieces,
    decode_frame,
    encode_frame,
    laid_number,
    next_frame,
)
from tests.adapters.market import frame_after, long_up, now_slot

LEASE_MS = 60_000
NAN = math.nan


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async for client in long_up(redis_url):
        yield client


@pytest.fixture
async def table(redis: Redis) -> LiveTable:
    """A table that `me` may write, with one symbol in use."""
    table = LiveTable(redis)
    assert await table.hold("me", LEASE_MS)
    await table.use(["BTC/USDT"])
    return table


def seen(symbol: str, *prices: float, published: float = 1.0, volume: float = NAN) -> SeenPrice:
    return SeenPrice(
        symbol, prices[0], max(prices), min(prices), prices[-1], volume, published, 0.5
    )


async def test_a_frame_shows_the_table_as_it_was_when_it_was_made(
    redis: Redis, table: LiveTable
) -> None:
    store = MarketStore(redis, LivePrices("pyth", table))
    empty = await frame_after(store, redis)
    assert (empty.source, empty.symbols) == ("pyth", ("BTC/USDT",))
    assert np.isnan(empty.price).all() and np.isnan(empty.publish_time).all()
    assert await table.write("me", [seen("BTC/USDT", 100.0, published=77.0)])
    one = await frame_after(store, redis, empty.slot)
    assert (one.price[0], one.publish_time[0]) == (100.0, 77.0)
    assert await table.write("me", [seen("BTC/USDT", 101.0, 140.0, 90.0, published=78.0)])
    # The frame of a slot stays what it was; what came later is for the next one.
    again = await MarketStore(redis, LivePrices("pyth", table)).frame(one.slot)
    assert again.frame is not None and encode_frame(again.frame) == encode_frame(one)
    two = await frame_after(store, redis, one.slot)
    assert (two.price[0], two.publish_time[0]) == (90.0, 78.0)
    day = two.forming[0, 6]
    assert day[[OPEN, HIGH, LOW, CLOSE]].tolist() == [100.0, 140.0, 90.0, 90.0]
    assert math.isnan(day[VOLUME])
    assert decode_frame(encode_frame(two)).cursor == two.cursor != one.cursor
    # Nothing new: the price stays, and grows old by its publish time.
    three = await frame_after(store, redis, two.slot)
    assert (three.price[0], three.publish_time[0], three.cursor) == (90.0, 78.0, two.cursor)


async def test_only_the_holder_of_the_lease_writes(redis: Redis, table: LiveTable) -> None:
    assert not await table.hold("other", LEASE_MS)
    assert not await table.write("other", [seen("BTC/USDT", 100.0)])
    assert await table.prices(["BTC/USDT"]) == {}
    assert await table.holder() == "me"
    assert not await table.hold("other", 0)  # nobody gives back what is not theirs
    assert not await table.hold("me", 0)
    assert await table.holder() == ""
    assert await table.hold("other", LEASE_MS)
    assert not await table.write("me", [seen("BTC/USDT", 1.0)])
    assert await table.write("other", [seen("BTC/USDT", 100.0)])
    (price,) = (await table.prices(["BTC/USDT", "NOT/THERE"])).values()
    assert (price.price, price.publish_time, price.conf) == (100.0, 1.0, 0.5)


async def test_symbols_come_and_go_and_the_others_keep_their_bars(
    redis: Redis, table: LiveTable
) -> None:
    store = MarketStore(redis, LivePrices("pyth", table))
    await table.write("me", [seen("BTC/USDT", 100.0), seen("ETH/USDT", 10.0)])
    first = await frame_after(store, redis)
    await table.write("me", [seen("BTC/USDT", 105.0)])
    await table.use(["BTC/USDT", "ETH/USDT"])
    both = await frame_after(store, redis, first.slot)
    assert both.symbols == ("BTC/USDT", "ETH/USDT")
    assert both.price.tolist() == [105.0, 10.0]
    assert both.closed[0, 6] == first.closed[0, 6]
    assert both.closed[1, 6] == laid_number(both.slot)
    assert both.forming[0, 6, HIGH] == 105.0
    await table.use(["ETH/USDT"])
    last = await frame_after(store, redis, both.slot)
    assert last.symbols == ("ETH/USDT",) and last.price.tolist() == [10.0]


async def test_what_is_asked_for_is_followed_for_a_while(redis: Redis, table: LiveTable) -> None:
    now = await now_slot(redis)
    await table.ask("ETH/USDT", now)
    assert await table.followed(now) == ("BTC/USDT", "ETH/USDT")
    assert await table.followed(now + 500) == ("BTC/USDT",)
    for n in range(ASKED_MAX + 20):
        await table.ask(f"X{n}/USDT", now + 1)
    assert len(await table.followed(now)) == 1 + ASKED_MAX
    many = [f"Y{n:03}/USDT" for n in range(SYMBOLS_MAX + 10)]
    await table.use(many)
    followed = await table.followed(now)
    assert len(followed) == SYMBOLS_MAX
    assert set(followed) <= set(many)  # those who trade come before those who only look


async def test_two_makers_of_live_frames_make_one(redis: Redis, table: LiveTable) -> None:
    stores = [MarketStore(redis, LivePrices("pyth", LiveTable(redis))) for _ in range(2)]
    await table.write("me", [seen("BTC/USDT", 100.0)])
    slot = 0
    for _ in range(2):
        one = await frame_after(stores[0], redis, slot)
        other = (await stores[1].frame(one.slot)).frame
        assert other is not None and encode_frame(other) == encode_frame(one)
        await table.write("me", [seen("BTC/USDT", 101.0)])
        slot = one.slot


async def test_a_gap_in_the_frames_loses_no_path(redis: Redis, table: LiveTable) -> None:
    """Nobody made frames for some slots; what the price did meanwhile is in the next one."""
    store = MarketStore(redis, LivePrices("pyth", table))
    await table.write("me", [seen("BTC/USDT", 100.0)])
    first = await frame_after(store, redis)
    for price in (150.0, 60.0, 110.0):
        await asyncio.gather(*(table.write("me", [seen("BTC/USDT", price)]) for _ in range(20)))
    later = await frame_after(store, redis, first.slot + 1)
    assert later.forming[0, 6, [HIGH, LOW, CLOSE]].tolist() == [150.0, 60.0, 110.0]
    assert await command(redis, "XLEN", keys.market_path()) < 200


async def test_another_source_is_not_carried_on(redis: Redis, table: LiveTable) -> None:
    await table.write("me", [seen("BTC/USDT", 100.0)])
    first = await frame_after(MarketStore(redis, LivePrices("pyth", table)), redis)
    other = await frame_after(MarketStore(redis, LivePrices("kraken", table)), redis, first.slot)
    assert other.source == "kraken"
    assert other.closed[0, 0] == laid_number(other.slot)


Ticks = list[tuple[float, int, float]]
ticks = st.lists(st.tuples(st.floats(0.01, 40), st.integers(0, 2), st.floats(50, 150)), max_size=60)


@given(ticks, st.integers(1, 9))
def test_bars_of_frames_are_those_of_all_prices(steps: Ticks, every: int) -> None:
    """However updates fall into writes and writes into frames: a bar has what was seen in it."""
    symbols = ("A/USDT", "B/USDT", "C/USDT")
    start = 1_700_000_000 - 1_700_000_000 % 86_400
    now = float(start)
    frame: Frame | None = None
    bars: dict[tuple[str, str, float], Sequence[float]] = {}
    expected: dict[tuple[str, str, float], list[float]] = {}
    waiting: list[PathEntry] = []
    for n, (seconds, place, price) in enumerate(steps):
        now += seconds
        record = np.array([[price, price, price, price, 1.0]])
        waiting.append(PathEntry(now, (symbols[place],), record))
        for name, length in TIMEFRAMES.items():
            expected.setdefault((symbols[place], name, now // length * length), []).append(price)
        if n % every == 0 or n == len(steps) - 1:
            slot = math.floor(now)
            size = len(symbols)
            pieces = Pieces(
                symbols, path_of(waiting, symbols), np.full(size, float(slot)),
                np.full(size, NAN), np.full(size, NAN),
            )  # fmt: skip
            frame, closed = next_frame(frame, pieces, slot, "pyth")
            bars |= {
                (c.symbol, c.timeframe, float(c.bar[TIME])): c.bar[1:].tolist() for c in closed
            }
            waiting = []
    if frame is not None:
        for s, symbol in enumerate(symbols):
            for t, name in enumerate(TIMEFRAMES):
                bar = frame.forming[s, t]
                if not np.isnan(bar[TIME]):
                    bars[symbol, name, float(bar[TIME])] = bar[1:].tolist()
    assert bars.keys() == expected.keys()
    for bar_name, prices in expected.items():
        whole = [prices[0], max(prices), min(prices), prices[-1], len(prices)]
        assert bars[bar_name] == whole
