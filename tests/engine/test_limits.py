"""Pauses, trades a day, sizes, and what is said of a strategy that cannot run."""

from typing import Any

import numpy as np
import pytest

from engine.commands import SizingMode
from tests.engine.builders import (
    SLOT,
    holding,
    kinds,
    only_event,
    running,
    started,
    tick,
    values,
)

FREE = {"fee_cbps": 0, "stop_loss_ppm": 0, "take_profit_ppm": 0}

# Pauses and trades a day


def test_a_loss_pauses_entries_and_a_win_does_not() -> None:
    rows = holding(+1, cooldown_s=30)
    lost, won = tick(rows, SLOT + 2, 97.0).rows, tick(rows, SLOT + 2, 105.0).rows
    assert kinds(tick(won, SLOT + 3, signal=1.0)) == ["opened"]
    for slot, opens in ((SLOT + 3, False), (SLOT + 31, False), (SLOT + 32, True)):
        assert bool(tick(lost, slot, signal=1.0).events) == opens


def test_a_day_has_so_many_trades_and_the_next_one_begins_at_midnight() -> None:
    midnight = 12 * 86_400
    rows = running(max_trades_per_day=2, **FREE)
    slots: list[int] = []
    for slot in range(midnight - 20, midnight + 20):
        outcome = tick(rows, slot, signal=1.0 if slot % 2 else -1.0)
        rows = outcome.rows
        slots += [slot - midnight for e in outcome.events if e.kind == "opened"]
    before = [slot for slot in slots if slot < 0]
    assert (len(before), len(slots)) == (2, 4)
    assert min(slot for slot in slots if slot >= 0) <= 1


# Sizes


def notional(**seen: Any) -> float:
    changes = {name: seen.pop(name) for name in ("sizing_mode",) if name in seen}
    rows = started(volatility=seen.get("volatility"), **changes).rows
    for name in ("wins", "losses", "won_usd", "lost_usd"):
        if name in seen:
            rows = rows.copy()
            rows[name] = seen.pop(name)
    row = tick(rows, SLOT + 1, signal=1.0, **seen).rows[0]
    return float(row["quantity"] * row["entry_price"])


@pytest.mark.parametrize(
    ("volatility", "usd"),
    [(0.2, 1000.0), (0.4, 500.0), (2.0, 100.0), (0.1, 1000.0), (0.0, 1000.0)],
)
def test_size_by_volatility(volatility: float, usd: float) -> None:
    sized = notional(sizing_mode=SizingMode.VOL_SCALING, volatility=volatility)
    assert sized == pytest.approx(usd)
    assert sized <= 1000.0


@pytest.mark.parametrize("volatility", [None, np.nan, -0.1])
def test_without_a_volatility_nothing_is_opened_and_it_is_said_once(
    volatility: float | None,
) -> None:
    first = started(sizing_mode=SizingMode.VOL_SCALING, volatility=volatility)
    assert "volatility" in first.events[2].text
    assert tick(first.rows, SLOT + 2, signal=1.0, volatility=volatility).events == []
    assert kinds(tick(first.rows, SLOT + 2, signal=1.0, volatility=0.4)) == ["can_run", "opened"]


def test_a_volatility_without_bounds_opens_nothing() -> None:
    assert notional(sizing_mode=SizingMode.VOL_SCALING, volatility=np.inf) == 0.0


@pytest.mark.parametrize(
    ("wins", "losses", "won", "lost", "usd"),
    [
        (0, 0, 0.0, 0.0, 1000.0),
        (12, 7, 120.0, 70.0, 1000.0),  # 19 trades are too few
        (12, 8, 240.0, 80.0, 100.0),  # p 0.6, b 2: 0.4, a quarter of it
        (10, 10, 50.0, 100.0, 50.0),  # no edge: the least
        (20, 0, 10.0, 0.0, 250.0),
        (0, 30, 0.0, 10.0, 50.0),
    ],
)
def test_size_by_kelly(wins: int, losses: int, won: float, lost: float, usd: float) -> None:
    counted = {"wins": wins, "losses": losses, "won_usd": won, "lost_usd": lost}
    assert notional(sizing_mode=SizingMode.KELLY, **counted) == pytest.approx(usd)


def test_kellys_sums_are_of_closed_trades_and_halved_when_a_count_is_full() -> None:
    rows = holding(+1).copy()
    rows["wins"], rows["won_usd"], rows["losses"], rows["lost_usd"] = 65_534, 100.0, 11, 50.0
    row = tick(rows, SLOT + 2, 104.0).rows[0]
    assert values(row, "wins", "losses", "lost_usd") == [32_767, 5, 25.0]
    assert row["won_usd"] == pytest.approx((100.0 + 37.96) / 2)


# What is said of a strategy that cannot run


def test_a_strategy_that_cannot_run_is_said_once_in_its_own_words() -> None:
    words = {1: "needs 50 bars, has 12"}
    rows = running(interval=2)
    first = tick(rows, SLOT + 2, cannot_run=words)
    assert (only_event(first).kind, only_event(first).text) == ("cannot_run", words[1])
    for slot in (SLOT + 3, SLOT + 4):
        assert tick(first.rows, slot, cannot_run=words).events == []
    assert kinds(tick(first.rows, SLOT + 4)) == ["can_run"]
    assert tick(first.rows, SLOT + 3).events == []  # not due


def test_entries_that_are_held_back_leave_exits_alone() -> None:
    assert tick(running(), SLOT + 1, signal=1.0, entries=False).events == []
    assert kinds(tick(holding(+1), SLOT + 2, 90.0, entries=False)) == ["closed"]
