"""Sums that PostgreSQL makes of trades, against the same trades added up one by one."""

import random
from datetime import UTC, datetime
from uuid import UUID, uuid4

import numpy as np
import pytest

from adapters.db import agents, users
from adapters.db.connection import connection
from adapters.db.metrics import read_traded
from engine.metrics import DAY_S, Traded, TradeDays
from tests.adapters.db.world import World
from tests.engine.traded_by_hand import AnAgent, ATrade, add_up


async def store(world: World, agent_id: UUID, trades: list[ATrade]) -> None:
    async with connection(world.db) as con:
        await con.executemany(
            "INSERT INTO trades (id, agent_id, user_id, seq, symbol, side, strategy_name,"
            " quantity, leverage, entry_price, exit_price, fee_usd, pnl_usd, open_reason,"
            " close_reason, opened_at, closed_at, mode) VALUES ($1, $2, $3, $4, 'BTC/USDT',"
            " 'long', 's', $5, 1, $6, $7, $8, $9, 'signal', $10, $11, $12, 'paper')",
            [
                (
                    uuid4(), agent_id, world.user, number, trade.quantity, trade.entry,
                    trade.exit if trade.is_closed else None, trade.fee,
                    trade.pnl if trade.is_closed else None,
                    "signal" if trade.is_closed else None,
                    datetime.fromtimestamp(trade.opened, UTC),
                    datetime.fromtimestamp(trade.closed, UTC) if trade.is_closed else None,
                )
                for number, trade in enumerate(trades)
            ],
        )  # fmt: skip


def some_trades(seed: int, start: float, days: float) -> list[ATrade]:
    """Won, lost and even trades over some days, some in one second, the last one open."""
    drawn = random.Random(seed)
    trades, at = [], start
    while at < start + days * DAY_S:
        opened = at + drawn.choice([1, 40, 3000])
        at = opened + drawn.choice([0, 1, 600, 40_000])
        pnl = drawn.choice([0.0, round(drawn.uniform(-9, 8), 8)])
        exit_price = round(drawn.uniform(90, 110), 2)
        trades.append(ATrade(opened, at, pnl, quantity=2.5, exit=exit_price, fee=0.25))
    return [*trades, ATrade(at + 5, quantity=0.5, fee=0.05)]


def assert_same(found: Traded, wanted: Traded) -> None:
    assert (found.agents, found.first_day) == (wanted.agents, wanted.first_day)
    for name in set(Traded.__slots__) - {"agents", "first_day", "days"}:
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-9), name
    for name in TradeDays.__slots__:
        np.testing.assert_allclose(
            getattr(found.days, name), getattr(wanted.days, name), rtol=1e-9, err_msg=name
        )


async def test_sums_are_those_of_the_trades(world: World) -> None:
    now = float(int(datetime.now(UTC).timestamp()))
    fleet = []
    for seed, capital in enumerate((100.0, 400.0, 50.0)):
        made = await world.agent(risk_params={"max_position_usd": capital})
        trades = some_trades(seed, now - 9 * DAY_S, 8) if capital != 50.0 else []
        await store(world, made.id, trades)
        fleet.append(AnAgent(trades, capital, made.created_at.timestamp()))
        alone = await read_traded(world.db, world.user, now, made.id)
        assert_same(alone, add_up([fleet[-1]], now))
    together = await read_traded(world.db, world.user, now)
    assert_same(together, add_up(fleet, now))
    assert together.fall_usd > 0
    assert together.days.trades.sum() > 50


async def test_a_close_before_the_opening_holds_for_no_time(world: World) -> None:
    """Only reports from outside of the pool may say so."""
    now = float(int(datetime.now(UTC).timestamp()))
    made = await world.agent()
    trades = [ATrade(now - 50, now - 5 * DAY_S, pnl=-3.0), ATrade(now + 50)]
    await store(world, made.id, trades)
    found = await read_traded(world.db, world.user, now)
    assert_same(found, add_up([AnAgent(trades, 100.0, made.created_at.timestamp())], now))
    assert (found.held, found.fall_usd) == (0.0, 3.0)


async def test_only_agents_that_are_there_and_ones_own(world: World) -> None:
    now = datetime.now(UTC).timestamp()
    kept, deleted = await world.agent(), await world.agent()
    for made in (kept, deleted):
        await store(world, made.id, [ATrade(now - 60, now - 30, pnl=5.0)])
    await agents.delete(world.db, world.user, deleted.id)
    found = await read_traded(world.db, world.user, now)
    assert (found.agents, found.capital_usd) == (1, 100.0)
    assert found.days.won_usd.tolist() == [5.0]
    stranger = await users.create_user(world.db, "stranger@example.com", "hash")
    for asked in (None, kept.id):
        nothing = await read_traded(world.db, stranger.id, now, asked)
        assert_same(nothing, add_up([], now))
