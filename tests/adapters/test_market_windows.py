"""Windows and signals in a real Redis: everybody gets the same, whoever was first."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from adapters import redis_keys as keys
from adapters.market_scripts import BARS_KEPT
from adapters.market_store import MarketStore, WindowGone
from adapters.price_simulated import SimulatedPrices
from adapters.redis_client import Redis, command
from engine.frames import TIME, TIMEFRAMES, Frame, decode_frame, encode_frame
from tests.adapters.market import frame_after, long_up, replay
from tests.adapters.test_price_replay import random_bars


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async for client in long_up(redis_url):
        yield client


async def test_a_window_is_500_candles_in_contiguous_rows(redis: Redis) -> None:
    source = SimulatedPrices()
    store = MarketStore(redis, source)
    frame = await frame_after(store, redis)
    wanted = [("BTC/USDT", timeframe) for timeframe in TIMEFRAMES] + [("ETH/USDT", "1m")]
    windows = await store.windows(wanted, frame)
    assert list(windows) == wanted
    for (symbol, timeframe), window in windows.items():
        seconds = TIMEFRAMES[timeframe]
        s, t = frame.find(symbol), list(TIMEFRAMES).index(timeframe)
        assert window.candles.shape == (6, 500)
        assert all(row.flags.c_contiguous for row in window.candles)
        assert not window.candles.flags.writeable
        assert window.number == frame.closed[s, t]
        assert window.has_forming == (frame.slot % seconds != 0)
        closed = window.candles[:, :-1] if window.has_forming else window.candles
        begun = frame.slot - frame.slot % seconds
        history = source.history(symbol, timeframe, begun, closed.shape[1])
        assert np.array_equal(closed, history.T)
        if window.has_forming:
            assert np.array_equal(window.candles[:, -1], frame.forming[s, t])
    with pytest.raises(KeyError):
        await store.window("FOO/USDT", "1m", frame)
    with pytest.raises(KeyError):
        await store.window("BTC/USDT", "2m", frame)


async def test_all_use_the_history_that_was_laid_first(redis: Redis) -> None:
    stores = [MarketStore(redis, SimulatedPrices(seed)) for seed in (1, 2, 3)]
    frame = await frame_after(stores[0], redis)
    windows = await asyncio.gather(*(store.window("BTC/USDT", "5m", frame) for store in stores))
    assert len({window.candles.tobytes() for window in windows}) == 1
    assert await command(redis, "LLEN", keys.market_bars("BTC/USDT", "5m")) == 500


async def test_windows_grow_and_stay_right_for_older_frames(redis: Redis, tmp_path: Path) -> None:
    source = replay(tmp_path, speed=600.0)
    bars = random_bars(3_000)
    store, late = MarketStore(redis, source), MarketStore(redis, source)
    frames = [await frame_after(store, redis)]
    seen = [await store.window("BTC/USDT", "1m", frames[0])]
    for _ in range(3):
        frames.append(await frame_after(store, redis, frames[-1].slot))
        seen.append(await store.window("BTC/USDT", "1m", frames[-1]))
    for frame, window in zip(frames, seen, strict=True):
        upto = int((frame.candle_time[0] - bars[0, TIME]) // 60)
        assert np.array_equal(window.candles, bars[upto - 500 : upto].T)
        assert not window.has_forming
    for other in (store, late, MarketStore(redis, source)):
        for frame, window in reversed(list(zip(frames, seen, strict=True))):
            again = await other.window("BTC/USDT", "1m", frame)
            assert np.array_equal(again.candles, window.candles)
    five = await late.window("BTC/USDT", "5m", frames[1])
    assert five.candles.shape[1] == (frames[1].candle_time[0] - bars[0, TIME]) // 300
    assert (np.diff(five.candles[TIME]) == 300).all()


async def test_a_window_that_is_not_kept_whole_is_gone(redis: Redis, tmp_path: Path) -> None:
    source = replay(tmp_path, speed=48_000.0, bars=6_000)
    store = MarketStore(redis, source)
    frames = [await frame_after(store, redis)]
    for _ in range(2):
        frames.append(await frame_after(store, redis, frames[-1].slot))
    assert await command(redis, "LLEN", keys.market_bars("BTC/USDT", "1m")) == BARS_KEPT
    newest = await MarketStore(redis, source).window("BTC/USDT", "1m", frames[2])
    assert newest.candles.shape == (6, 500)
    with pytest.raises(WindowGone):
        await store.window("BTC/USDT", "1m", frames[0])
    # Bars of a run that was lost are gone, too, whatever their numbers say.
    lost = decode_frame(encode_frame(frames[2]))
    closed = lost.closed + 7
    other = Frame(**{f: getattr(lost, f) for f in lost.__slots__ if f != "closed"}, closed=closed)
    with pytest.raises(WindowGone):
        await store.window("BTC/USDT", "1m", other)
