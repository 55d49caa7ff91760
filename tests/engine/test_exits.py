"""Why a position is closed, in which order that is looked at, and what moves its stop.

A position is 10 units at 100, so a dollar of price is ten of P&L; see builders.
"""

from typing import Any

import numpy as np
import pytest

from engine.commands import ExitMode
from engine.rows import Halt, Reason, RowFlag, Rows, RowStatus
from tests.engine.builders import (
    SLOT,
    command,
    holding,
    kinds,
    only_event,
    running,
    started,
    tick,
    values,
)

NO_EXITS = {"stop_loss_ppm": 0, "take_profit_ppm": 0}
FREE = {"fee_cbps": 0, **NO_EXITS}


def walk(rows: Rows, prices: list[float], first_slot: int = SLOT + 2) -> tuple[Rows, list[Reason]]:
    """The table after some prices, and why row 0 was closed on the way."""
    reasons: list[Reason] = []
    for number, price in enumerate(prices):
        outcome = tick(rows, first_slot + number, price)
        rows = outcome.rows
        reasons += [Reason(e.reason) for e in outcome.events if e.kind == "closed" and e.row == 0]
    return rows, reasons


DYNAMIC: dict[str, Any] = {
    "tp_sl_mode": ExitMode.DYNAMIC,
    "atr_multiple_centi": 200,
    "reward_risk_centi": 200,
}


# Everything holds at once: what comes first?

ALL_AT_ONCE: dict[str, Any] = {
    "fee_cbps": 0,
    "leverage": 10,
    "stop_loss_ppm": 30_000,
    "take_profit_ppm": 0,
    "max_session_loss_usd": 30.0,
    "max_drawdown_bps": 300,
    "time_stop_s": 5,
}
ORDER = [
    (Reason.LIQUIDATION, {}, 89.0),
    (Reason.STOP_LOSS, {"leverage": 1}, 89.0),
    (Reason.SESSION_LOSS, {"leverage": 1, "stop_loss_ppm": 0}, 89.0),
    (Reason.DRAWDOWN, {"leverage": 1, "stop_loss_ppm": 0, "max_session_loss_usd": 0.0}, 89.0),
    (
        Reason.TIME_STOP,
        {
            "leverage": 1,
            "stop_loss_ppm": 0,
            "max_session_loss_usd": 0.0,
            "max_drawdown_bps": 0,
        },
        89.0,
    ),
]


@pytest.mark.parametrize(("reason", "without", "price"), ORDER)
@pytest.mark.parametrize("side", [+1, -1])
def test_a_position_closes_for_the_first_reason(
    reason: Reason, without: dict[str, Any], price: float, side: int
) -> None:
    rows = holding(side, **ALL_AT_ONCE | without)
    closed = tick(rows, SLOT + 20, 100.0 + side * (price - 100.0)).events[0]
    assert (closed.kind, Reason(closed.reason)) == ("closed", reason)


@pytest.mark.parametrize("asked", [Reason.STOPPED, Reason.DELETED])
def test_a_close_that_was_asked_for_comes_after_liquidation_and_before_the_rest(
    asked: Reason,
) -> None:
    rows = holding(+1, **ALL_AT_ONCE).copy()
    rows["flags"] |= np.uint8(RowFlag.CLOSING)
    rows["close_reason"] = asked
    for price, reason in ((89.0, Reason.LIQUIDATION), (95.0, asked), (100.0, asked)):
        assert tick(rows, SLOT + 20, price).events[0].reason == reason


@pytest.mark.parametrize("side", [+1, -1])
def test_a_price_that_crosses_both_stop_and_target_takes_the_stop(side: int) -> None:
    """They can only be crossed at once where the stop has trailed beyond the target."""
    rows = holding(side, take_profit_ppm=10_000, trailing_stop_bps=50, fee_cbps=0)
    rows = rows.copy()
    rows["stop_loss_price"] = 100.0 + side * 2.0
    closed = only_event(tick(rows, SLOT + 2, 100.0 + side * 1.5))
    assert Reason(closed.reason) == Reason.TRAILING_STOP


@pytest.mark.parametrize(
    ("price", "reason", "pnl"), [(97.0, "STOP_LOSS", -30.0), (106.0, "TAKE_PROFIT", 60.0)]
)
def test_a_gap_fills_at_the_price_that_was_seen(price: float, reason: str, pnl: float) -> None:
    closed = only_event(tick(holding(+1, fee_cbps=0), SLOT + 2, price))
    assert (Reason(closed.reason).name, closed.price, closed.pnl_usd) == (reason, price, pnl)


# Dynamic


@pytest.mark.parametrize(("side", "stop", "target"), [(+1, 98.0, 103.0), (-1, 102.0, 97.0)])
def test_dynamic_exits_are_atr_and_ratio_away_from_the_entry(
    side: int, stop: float, target: float
) -> None:
    rows = started(atr=0.01, **DYNAMIC | {"reward_risk_centi": 150}).rows
    row = tick(rows, SLOT + 1, signal=float(side), atr=0.01).rows[0]
    assert values(row, "stop_loss_price", "take_profit_price") == [stop, target]
    assert row["entry_atr_ppm"] == 10_000


