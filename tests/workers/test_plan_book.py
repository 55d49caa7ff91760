"""Plans in a slot: every worker, and every late or repeated tick, sees the same numbers."""

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from adapters.market_store import MarketStore
from adapters.plan_directory import publish_plans
from adapters.price_simulated import SimulatedPrices
from adapters.redis_client import Redis
from engine.frames import CLOSE, TIMEFRAME_NAMES, WINDOW_BARS, Floats, Frame, Ints
from strategies import catalog
from tests.adapters.market import frame_after, long_up
from workers.plan_book import PlanBook, SlotTable
from workers.plan_columns import PlanColumns

ATR_LOWEST, ATR_HIGHEST = 1e-5, 1e-1


@dataclass(frozen=True)
class OnRecord:
    """A plan as PostgreSQL has it."""

    id: int
    symbol: str
    strategy: str
    timeframe: str = "1m"
    version: int = 1
    params: Any = None


class JustListed(SimulatedPrices):
    """Simulated prices of markets that are ten bars old."""

    def history(
        self, symbol: str, timeframe: str, before_time: float, bars: int = WINDOW_BARS
    ) -> Floats:
        return super().history(symbol, timeframe, before_time, bars)[-10:]


PLANS = [
    OnRecord(1, "BTC/USDT", "rsi_signal", params={}),
    OnRecord(2, "BTC/USDT", "simple_momentum", "15m", params={"lookback": 7}),
    OnRecord(4, "ETH/USDT", "ema_crossover", params={}),
    OnRecord(300, "SOL/USDT", "z_score", "1d", params={}),
    OnRecord(301, "NO/SUCH", "z_score", params={}),
    OnRecord(302, "ETH/USDT", "breakout", params={"lookback": "words"}),
    OnRecord(303, "ETH/USDT", "gone_strategy", params={}),
]
ALL = np.array([0, *(plan.id for plan in PLANS), 999])


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async for client in long_up(redis_url):
        await publish_plans(client, PLANS)
        yield client


def worker(redis: Redis) -> tuple[MarketStore, PlanBook]:
    market = MarketStore(redis, SimulatedPrices())
    return market, PlanBook(redis, market)


def count_evaluations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Plan ids, in the order in which their strategies run."""
    ran: list[int] = []
    evaluate = PlanColumns.evaluate

    def counted(self: PlanColumns, plan_id: int, candles: catalog.Candles) -> tuple[float, bool]:
        ran.append(plan_id)
        return evaluate(self, plan_id, candles)

    monkeypatch.setattr(PlanColumns, "evaluate", counted)
    return ran


def seen(table: SlotTable, ids: Ints) -> dict[str, list[Any]]:
    """What the engine sees of plans; floats as bits."""
    columns: dict[str, list[Any]] = {}
    for name in ("price", "signal", "atr_fraction", "volatility"):
        columns[name] = getattr(table, name)[ids].view(np.int64).tolist()
    columns["fresh"] = table.fresh[ids].tolist()
    columns["failed"] = [table.failed.get(plan_id) for plan_id in ids.tolist()]
    columns["cannot_run"] = [table.cannot_run.get(plan_id) for plan_id in ids.tolist()]
    return columns


async def test_a_slot_says_the_same_to_everybody(redis: Redis) -> None:
    market, book = worker(redis)
    frame = await frame_after(market, redis)
    first = await book.table(frame, ALL, late=False)
    own = first.signal.copy()
    assert await book.table(frame, ALL[:4], late=False) is first
    for late in (False, True):
        other_market, other_book = worker(redis)
        other = await other_book.table(await frame_of(other_market, frame), ALL, late)
        assert seen(other, ALL) == seen(first, ALL)
    assert np.array_equal(first.signal, own, equal_nan=True)


async def frame_of(market: MarketStore, frame: Frame) -> Frame:
    answer = await market.frame(frame.slot)
    assert answer.frame is not None
    return answer.frame


async def test_signals_are_those_of_the_strategies(redis: Redis) -> None:
    market, book = worker(redis)
    frame = await frame_after(market, redis)
    table = await book.table(frame, ALL, late=False)
    for plan in PLANS[:4]:
        window = await market.window(plan.symbol, plan.timeframe, frame)
        said = catalog.evaluate(plan.strategy, catalog.Candles(*window.candles), plan.params)
        assert table.signal[plan.id] == said.value
        assert table.price[plan.id] == frame.price[frame.find(plan.symbol)]
    assert (table.signal[301], math.isnan(table.price[301])) == (0.0, True)
    assert table.failed[302].startswith("breakout failed: ")
    assert table.failed[303] == "gone_strategy failed: UnknownStrategy: " + table.failed[303][39:]
    assert table.failed[999] == "plan 999 is not known"
    assert np.isnan(table.signal[[302, 303, 999]]).all()


async def test_an_id_that_was_never_given_out_fails_alone(redis: Redis) -> None:
    """That of a damaged row: a table with room for it would fill the memory."""
    market, book = worker(redis)
    frame = await frame_after(market, redis)
    ids = np.array([1, 2**32 - 1])
    table = await book.table(frame, ids, late=False)
    assert table.failed == {2**32 - 1: "plan 4294967295 is not known"}
    assert np.isfinite(table.signal[1])
    assert len(table.signal) < 1_000
    assert len(await book.symbols(ids)) < 1_000


def wilder_atr_fraction(candles: Floats) -> float:
    """Wilder's average true range of the closed bars over the last close, written out."""
    _, _, high, low, close, _ = candles
    ranges = [
        max(high[i] - low[i], abs(high[i] - close[i - 1]), abs(low[i] - close[i - 1]))
        for i in range(1, len(close) - 1)
    ]
    atr = sum(ranges[:14]) / 14
    for each in ranges[14:]:
        atr = (atr * 13 + each) / 14
    return float(atr / close[-1])


