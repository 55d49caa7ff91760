"""Fetched candles in the windows of live frames: from a stamped slot on, for everybody the same."""

import math
from collections.abc import AsyncIterator

import numpy as np
import pytest

from adapters import redis_keys as keys
from adapters.candles import FetchedCandles
from adapters.live_frames import LivePrices
from adapters.live_table import LiveTable, SeenPrice
from adapters.live_windows import carry_volumes, corrections
from adapters.market_store import MarketStore
from adapters.redis_client import Redis, command
from engine.frames import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    TIME,
    VOLUME,
    ClosedBar,
    Floats,
    Frame,
    Pieces,
    next_frame,
)
from tests.adapters.market import frame_after, long_up, now_slot

BTC = ("BTC/USDT", "1m")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async for client in long_up(redis_url):
        yield client


class Market:
    """A live table that the test writes, and a process that makes frames of it."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.table = LiveTable(redis)
        self.store = MarketStore(redis, LivePrices("pyth", self.table))
        self.slot = 0

    async def begin(self, *symbols: str) -> Frame:
        assert await self.table.hold("me", 60_000)
        await self.table.use(symbols)
        for symbol in symbols:
            await self.see(100.0, symbol)
        return await self.frame()

    async def see(self, price: float, symbol: str = "BTC/USDT") -> None:
        seen = SeenPrice(symbol, price, price, price, price, math.nan, 1.0, math.nan)
        assert await self.table.write("me", [seen])

    async def frame(self) -> Frame:
        """The next frame."""
        frame = await frame_after(self.store, self.redis, self.slot)
        self.slot = frame.slot
        return frame

    def another(self) -> MarketStore:
        """Another process, which remembers nothing."""
        return MarketStore(self.redis, LivePrices("pyth", LiveTable(self.redis)))

    async def fetched(self, bars: Floats) -> int:
        """Stores candles of BTC, and answers from which slot on they count."""
        now = float(await now_slot(self.redis))
        candles = FetchedCandles(source="a", fetched_at=now, bars=bars)
        return await self.table.candles.put(BTC, candles)

    async def closed(self, frame: Frame, store: MarketStore | None = None) -> Floats:
        """The closed bars of a frame's window."""
        window = await (store or self.store).window(*BTC, frame)
        return window.candles[:, : window.candles.shape[1] - window.has_forming].T


async def bars_until_now(redis: Redis, count: int, price: float, volume: float = 1.0) -> Floats:
    """Bars up to the minute before last: the next boundary changes nothing about them."""
    end = await now_slot(redis) // 60 * 60 - 60
    times = np.arange(end - 60 * (count - 1), end + 1, 60)
    rows = [(t, price, price + 1, price - 1, price, volume) for t in times]
    return np.array(rows)


async def test_they_count_from_their_slot_on_and_not_before(redis: Redis) -> None:
    market = Market(redis)
    before = await market.begin("BTC/USDT")
    bars = await bars_until_now(redis, 30, 90.0)
    stamp = await market.fetched(bars)
    assert stamp >= before.slot + 2
    while (frame := await market.frame()).slot < stamp:
        assert not len(await market.closed(frame))
        before = frame
    assert np.array_equal(await market.closed(frame), bars)
    # The frame before keeps its window, for this process and for one that reads it only now.
    assert not len(await market.closed(before))
    late = market.another()
    assert np.array_equal(await market.closed(frame, late), bars)
    assert not len(await market.closed(before, market.another()))

    other = bars.copy()
    other[3, CLOSE] += 0.5
    other = np.delete(other, 5, axis=0)
    stamp = await market.fetched(other)
    while (later := await market.frame()).slot < stamp:
        assert np.array_equal(await market.closed(later), bars)
    corrected = bars.copy()
    corrected[3] = other[3]
    assert np.array_equal(await market.closed(later), corrected)
    assert later.closed[0, 0] == frame.closed[0, 0] + 1  # one bar, and no more, was said anew
    assert np.array_equal(await market.closed(frame), bars)
    for store in (late, market.another()):
        assert np.array_equal(await market.closed(later, store), corrected)

    await market.frame()
    assert await command(redis, "ZCARD", keys.market_candle_stamps()) == 0


async def test_a_bar_of_now_gets_its_true_open_and_extremes(redis: Redis) -> None:
    market = Market(redis)
    frame = await market.begin("BTC/USDT")
    await market.see(101.0)
    day = frame.slot // 86_400 * 86_400
    bars = np.array([(day - 86_400, 1.0, 1.0, 1.0, 1.0, 1.0)])
    forming = np.array([day, 95.0, 130.0, 94.0, 99.0, 7.0])
    candles = FetchedCandles(source="a", fetched_at=float(frame.slot), bars=bars, forming=forming)
    stamp = await market.table.candles.put(("BTC/USDT", "1d"), candles)
    while frame.slot < stamp:
        frame = await market.frame()
    seen = frame.forming[0, 6]
    if seen[TIME] == day:  # not if midnight was just now
        assert seen[[OPEN, HIGH, LOW, CLOSE]].tolist() == [95.0, 130.0, 94.0, 101.0]
        assert seen[VOLUME] == 7.0
        await market.see(102.0)
        later = (await market.frame()).forming[0, 6]
        if later[TIME] == day:
            assert later[[HIGH, CLOSE, VOLUME]].tolist() == [130.0, 102.0, 7.0]


