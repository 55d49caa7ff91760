"""The record as it lies in Redis and PostgreSQL."""

import numpy as np

from engine.rows import (
    ROW,
    ROW_1,
    ROW_SCHEMA,
    ROWS_PER_SHARD,
    Action,
    Halt,
    Reason,
    RowFlag,
    RowRule,
    RowStatus,
    copy_of,
    empty_rows,
    rows_at,
)

LAYOUT_1 = {
    "|V16": "agent_id",
    "<f8": "max_position_usd threshold max_session_loss_usd realized_pnl_usd session_base_usd"
    " fees_usd entry_price quantity entry_fee_usd stop_loss_price take_profit_price",
    "<u4": "start_slot opened_slot action_slot plan_id interval epoch seq trade_seq ticks_base"
    " missed_base stop_loss_ppm take_profit_ppm",
    "<u2": "fee_cbps slippage_cbps leverage",
    "|u1": "status flags last_action last_reason status_reason close_reason",
    "|i1": "side",
}


LAYOUT_2 = [
    ("<f8", "session_peak_usd best_price"),
    ("<f4", "won_usd lost_usd"),
    ("<u4", "time_stop_s cooldown_s entry_atr_ppm"),
    ("<u2", "rules atr_multiple_centi reward_risk_centi trailing_stop_bps break_even_bps"),
    ("<u2", "max_drawdown_bps max_trades_per_day trades_that_day wins losses"),
    ("|u1", "halt"),
]


def test_layout_is_that_of_schema_2_which_begins_with_schema_1() -> None:
    first = [(name, code) for code, names in LAYOUT_1.items() for name in names.split()]
    more = [(name, code) for code, names in LAYOUT_2 for name in names.split()]
    assert ROW_1.descr == first
    assert ROW.descr == first + more
    assert (ROW_1.itemsize, ROW.itemsize) == (165, 222)
    assert (ROW_SCHEMA, ROWS_PER_SHARD) == (2, 4096)


def test_codes_are_stored_and_never_change() -> None:
    assert [(s.name, int(s)) for s in RowStatus] == [
        ("FREE", 0),
        ("RUNNING", 1),
        ("STOPPED", 2),
        ("ERROR", 3),
    ]
    assert [(f.name, int(f)) for f in RowFlag] == [
        ("CLOSING", 1),
        ("DELETING", 2),
        ("STALE_SAID", 4),
        ("CANNOT_RUN_SAID", 8),
        ("BREAK_EVEN", 16),
        ("LAST_LOST", 32),
        ("MOVING", 64),
    ]
    assert [(r.name, int(r)) for r in RowRule] == [
        ("SESSION_LOSS", 1),
        ("DRAWDOWN", 2),
        ("TIME_STOP", 4),
        ("TRAILING", 8),
        ("BREAK_EVEN", 16),
        ("DYNAMIC", 32),
        ("KELLY", 64),
        ("VOLATILITY", 128),
    ]
    assert [(h.name, int(h)) for h in Halt] == [("ACTIVE", 0), ("REDUCING", 1), ("HALTED", 2)]
    assert [a.name for a in Action] == ["NONE", "OPEN_LONG", "OPEN_SHORT", "CLOSE"]
    assert [r.name for r in Reason] == [
        "NONE",
        "SIGNAL",
        "TAKE_PROFIT",
        "STOP_LOSS",
        "TRAILING_STOP",
        "SUPERVISOR",
        "LIQUIDATION",
        "SESSION_LOSS",
        "DRAWDOWN",
        "STOPPED",
        "DELETED",
        "PLAN_FAILED",
        "BY_USER",
        "TIME_STOP",
    ]
    assert [int(r) for r in Reason] == list(range(14))


def test_empty_rows_are_free() -> None:
    rows = empty_rows(3)
    assert rows["status"].tolist() == [RowStatus.FREE] * 3
    assert rows.tobytes() == bytes(3 * 222)


def test_copies_are_equal_and_independent() -> None:
    rows = empty_rows(3)
    rows["seq"] = [1, 2, 3]
    copy, some = copy_of(rows), rows_at(rows, np.array([2, 0]))
    assert copy.tobytes() == rows.tobytes()
    assert some["seq"].tolist() == [3, 1]
    copy["seq"] = some["seq"] = 9
    assert rows["seq"].tolist() == [1, 2, 3]
    assert copy_of(empty_rows(0)).size == 0
