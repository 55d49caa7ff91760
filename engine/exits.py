"""Which open positions are to be closed in this slot, and why. Comes before signals, asks nobody.

A position has one reason, the first of: liquidation (the price has reached liquidation_price), a
close that was asked for, the stop, the target, session loss, drawdown, time stop. All are looked at
with the price seen, against levels as they stood before it: a gap fills at that price.
"""

from typing import Final

import numpy as np

from engine.levels import first_stop
from engine.limits import (
    NEAR_USD,
    drawn_down,
    nearly_drawn_down,
    session_lost,
    session_pnl_usd,
    timed_out,
)
from engine.position import liquidation_price
from engine.rows import (
    Flags,
    Floats,
    Halt,
    Index,
    Mask,
    Reason,
    Reasons,
    RowFlag,
    RowRule,
    Rows,
    rows_at,
)

_CLOSING: Final = int(RowFlag.CLOSING)
_SESSION_LOSS: Final = int(RowRule.SESSION_LOSS)
_DRAWDOWN: Final = int(RowRule.DRAWDOWN)
_TIME_STOP: Final = int(RowRule.TIME_STOP)
BY_RESULT: Final = _SESSION_LOSS | _DRAWDOWN
"""Rules that ask for the result of the session."""
_HALTED: Final = int(Halt.HALTED)
# Wider than rounding can move a liquidation price: by its 12th digit, or its 18th decimal.
_NEAR_FRACTION: Final = 1e-6
_NEAR: Final = 1e-18


def find_exits(
    rows: Rows,
    watched: Mask,
    price: Floats,
    flags: Flags,
    rules: int,
    nearly_usd: Floats | None,
    slot: int,
    halt: Halt,
) -> tuple[Index, Reasons]:
    """(index, reason of each). `watched`: open positions with a fresh price; `price`, `flags`: of
    each row; `rules`: of all rows together; `nearly_usd`: results of sessions, where a rule asks;
    `halt`: of the fleet.

    The columns are searched for candidates, which are few; only these are looked at closely.
    """
    side = rows["side"].astype(np.float64)
    moved = price * side  # grows with the profit, long and short
    entry = rows["entry_price"].copy()
    stop = rows["stop_loss_price"].copy()
    target = rows["take_profit_price"].copy()
    candidate = moved <= stop * side
    candidate |= moved >= target * side
    bankrupt = entry * (side - 1.0 / rows["leverage"].copy() + _NEAR_FRACTION)
    candidate |= moved <= bankrupt + _NEAR
    candidate |= (flags & _CLOSING) != 0
    if rules & _SESSION_LOSS and nearly_usd is not None:
        candidate |= session_lost(rows, nearly_usd - NEAR_USD)
    if rules & _DRAWDOWN and nearly_usd is not None:
        candidate |= nearly_drawn_down(rows, nearly_usd)
    if rules & _TIME_STOP:
        candidate |= timed_out(rows, slot)
    candidate &= watched
    index = np.flatnonzero(candidate)
    if not index.size:
        return index, np.empty(0, np.uint8)
    reasons = _reasons(rows_at(rows, index), price[index], slot, halt)
    closing = reasons != int(Reason.NONE)
    return index[closing], reasons[closing]


def _reasons(rows: Rows, price: Floats, slot: int, halt: Halt) -> Reasons:
    side, stop, target = rows["side"], rows["stop_loss_price"], rows["take_profit_price"]
    bankrupt = liquidation_price(rows["entry_price"], side, rows["leverage"])
    moved = price * side
    asked = (rows["flags"] & _CLOSING) != 0
    session = session_pnl_usd(rows, price)
    return np.select(
        [
            moved <= bankrupt * side,
            asked,
            (stop > 0) & (moved <= stop * side),
            (target > 0) & (moved >= target * side),
            session_lost(rows, session),
            drawn_down(rows, session),
            timed_out(rows, slot) & (np.maximum(rows["halt"], halt) != _HALTED),
        ],
        [
            np.uint8(Reason.LIQUIDATION),
            rows["close_reason"],
            _stop_reason(rows),
            np.uint8(Reason.TAKE_PROFIT),
            np.uint8(Reason.SESSION_LOSS),
            np.uint8(Reason.DRAWDOWN),
            np.uint8(Reason.TIME_STOP),
        ],
        np.uint8(Reason.NONE),
    )


def _stop_reason(rows: Rows) -> Reasons:
    """A stop that trails or has gone to break-even is called trailing as soon as it is the tighter
    one; the first one is the stop loss.
    """
    stop, first, side = rows["stop_loss_price"], first_stop(rows), rows["side"]
    moved = (first <= 0) | (stop * side > first * side)
    return np.where(moved, np.uint8(Reason.TRAILING_STOP), np.uint8(Reason.STOP_LOSS))