def test_bars_go_on_with_volumes_where_there_are_any() -> None:
    """A: fetched volumes; B: none. Over a minute's end, on prices without volumes."""
    nobody = np.full((2,), np.nan)

    def at(slot: int, before: Frame | None, price: float) -> tuple[Frame, list[ClosedBar]]:
        path = np.full((1, 2, 6), price)
        path[..., TIME], path[..., VOLUME] = slot, np.nan
        pieces = Pieces(("A", "B"), path, np.full(2, float(slot)), nobody, nobody)
        frame, closed = next_frame(before, pieces, slot, "x")
        if before is not None:
            carry_volumes(before, frame, closed)
        return frame, closed

    first, _ = at(1_020, None, 10.0)
    first.forming[0, 0, VOLUME] = 3.0
    second, _ = at(1_050, first, 11.0)
    assert second.forming[0, 0, VOLUME] == 3.0 and math.isnan(second.forming[1, 0, VOLUME])
    third, closed = at(1_081, second, 12.0)
    assert third.forming[0, 0, VOLUME] == 0.0 and math.isnan(third.forming[1, 0, VOLUME])
    of_minute = {bar.symbol: bar.bar[VOLUME] for bar in closed if bar.timeframe == "1m"}
    assert of_minute["A"] == 3.0 and math.isnan(of_minute["B"])

    # Nobody told a volume of the next minute: it is unknown, and the one after has none yet.
    fourth, closed = at(1_141, third, 13.0)
    assert [b.timeframe for b in closed] == ["1m", "1m"]
    assert all(math.isnan(bar.bar[VOLUME]) for bar in closed)
    assert fourth.forming[0, 0, VOLUME] == 0.0
    fourth.forming[0, 0, VOLUME] = 5.0
    fifth, closed = at(1_201, fourth, 14.0)
    assert {b.symbol: b.bar[VOLUME] for b in closed if b.timeframe == "1m"}["A"] == 5.0
    assert fifth.forming[0, 0, VOLUME] == 0.0


def test_a_fetched_bar_of_a_quiet_market_keeps_its_zero() -> None:
    closed = np.array([(60.0, 1.0, 1.0, 1.0, 1.0, math.nan)])
    quiet = np.array([(60.0, 1.0, 1.0, 1.0, 1.0, 0.0)])
    fetched = FetchedCandles(source="a", fetched_at=200.0, bars=quiet)
    assert np.array_equal(corrections(closed, fetched), quiet)
    assert not len(corrections(quiet, fetched))


async def test_another_process_with_the_same_table_makes_the_same_windows(redis: Redis) -> None:
    market = Market(redis)
    await market.begin("BTC/USDT")
    other = market.another()
    await market.fetched(await bars_until_now(redis, 500, 90.0))
    stamp = await market.fetched(await bars_until_now(redis, 500, 91.0))
    frame = await market.frame()
    while frame.slot < stamp:
        frame = await frame_after(other, redis, frame.slot)
        market.slot = frame.slot
    assert np.array_equal(await market.closed(frame), await market.closed(frame, other))
    assert (await market.closed(frame))[0, 1] == 91.0


async def test_a_symbol_that_comes_back_has_its_candles_again(redis: Redis) -> None:
    market = Market(redis)
    await market.begin("BTC/USDT", "ETH/USDT")
    bars = await bars_until_now(redis, 20, 90.0)
    stamp = await market.fetched(bars)
    while (await market.frame()).slot < stamp + 1:
        pass
    await market.table.use(["ETH/USDT"])
    gone = await market.frame()
    assert gone.find("BTC/USDT") < 0
    await market.table.use(["BTC/USDT", "ETH/USDT"])
    back = await market.frame()
    assert not len(await market.closed(back))
    again = await market.frame()
    assert np.array_equal(await market.closed(again), bars)


@pytest.mark.slow
async def test_many_windows_are_taken_up_a_few_at_a_time(redis: Redis) -> None:
    market = Market(redis)
    symbols = [f"X{n}/USDT" for n in range(12)]
    await market.begin(*symbols)
    bars = await bars_until_now(redis, 500, 90.0)
    candles = FetchedCandles(source="a", fetched_at=0.0, bars=bars)
    for symbol in symbols:
        stamp = await market.table.candles.put((symbol, "1m"), candles)
    frame = await market.frame()
    while frame.slot < stamp:
        frame = await market.frame()
    taken = []
    for _ in range(4):
        frame = await market.frame()
        windows = await market.store.windows([(s, "1m") for s in symbols], frame)
        taken.append(sum(w.candles.shape[1] > 400 for w in windows.values()))
    assert taken[-1] == 12
