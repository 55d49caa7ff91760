"""Metrics against sums made by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.metrics import DAY_S, Metrics, metrics_of
from tests.engine.traded_by_hand import AnAgent, ATrade, add_up

START = 20_000 * DAY_S
PUBLISHED = json.loads(Path(__file__).with_name("published_metrics.json").read_text())
"""What empyrical-reloaded says of some daily results; see record_published_metrics.py."""


def trade(pnl: float, closed_day: float, held_s: float = 3600.0) -> ATrade:
    """One unit bought at 100; what it brought is given, not computed."""
    closed = START + closed_day * DAY_S
    return ATrade(closed - held_s, closed, pnl)


def agent(*trades: ATrade, position: float = 100.0, since_days: float = 0.0) -> AnAgent:
    return AnAgent(trades, position, START + since_days * DAY_S)


def of(*trades: ATrade, now_days: float, position: float = 100.0) -> Metrics:
    return fleet(agent(*trades, position=position), now_days=now_days)


def fleet(*agents: AnAgent, now_days: float) -> Metrics:
    now = START + now_days * DAY_S
    return metrics_of(add_up(agents, now), now)


def test_no_trades() -> None:
    nothing = Metrics(
        trades=0, wins=0, losses=0, win_rate=None, total_pnl_usd=0.0, fees_usd=0.0,
        profit_factor=None, expectancy_usd=None, sharpe=None, sortino=None, calmar=None,
        max_drawdown_usd=0.0, max_drawdown_pct=0.0, exposure=0.0, turnover_usd=0.0,
        average_hold_seconds=None,
    )  # fmt: skip
    assert of(now_days=5) == nothing
    assert fleet(now_days=5) == nothing


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
    # won in half of the cases 9, lost in the other half 3
    assert found.expectancy_usd == 3.0
    assert found.average_hold_seconds == 3600.0
    # 100 became 112 in four days
    assert found.calmar == pytest.approx((1.12 ** (365 / 4) - 1) / (6 / 110))


def test_an_open_trade_counts_where_it_is_known() -> None:
    found = of(ATrade(START, quantity=2.0, entry=50.0, fee=0.1), now_days=1.0)
    assert (found.trades, found.win_rate, found.profit_factor) == (0, None, None)
    assert (found.fees_usd, found.turnover_usd, found.exposure) == (0.1, 100.0, 1.0)
    # two days without any change
    assert (found.sharpe, found.sortino, found.calmar) == (None, None, None)
    assert (found.expectancy_usd, found.average_hold_seconds) == (None, None)


def test_ratios_need_two_days() -> None:
    one_day = of(trade(3, 0.4), trade(-1, 0.6), now_days=0.9)
    assert (one_day.sharpe, one_day.sortino, one_day.calmar) == (None, None, None)
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
    assert found.calmar == pytest.approx((0.5 ** (365 / 2) - 1) / 0.5)


def test_more_than_everything_was_lost() -> None:
    found = of(trade(-70, 0.5), trade(-60, 1.5), now_days=1.6)
    assert (found.max_drawdown_usd, found.max_drawdown_pct) == (130.0, 130.0)
    assert found.calmar is None


def test_a_fortune_in_two_days_is_not_told_as_a_year() -> None:
    assert of(trade(-1, 0.5), trade(500, 1.5), now_days=1.6).calmar is None


@pytest.mark.parametrize("case", PUBLISHED["cases"])
def test_as_a_published_library_says(case: dict[str, Any]) -> None:
    trades = [trade(pnl, number + 0.5) for number, pnl in enumerate(case["days"])]
    found = of(*trades, now_days=len(trades) - 0.1, position=case["capital_usd"])
    assert found.max_drawdown_pct == pytest.approx(-100 * case["max_drawdown"], rel=1e-9)
    for name in ("sharpe", "sortino", "calmar"):
        # where the library divides by nothing, there is no such number
        said = case[name] if case[name] is None else pytest.approx(case[name], rel=1e-9)
        assert getattr(found, name) == said, name


def test_a_fleet_is_measured_by_all_of_its_capital() -> None:
    # the one wins 10 of 100 as the other loses 10 of 300, in the same second
    ours, theirs = agent(trade(10, 0.5)), agent(trade(-10, 0.5), position=300.0)
    even = fleet(ours, theirs, now_days=2)
    assert (even.trades, even.wins, even.losses, even.total_pnl_usd) == (2, 1, 1, 0.0)
    assert (even.max_drawdown_usd, even.sharpe) == (0.0, None)
    assert even.exposure == pytest.approx(1 / 48)
    later = fleet(ours, agent(trade(-10, 1.5), position=300.0), now_days=2)
    # 410 falls to 400
    assert later.max_drawdown_usd == 10.0
    assert later.max_drawdown_pct == pytest.approx(100 / 41)
    # an hour of the day, and a quarter of the capital
    idle = fleet(ours, agent(position=300.0), now_days=1)
    assert idle.exposure == pytest.approx(1 / 24 / 4)


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