@pytest.mark.parametrize("atr", [None, np.nan, np.inf, -0.01, 0.0, 4e-7, 1e9])
def test_without_an_atr_a_dynamic_agent_opens_nothing_and_says_so_once(atr: float | None) -> None:
    first = started(atr=atr, **DYNAMIC)
    assert kinds(first) == ["created", "started", "cannot_run"]
    assert "ATR" in first.events[2].text
    assert tick(first.rows, SLOT + 2, signal=1.0, atr=atr).events == []
    assert kinds(tick(first.rows, SLOT + 3, signal=1.0, atr=0.01)) == ["can_run", "opened"]


def test_what_was_opened_without_an_atr_keeps_its_fixed_exits() -> None:
    rows = holding(+1).copy()
    rows["rules"] = 32
    rows["atr_multiple_centi"] = rows["reward_risk_centi"] = 200
    assert walk(rows, [98.0])[1] == [Reason.STOP_LOSS]


# Trailing, break-even, time


def test_a_trailing_stop_follows_in_steps_of_5_bp() -> None:
    rows = holding(+1, trailing_stop_bps=100, fee_cbps=0, **NO_EXITS)
    assert rows[0]["stop_loss_price"] == 99.0
    still = tick(rows, SLOT + 2, 100.0499)
    assert still.rows is rows
    moved = tick(rows, SLOT + 2, 100.05)
    assert (moved.events, moved.changed.tolist()) == ([], [0])
    assert values(moved.rows[0], "best_price", "stop_loss_price") == [100.05, 99.0495]
    assert tick(moved.rows, SLOT + 3, 99.9).rows is moved.rows


@pytest.mark.parametrize("side", [+1, -1])
def test_a_trailing_stop_never_goes_back_and_closes_by_its_own_name(side: int) -> None:
    rows = holding(side, trailing_stop_bps=200, fee_cbps=0, **NO_EXITS)
    path = [100.0 + side * move for move in (3.0, 8.0, 7.0, 6.5, 5.84)]
    rows, reasons = walk(rows, path[:4])
    assert reasons == []
    assert rows[0]["stop_loss_price"] == pytest.approx(108.0 * 0.98 if side > 0 else 92.0 * 1.02)
    _, reasons = walk(rows, [105.84 if side > 0 else 93.84], SLOT + 10)
    assert reasons == [Reason.TRAILING_STOP]


def test_the_tightest_stop_counts_and_gives_the_name() -> None:
    wide = holding(+1, trailing_stop_bps=500, fee_cbps=0)  # the fixed one is 2 % away
    assert wide[0]["stop_loss_price"] == 98.0
    _, reasons = walk(wide, [98.0])
    assert reasons == [Reason.STOP_LOSS]
    _, reasons = walk(wide, [103.9, 98.7])
    assert reasons == [Reason.TRAILING_STOP]


@pytest.mark.parametrize("side", [+1, -1])
def test_break_even_is_where_fees_and_slippage_are_paid(side: int) -> None:
    rows = holding(side, break_even_bps=100, slippage_cbps=500, stop_loss_ppm=50_000)
    entry = float(rows[0]["entry_price"])
    beyond = entry * (1.0 + side * 0.0101)
    moved = tick(rows, SLOT + 2, beyond)
    assert moved.rows[0]["flags"] & RowFlag.BREAK_EVEN
    level = float(moved.rows[0]["stop_loss_price"])
    assert (level - entry) * side > 0
    closed = only_event(tick(moved.rows, SLOT + 3, level))
    assert Reason(closed.reason) == Reason.TRAILING_STOP
    assert closed.pnl_usd == pytest.approx(0.0, abs=1e-6)
    assert not tick(moved.rows, SLOT + 3, level).rows[0]["flags"] & RowFlag.BREAK_EVEN


@pytest.mark.parametrize("side", [+1, -1])
def test_break_even_waits_for_a_price_beyond_itself(side: int) -> None:
    rows = holding(side, break_even_bps=5, stop_loss_ppm=50_000)  # the fees alone are 20 bp
    for move, reached in ((0.1, False), (0.19, False), (0.21, True)):
        flags = tick(rows, SLOT + 2, 100.0 + side * move).rows[0]["flags"]
        assert bool(flags & RowFlag.BREAK_EVEN) == reached


def test_a_time_stop_closes_at_the_age_and_not_before() -> None:
    rows = holding(+1, time_stop_s=60, **FREE)  # opened in SLOT + 1
    assert tick(rows, SLOT + 60).events == []
    closed = only_event(tick(rows, SLOT + 61))
    assert (Reason(closed.reason), closed.price) == (Reason.TIME_STOP, 100.0)


# Losses of a session


