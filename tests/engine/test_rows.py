"""The record as it lies in Redis and PostgreSQL."""

import numpy as np
import pytest

from engine.errors import RowsError
from engine.rows import (
    ROW,
    ROW_SCHEMA,
    ROWS_PER_SHARD,
    Action,
    Reason,
    RowFlag,
    RowStatus,
    copy_of,
    empty_rows,
    rows_at,
    rows_from_bytes,
)

LAYOUT_1 = {
    "V16": "agent_id",
    "<f8": "max_position_usd threshold max_session_loss_usd realized_pnl_usd session_base_usd"
    " fees_usd entry_price quantity entry_fee_usd stop_loss_price take_profit_price",
    "<u4": "start_slot opened_slot action_slot plan_id interval epoch seq trade_seq ticks_base"
    " missed_base stop_loss_ppm take_profit_ppm",
    "<u2": "fee_cbps slippage_cbps leverage",
    "|u1": "status flags last_action last_reason status_reason close_reason",
    "|i1": "side",
}


def test_layout_is_that_of_schema_1() -> None:
    expected = [(name, code) for code, names in LAYOUT_1.items() for name in names.split()]
    expected[0] = ("agent_id", "|V16")
    assert ROW.descr == expected
    assert (ROW_SCHEMA, ROW.itemsize, ROWS_PER_SHARD) == (1, 165, 4096)


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
    ]
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
    ]
    assert [int(r) for r in Reason] == list(range(13))


def test_empty_rows_are_free() -> None:
    rows = empty_rows(3)
    assert rows["status"].tolist() == [RowStatus.FREE] * 3
    assert rows.tobytes() == bytes(3 * 165)


def test_bytes_are_the_table_and_back_but_cannot_be_written() -> None:
    rows = empty_rows(2)
    rows[1]["quantity"] = 1.5
    read = rows_from_bytes(rows.tobytes())
    assert read.tobytes() == rows.tobytes()
    assert read[1]["quantity"] == 1.5
    assert rows[1].tobytes() == rows.tobytes()[165:]
    with pytest.raises(ValueError, match="read-only"):
        read["quantity"] = 2.0


def test_half_a_row_is_no_table() -> None:
    assert len(rows_from_bytes(b"")) == 0
    with pytest.raises(RowsError, match="166 bytes"):
        rows_from_bytes(bytes(166))


def test_copies_are_equal_and_independent() -> None:
    rows = empty_rows(3)
    rows["seq"] = [1, 2, 3]
    copy, some = copy_of(rows), rows_at(rows, np.array([2, 0]))
    assert copy.tobytes() == rows.tobytes()
    assert some["seq"].tolist() == [3, 1]
    copy["seq"] = some["seq"] = 9
    assert rows["seq"].tolist() == [1, 2, 3]
    assert copy_of(empty_rows(0)).size == 0