async def test_readings_beside_the_signal(redis: Redis) -> None:
    market, book = worker(redis)
    frame = await frame_after(market, redis)
    table = await book.table(frame, ALL, late=False)
    seconds = {"1m": 60, "15m": 900, "1d": 86_400}
    for plan in PLANS[:4]:
        window = await market.window(plan.symbol, plan.timeframe, frame)
        fraction = wilder_atr_fraction(window.candles)
        assert ATR_LOWEST < table.atr_fraction[plan.id] < ATR_HIGHEST
        assert table.atr_fraction[plan.id] == pytest.approx(fraction, rel=1e-9)
        bars_a_year = 365 * 86_400 / seconds[plan.timeframe]
        yearly = fraction * math.sqrt(bars_a_year) / math.sqrt(8 / math.pi)
        assert table.volatility[plan.id] == pytest.approx(yearly, rel=1e-9)
    for column in (table.atr_fraction, table.volatility):
        assert np.isnan(column[[0, 3, 301, 999]]).all()


async def test_what_has_not_changed_is_not_computed_again(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, book = worker(redis)
    frame = await frame_after(market, redis)
    ids = np.array([1, 2, 4, 300])
    first = await book.table(frame, ids, late=False)
    ran = count_evaluations(monkeypatch)
    same = await book.table(replace(frame, slot=frame.slot + 1), ids, late=False)
    assert ran == []
    before, after = seen(first, ids), seen(same, ids)
    assert after == before

    btc, minute = frame.find("BTC/USDT"), TIMEFRAME_NAMES.index("1m")
    forming = frame.forming.copy()
    forming[btc, minute, CLOSE] *= 1.01
    moved = replace(frame, slot=frame.slot + 2, forming=forming)
    changed = await book.table(moved, ids, late=False)
    assert ran == [1]
    assert changed.signal[1] != first.signal[1]
    assert seen(changed, ids[1:]) == seen(first, ids[1:])
    _, fresh_book = worker(redis)
    again = await fresh_book.table(replace(moved, slot=frame.slot + 3), ids, late=False)
    assert seen(again, ids) == seen(changed, ids)


async def test_another_run_of_redis_forgets_every_signal(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, book = worker(redis)
    frame = await frame_after(market, redis)
    ids = np.array([1, 2])
    await book.table(frame, ids, late=False)
    ran = count_evaluations(monkeypatch)
    book.forget()
    await book.table(replace(frame, slot=frame.slot + 1), ids, late=False)
    assert ran == [1, 2]


async def test_a_slower_worker_asks_before_it_computes(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, fast = worker(redis)
    _, slow = worker(redis)
    frame, ids = await frame_after(market, redis), np.array([1, 2, 4])
    forming = frame.forming
    for slot in range(frame.slot, frame.slot + 3):
        forming = forming * (1 + 1e-9)
        now = replace(frame, slot=slot, forming=forming)
        await fast.table(now, ids, late=False)
        ran = count_evaluations(monkeypatch)
        await slow.table(now, ids, late=False)
        assert ran == (ids.tolist() if slot == frame.slot else [])
        monkeypatch.undo()
    ran = count_evaluations(monkeypatch)
    alone = replace(frame, slot=frame.slot + 3, forming=forming * 1.01)
    await slow.table(alone, ids, late=False)
    assert ran == ids.tolist()


async def test_a_strategy_that_cannot_run_says_why(redis: Redis) -> None:
    market = MarketStore(redis, JustListed())
    book = PlanBook(redis, market)
    frame = await frame_after(market, redis)
    ids = np.array([1, 2, 4])
    table = await book.table(frame, ids, late=False)
    assert table.cannot_run == {
        1: "needs 15 closed bars, has 10",
        2: "needs 20 closed bars, has 10",
        4: "needs 22 closed bars, has 10",
    }
    assert table.signal[ids].tolist() == [0.0] * 3
    assert not table.failed
    assert np.isnan(table.atr_fraction[ids]).all()
    for late in (False, True):
        other = await PlanBook(redis, market).table(frame, ids, late)
        assert seen(other, ids) == seen(table, ids)


async def test_filters_follow_the_market_clock(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {"lookback": 10}
    hours = [
        OnRecord(11, "BTC/USDT", "simple_momentum", params={**params, "session_filter": [13, 21]}),
        OnRecord(12, "BTC/USDT", "simple_momentum", params={**params, "session_filter": [21, 13]}),
        OnRecord(13, "BTC/USDT", "simple_momentum", params=params),
    ]
    await publish_plans(redis, hours)
    market, book = worker(redis)
    frame, ids = await frame_after(market, redis), np.array([11, 12, 13])
    ran = count_evaluations(monkeypatch)
    wednesday = 1_704_240_000.0  # midnight
    for number, (hour, is_open) in enumerate([(12.99, 12), (13.0, 11), (20.99, 11), (21.0, 12)]):
        at = np.full_like(frame.candle_time, wednesday + hour * 3600)
        now = replace(frame, slot=frame.slot + number, candle_time=at)
        table = await book.table(now, ids, late=False)
        closed = 23 - is_open
        assert table.signal[is_open] == table.signal[13] != 0
        assert table.signal[closed] == 0
        assert not math.isnan(table.atr_fraction[closed])
    assert sorted(ran) == [11, 12, 13]
    assert not table.cannot_run and not table.failed


async def test_an_ensemble_is_one_plan(redis: Redis) -> None:
    members = [{"strategy_name": "rsi_signal", "weight": 2}, "breakout"]
    kept = catalog.snap_params("ensemble", {"members": members})
    stored = catalog.get("ensemble").plan_params(kept)
    await publish_plans(redis, [OnRecord(20, "BTC/USDT", "ensemble", params=stored)])
    market, book = worker(redis)
    frame = await frame_after(market, redis)
    table = await book.table(frame, np.array([20]), late=False)
    candles = catalog.Candles(*(await market.window("BTC/USDT", "1m", frame)).candles)
    rsi, breakout = (
        catalog.evaluate(name, candles, {}).value for name in ("rsi_signal", "breakout")
    )
    assert table.signal[20] == pytest.approx((2 * rsi + breakout) / 3, abs=1e-15)


async def test_symbols_of_plans_can_be_told_apart(redis: Redis) -> None:
    _, book = worker(redis)
    symbol = (await book.symbols(ALL)).tolist()
    assert symbol[1] == symbol[2] != symbol[4] == symbol[302] != symbol[300]
    assert symbol[0] == symbol[3] == symbol[999] == -1
    assert min(symbol[1], symbol[4], symbol[300], symbol[301]) >= 0
