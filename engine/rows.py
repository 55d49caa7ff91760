"""One agent is one record of fixed size; a shard is a table of them.

The layout, packed and little-endian, is what lies in Redis and in PostgreSQL: a change of it is a
new ROW_SCHEMA (schemas.py reads the one before). New columns go to the end, and mean by 0 what was
before them. Slots are u4 here, so widen them (`.astype(np.int64)`) before any arithmetic.
"""

from enum import IntEnum, IntFlag
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

ROW_SCHEMA: Final = 2
ROWS_PER_SHARD: Final = 4096

ROW_1: Final = np.dtype(
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
"""Schema 1: the columns that all later ones begin with."""

ROW: Final = np.dtype(
    [
        *ROW_1.descr,
        ("session_peak_usd", "<f8"),  # highest P&L of the session, kept with DRAWDOWN
        ("best_price", "<f8"),  # highest (short: lowest) since the entry, kept with TRAILING
        ("won_usd", "<f4"),  # by winning trades, net; these two and their counts are for Kelly
        ("lost_usd", "<f4"),  # by losing trades, positive
        ("time_stop_s", "<u4"),  # a position is closed when it is so old; 0: never
        ("cooldown_s", "<u4"),  # nothing is opened for so long after a loss
        ("entry_atr_ppm", "<u4"),  # ATR at the entry, of the price; 0: not known
        ("rules", "<u2"),  # RowRule: what of all this the agent uses
        ("atr_multiple_centi", "<u2"),  # hundredths; these two: 0 without DYNAMIC
        ("reward_risk_centi", "<u2"),
        ("trailing_stop_bps", "<u2"),  # of the best price; 0: none
        ("break_even_bps", "<u2"),  # of the entry price; 0: none
        ("max_drawdown_bps", "<u2"),  # of the equity at the session's peak; 0: no limit
        ("max_trades_per_day", "<u2"),  # openings on one UTC day; 0: no limit
        ("trades_that_day", "<u2"),  # openings on the UTC day of opened_slot
        ("wins", "<u2"),
        ("losses", "<u2"),
        ("halt", "u1"),  # Halt
    ]
)

_RECORD: Final = np.dtype(f"V{ROW.itemsize}")

Rows: TypeAlias = npt.NDArray[np.void]
Index: TypeAlias = npt.NDArray[np.intp]
Mask: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.uint8]
Rules: TypeAlias = npt.NDArray[np.uint16]
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
    CANNOT_RUN_SAID = 8  # `cannot_run` was said, `can_run` not yet
    BREAK_EVEN = 16  # the stop has been moved to where the position costs nothing
    LAST_LOST = 32  # the last closed trade was a loss
    MOVING = 64  # a command with another symbol waits for the row to be flat


class RowRule(IntFlag):
    """What an agent uses. One column tells most slots that there is nothing to look at."""

    SESSION_LOSS = 1
    DRAWDOWN = 2
    TIME_STOP = 4
    TRAILING = 8
    BREAK_EVEN = 16
    DYNAMIC = 32  # stop and target by ATR, else by fixed shares of the price
    KELLY = 64  # this and the next one: size, else all of max_position_usd
    VOLATILITY = 128


class Halt(IntEnum):
    """How far an agent is held back by itself, its account or the fleet: the strictest counts. A
    row has the stricter of the first two; that of the fleet is an input of the slot.
    """

    ACTIVE = 0
    REDUCING = 1  # opens nothing
    HALTED = 2  # decides nothing: no signal and no time stop; stop, target and limits stand


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
    TIME_STOP = 13


def empty_rows(count: int) -> Rows:
    """A table of `count` free rows."""
    return np.zeros(count, ROW)


def copy_of(rows: Rows) -> Rows:
    """A copy that may be written; by its bytes, twenty times as fast as rows.copy()."""
    return rows.view(np.uint8).copy().view(ROW)


def rows_at(rows: Rows, index: Index) -> Rows:
    """A copy of some rows; by their bytes, twenty times as fast as rows[index]."""
    return rows.view(_RECORD)[index].view(ROW)