def test_a_drawdown_counts_from_the_peak_of_the_equity() -> None:
    rows = holding(+1, max_drawdown_bps=500, **FREE)  # of 1,000 USD
    rows, reasons = walk(rows, [110.0, 105.0, 104.51])
    assert reasons == []
    assert rows[0]["session_peak_usd"] == 100.0
    outcome = tick(rows, SLOT + 10, 104.5)  # 55 of 1,100
    assert kinds(outcome) == ["closed", "stopped"]
    assert [Reason(e.reason) for e in outcome.events] == [Reason.DRAWDOWN] * 2
    assert values(outcome.rows[0], "status", "status_reason") == [
        RowStatus.STOPPED,
        Reason.DRAWDOWN,
    ]


@pytest.mark.parametrize("side", [+1, -1])
@pytest.mark.parametrize("usd", [2.0, 1000.0])
def test_a_drawdown_counts_from_the_start_where_nothing_was_won(side: int, usd: float) -> None:
    rows = holding(side, max_drawdown_bps=500, max_position_usd=usd, **FREE)
    assert walk(rows, [100.0 - side * 4.99])[1] == []
    assert walk(rows, [100.0 - side * 5.01])[1] == [Reason.DRAWDOWN]


def test_a_peak_moves_in_steps_but_counts_a_closed_trade_to_the_cent() -> None:
    rows = holding(+1, max_drawdown_bps=5000, stop_loss_ppm=0, take_profit_ppm=40_000)
    rows, _ = walk(rows, [100.14])  # 1.4 USD less 1 USD of fee is below the step of 0.5
    assert rows[0]["session_peak_usd"] == 0.0
    rows, _ = walk(rows, [104.0])
    assert rows[0]["session_peak_usd"] == rows[0]["realized_pnl_usd"] == 37.96


def test_a_close_that_goes_past_the_drawdown_stops_the_agent() -> None:
    rows = holding(+1, max_drawdown_bps=300, stop_loss_ppm=20_000, take_profit_ppm=0)
    outcome = tick(rows, SLOT + 2, 97.0)
    assert [(e.kind, Reason(e.reason)) for e in outcome.events] == [
        ("closed", Reason.STOP_LOSS),
        ("stopped", Reason.DRAWDOWN),
    ]


def test_a_new_session_has_a_new_peak() -> None:
    rows, _ = walk(holding(+1, max_drawdown_bps=500, **FREE), [120.0])
    assert rows[0]["session_peak_usd"] == 200.0
    again = [command(epoch=2, agent_id=rows[0]["agent_id"].tobytes(), max_drawdown_bps=500)]
    stopped = rows.copy()
    stopped["status"] = RowStatus.STOPPED
    outcome = tick(stopped, SLOT + 10, 120.0, commands=again)
    assert kinds(outcome) == ["started", "closed"]
    assert outcome.rows[0]["session_peak_usd"] == pytest.approx(198.8)


# Halts


@pytest.mark.parametrize("halt", [Halt.REDUCING, Halt.HALTED])
def test_a_halt_opens_nothing(halt: Halt) -> None:
    assert tick(running(halt=halt), SLOT + 1, signal=1.0).events == []
    assert tick(running(), SLOT + 1, signal=1.0, halt=halt).events == []


@pytest.mark.parametrize(("halt", "closes"), [(Halt.REDUCING, True), (Halt.HALTED, False)])
def test_reducing_closes_by_signal_and_age_and_halted_does_not(halt: Halt, closes: bool) -> None:
    rows = holding(+1, time_stop_s=60, **FREE).copy()
    rows["halt"] = halt
    assert bool(tick(rows, SLOT + 2, signal=-1.0).events) == closes
    assert bool(tick(rows, SLOT + 61).events) == closes
    rows["halt"] = Halt.ACTIVE
    assert bool(tick(rows, SLOT + 2, signal=-1.0, halt=halt).events) == closes
    assert bool(tick(rows, SLOT + 61, halt=halt).events) == closes


@pytest.mark.parametrize("halt", list(Halt))
def test_protection_stands_in_every_halt(halt: Halt) -> None:
    settings: dict[str, Any] = {"trailing_stop_bps": 100, "leverage": 10, "fee_cbps": 0}
    rows = holding(+1, **settings).copy()
    rows["halt"] = halt
    for path, reason in (
        ([98.9], Reason.TRAILING_STOP),
        ([101.0, 99.9], Reason.TRAILING_STOP),
        ([104.0], Reason.TAKE_PROFIT),
        ([90.0], Reason.LIQUIDATION),
    ):
        assert walk(rows, path)[1] == [reason]
    lost = holding(+1, max_session_loss_usd=15.0, **FREE).copy()
    lost["halt"] = halt
    assert walk(lost, [98.0])[1] == [Reason.SESSION_LOSS]
    asked = rows.copy()
    asked["flags"] |= np.uint8(RowFlag.CLOSING)
    asked["close_reason"] = Reason.STOPPED
    assert walk(asked, [100.0])[1] == [Reason.STOPPED]
