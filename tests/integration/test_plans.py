"""Plans in a real pool: what cannot run says so once, filters hold, a symbol changes in order."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.db import history
from adapters.db.agent_edits import Edit, edit_agent
from adapters.db.agents import Agent
from adapters.db.records import Trade
from adapters.settings import Settings
from tests.adapters.test_price_replay import random_bars, write
from tests.conftest import wait_for
from tests.integration.pool import TestPool, open_test_pool
from workers.plan_book import PlanBook

EAGER = {"threshold": 0.01}


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[TestPool]:
    async for each in running_pool(settings):
        yield each


async def running_pool(settings: Settings) -> AsyncIterator[TestPool]:
    async with open_test_pool(settings) as test_pool:
        test_pool.start()
        await wait_for(test_pool.pool.market.newest, seconds=5, what="the first frame")
        yield test_pool


async def has_position(pool: TestPool, agent: Agent) -> bool:
    row = await pool.row(agent)
    return row is not None and bool(row["side"])


async def messages(pool: TestPool, agent: Agent, level: str) -> list[str]:
    lines = await history.logs_of(pool.pool.database, pool.owner, agent.id, level, 100)
    return [line.message for line in lines]


@pytest.fixture
async def volumeless(settings: Settings, tmp_path: Path) -> AsyncIterator[TestPool]:
    bars = random_bars(3_000)
    bars[:, 5] = 0
    recording = write(tmp_path / "BTCUSDT_3000.csv", bars)
    async for each in running_pool(replace(settings, price_source=f"replay:{recording}@600")):
        yield each


async def test_a_strategy_without_its_volume_warns_once(volumeless: TestPool) -> None:
    pool = volumeless
    unable = await pool.create(strategy="obv_trend")
    able = await pool.create(
        strategy="ensemble", strategy_params={"members": ["obv_trend", "ema_crossover"], **EAGER}
    )
    await wait_for(lambda: has_position(pool, able), seconds=10, what="a position of the ensemble")

    async def warned() -> bool:
        return bool(await messages(pool, unable, "warn"))

    await wait_for(warned, seconds=5)
    for _ in range(2):
        await pool.ticked(unable)
    assert await messages(pool, unable, "warn") == [
        "cannot run: needs volume, the price source gives none"
    ]
    assert not await has_position(pool, unable)
    assert await messages(pool, able, "warn") == []


async def test_another_worker_and_a_late_tick_read_the_same(pool: TestPool) -> None:
    agents = await asyncio.gather(
        *(pool.create(strategy=name) for name in ("rsi_signal", "ensemble", "breakout"))
    )
    await asyncio.gather(*(pool.ticked(agent) for agent in agents))
    frame = await pool.pool.market.newest()
    assert frame is not None
    ids = np.sort([agent.plan_id for agent in agents])
    mine = await pool.pool.plans.table(frame, ids, late=False)
    theirs = await PlanBook(pool.pool.state_redis, pool.pool.market).table(frame, ids, late=True)
    for name in ("signal", "atr_fraction", "volatility", "price"):
        columns: list[Any] = [getattr(table, name)[ids].view(np.int64) for table in (mine, theirs)]
        assert columns[0].tolist() == columns[1].tolist(), name
    assert np.isfinite(mine.volatility[ids]).all()


async def test_outside_of_its_hours_an_agent_opens_nothing(pool: TestPool) -> None:
    frame = await pool.pool.market.newest()
    assert frame is not None
    hour = int(frame.moment[0] // 3600) % 24
    elsewhen = [(hour + 12) % 24, (hour + 13) % 24 or 24]
    closed = await pool.create(
        strategy="ema_crossover", strategy_params={**EAGER, "session_filter": elsewhen}
    )
    opened = await pool.create(strategy="ema_crossover", strategy_params=EAGER)
    await wait_for(lambda: has_position(pool, opened), seconds=10, what="a position")
    await pool.ticked(closed)
    assert not await has_position(pool, closed)


async def test_an_edit_of_the_symbol_that_meets_a_position_closes_it_first(pool: TestPool) -> None:
    """The hub refuses it, but the agent may open between the hub's look and the command's slot."""
    agent = await pool.create(strategy="ema_crossover", strategy_params=EAGER)
    other = await pool.create("ETH/USDT", strategy="ema_crossover", strategy_params=EAGER)
    await wait_for(lambda: has_position(pool, agent), seconds=10, what="a position")
    edit = Edit(**{name: getattr(agent, name) for name in Edit.__slots__})
    moved = replace(edit, symbol="ETH/USDT", plan_id=other.plan_id)
    edited = await edit_agent(pool.pool.database, agent, moved, None)
    assert edited is not None
    await pool.send(edited)

    async def runs_there() -> bool:
        row = await pool.row(agent)
        return bool(row["plan_id"] == other.plan_id and row["epoch"] == edited.epoch)

    await wait_for(runs_there, seconds=10, what="the edit")
    await wait_for(lambda: has_position(pool, agent), seconds=10, what="a position on ETH")

    async def in_the_ledger() -> list[Trade[Decimal]]:
        page = await history.trades_of(pool.pool.database, pool.owner, agent.id, 10, None)
        return list(page.trades) if len(page.trades) > 1 else []

    newest, first = (await wait_for(in_the_ledger, seconds=5))[-2:]
    assert (first.symbol, newest.symbol) == ("BTC/USDT", "ETH/USDT")
    assert first.exit_price is not None
    assert float(first.exit_price) == pytest.approx(float(first.entry_price), rel=0.05)
    assert newest.entry_price < first.entry_price / 5
