"""One agent is one record of fixed size; a shard is a table of them.

The layout, packed and little-endian, is what lies in Redis and in PostgreSQL: a change of it is a
new ROW_SCHEMA. Slots are u4 here, so widen them (`.astype(np.int64)`) before any arithmetic.
"""

from enum import IntEnum, IntFlag
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.errors import RowsError

ROW_SCHEMA: Final = 1
ROWS_PER_SHARD: Final = 4096

ROW: Final = np.dtype(
    [
        ("agent_id", "V16"),  # UUID bytes; kept when the row is free
        ("max_position_usd", "<f8"),
        ("threshold", "<f8"),  # a signal of at least this size acts
        ("max_session_loss_usd", "<f8"),  # 0: no limit
        ("realized_pnl_usd", "<f8"),  # of all closed trades, net of fees
        ("session_base_usd", "<f8"),  # realized_pnl_usd when the session started
        ("fees_usd", "<f8"),  # all fees ever paid, those of the open position too
        ("entry_price", "<f8"),  # this one and the next four: 0 when flat
        ("quantity", "<f8"),
        ("entry_fee_usd", "<f8"),
        ("stop_loss_price", "<f8"),  # 0: none
        ("take_profit_price", "<f8"),  # 0: none
        ("start_slot", "<u4"),  # first due slot of the present schedule
        ("opened_slot", "<u4"),  # of the present or last position
        ("action_slot", "<u4"),  # slot of last_action
        ("plan_id", "<u4"),
        ("interval", "<u4"),  # seconds
        ("epoch", "<u4"),  # of the newest command that was applied
        ("seq", "<u4"),  # number of the agent's last event; the next one gets seq + 1
        ("trade_seq", "<u4"),  # seq of the event that opened the present or last position
        ("ticks_base", "<u4"),  # see schedule.counts
        ("missed_base", "<u4"),
        ("stop_loss_ppm", "<u4"),  # of the price: 2.0 % is 20,000; 0: none
        ("take_profit_ppm", "<u4"),
        ("fee_cbps", "<u2"),  # hundredths of a basis point: 10 bps is 1,000
        ("slippage_cbps", "<u2"),
        ("leverage", "<u2"),
        ("status", "u1"),  # RowStatus
        ("flags", "u1"),  # RowFlag
        ("last_action", "u1"),  # Action
        ("last_reason", "u1"),  # Reason of last_action; while open: why it was opened
        ("status_reason", "u1"),  # Reason for status; NONE while running
        ("close_reason", "u1"),  # Reason of the close that was asked for; NONE unless CLOSING
        ("side", "i1"),  # -1 short, 0 flat, +1 long
    ]
)

_RECORD: Final = np.dtype(f"V{ROW.itemsize}")

Rows: TypeAlias = npt.NDArray[np.void]
Index: TypeAlias = npt.NDArray[np.intp]
Mask: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]
Reasons: TypeAlias = npt.NDArray[np.uint8]


class RowStatus(IntEnum):
    FREE = 0
    RUNNING = 1
    STOPPED = 2
    ERROR = 3


class RowFlag(IntFlag):
    CLOSING = 1  # a close was asked for and is not yet filled
    DELETING = 2  # free the row as soon as it is flat
    STALE_SAID = 4  # `stale` was said, `fresh` not yet


class Action(IntEnum):
    """HOLD is not stored: it is a last action older than the last slot."""

    NONE = 0
    OPEN_LONG = 1
    OPEN_SHORT = 2
    CLOSE = 3


class Reason(IntEnum):
    """Why a position was opened or closed, or why an agent does not run."""

    NONE = 0
    SIGNAL = 1
    TAKE_PROFIT = 2
    STOP_LOSS = 3
    TRAILING_STOP = 4
    SUPERVISOR = 5
    LIQUIDATION = 6
    SESSION_LOSS = 7
    DRAWDOWN = 8
    STOPPED = 9
    DELETED = 10
    PLAN_FAILED = 11
    BY_USER = 12


def empty_rows(count: int) -> Rows:
    """A table of `count` free rows."""
    return np.zeros(count, ROW)


def rows_from_bytes(table: bytes) -> Rows:
    """A read-only view of a table's bytes; `rows.tobytes()` is the way back. Raises RowsError."""
    if len(table) % ROW.itemsize:
        raise RowsError(f"{len(table)} bytes are not a whole number of {ROW.itemsize}-byte rows")
    return np.frombuffer(table, ROW)


def copy_of(rows: Rows) -> Rows:
    """A copy that may be written; by its bytes, twenty times as fast as rows.copy()."""
    return rows.view(np.uint8).copy().view(ROW)


def rows_at(rows: Rows, index: Index) -> Rows:
    """A copy of some rows; by their bytes, twenty times as fast as rows[index]."""
    return rows.view(_RECORD)[index].view(ROW)
