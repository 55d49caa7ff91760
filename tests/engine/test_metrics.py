"""Metrics against sums made by hand."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.metrics import DAY_S, Metrics, TradeColumns, metrics_of

DAY = 20_000
START = DAY * DAY_S
NAN = math.nan


def columns(*trades: tuple[float, ...]) -> TradeColumns:
    """Trades as (quantity, entry, exit, fee, pnl, opened, closed), times since START."""
    table = np.array(trades, np.float64).reshape(len(trades), 7)
    table[:, 5:] += START
    return TradeColumns(*table.T)


def trade(pnl: float, closed_day: float, held_s: float = 3600.0) -> tuple[float, ...]:
    """One unit bought at 100; what it brought is given, not computed."""
    closed = closed_day * DAY_S
    return (1.0, 100.0, 110.0, 0.2, pnl, closed - held_s, closed)


def of(
    *trades: tuple[float, ...], now_days: float, position: float = 100.0, since_days: float = 0.0
) -> Metrics:
    since, now = START + since_days * DAY_S, START + now_days * DAY_S
    return metrics_of(columns(*trades), position, since, now)


def test_no_trades() -> None:
    assert of(now_days=5) == Metrics(0, 0, 0, None, 0.0, 0.0, None, None, None, 0.0, 0.0, 0.0, 0.0)


def test_four_days_by_hand() -> None:
    # day 0: +10, day 1: -4 and -2, day 2: nothing, day 3: +8 (today)
    found = of(trade(10, 0.5), trade(-4, 1.2), trade(-2, 1.5), trade(8, 3.1), now_days=3.5)
    assert (found.trades, found.wins, found.losses, found.win_rate) == (4, 2, 2, 0.5)
    assert (found.total_pnl_usd, found.fees_usd) == (12.0, 0.8)
    assert found.profit_factor == 3.0
    # returns 0.10, -0.06, 0, 0.08: mean 0.03; squared differences 0.0049 0.0081 0.0009 0.0025
    assert found.sharpe == pytest.approx(0.03 / math.sqrt(0.0164 / 3) * math.sqrt(365))
    # below zero: 0.06 in one of four days
    assert found.sortino == pytest.approx(0.03 / math.sqrt(0.0036 / 4) * math.sqrt(365))
    # 110 falls to 104
    assert found.max_drawdown_usd == 6.0
    assert found.max_drawdown_pct == pytest.approx(6 / 110 * 100)
    assert found.exposure == pytest.approx(4 / (3.5 * 24))
    assert found.turnover_usd == 4 * 210.0


def test_an_open_trade_counts_where_it_is_known() -> None:
    found = of((2.0, 50.0, NAN, 0.1, NAN, 0.0, NAN), now_days=1.0)
    assert (found.trades, found.win_rate, found.profit_factor) == (0, None, None)
    assert (found.fees_usd, found.turnover_usd, found.exposure) == (0.1, 100.0, 1.0)
    assert (found.sharpe, found.sortino) == (None, None)  # two days without any change


def test_ratios_need_two_days() -> None:
    one_day = of(trade(3, 0.4), trade(-1, 0.6), now_days=0.9)
    assert (one_day.sharpe, one_day.sortino) == (None, None)
    two_days = of(trade(3, 0.4), trade(-1, 0.6), now_days=1.1)
    # returns 0.02 and 0: mean 0.01, deviation 0.02 / sqrt(2); no day lost anything
    assert two_days.sharpe == pytest.approx(math.sqrt(2) / 2 * math.sqrt(365))
    assert two_days.sortino is None


def test_only_losses() -> None:
    found = of(trade(-30, 0.5), trade(-20, 1.5), now_days=1.6)
    assert (found.profit_factor, found.win_rate) == (0.0, 0.0)
    assert (found.max_drawdown_usd, found.max_drawdown_pct) == (50.0, 50.0)
    # returns -0.3 and -0.2: mean -0.25
    assert found.sortino == pytest.approx(-0.25 / math.sqrt(0.13 / 2) * math.sqrt(365))


def test_a_trade_that_brought_nothing_is_neither_won_nor_lost() -> None:
    found = of(trade(0, 0.5), now_days=0.6)
    assert (found.trades, found.wins, found.losses, found.win_rate) == (1, 0, 0, 0.0)


MONEY = st.floats(-1e3, 1e3).map(lambda usd: round(usd, 8))


@given(st.lists(st.tuples(MONEY, st.floats(0.1, 30)), max_size=30))
def test_whatever_the_trades_the_numbers_are_numbers(trades: list[tuple[float, float]]) -> None:
    ordered = sorted(trades, key=lambda each: each[1])
    found = of(*(trade(pnl, day) for pnl, day in ordered), now_days=31, position=50.0)
    values: list[Any] = [getattr(found, name) for name in Metrics.__slots__]
    assert all(value is None or math.isfinite(value) for value in values)
    assert found.max_drawdown_usd >= 0.0
    assert 0.0 <= found.exposure <= 1.0
    assert found.wins + found.losses <= found.trades == len(trades)
