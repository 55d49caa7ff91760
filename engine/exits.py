"""Which open positions are to be closed in this slot, and why. Comes before signals, asks nobody.

A position has one reason, the first of: liquidation (the price has reached liquidation_price), a
close that was asked for, stop loss, take profit, session loss.
"""

from typing import Final

import numpy as np

from engine.position import liquidation_price, unrealized
from engine.rounding import round_usd
from engine.rows import Floats, Index, Mask, Reason, Reasons, RowFlag, Rows, rows_at

_CLOSING: Final = int(RowFlag.CLOSING)
# Wider than rounding can move a liquidation price: by its 12th digit, or its 18th decimal.
_NEAR_FRACTION: Final = 1e-6
_NEAR: Final = 1e-18


def find_exits(rows: Rows, watched: Mask, price: Floats) -> tuple[Index, Reasons]:
    """(index, reason of each). `watched`: open positions with a fresh price; `price`: of each row.

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
    candidate |= (rows["flags"].copy() & _CLOSING) != 0
    limit = rows["max_session_loss_usd"].copy()
    if (limit > 0).any():
        candidate |= _session_lost(rows, price)
    candidate &= watched
    index = np.flatnonzero(candidate)
    if not index.size:
        return index, np.empty(0, np.uint8)
    reasons = _reasons(rows_at(rows, index), price[index])
    closing = reasons != int(Reason.NONE)
    return index[closing], reasons[closing]


def _reasons(rows: Rows, price: Floats) -> Reasons:
    side, stop, target = rows["side"], rows["stop_loss_price"], rows["take_profit_price"]
    bankrupt = liquidation_price(rows["entry_price"], side, rows["leverage"])
    moved = price * side
    asked = (rows["flags"] & _CLOSING) != 0
    return np.select(
        [
            moved <= bankrupt * side,
            asked,
            (stop > 0) & (moved <= stop * side),
            (target > 0) & (moved >= target * side),
            _session_lost(rows, price),
        ],
        [
            np.uint8(Reason.LIQUIDATION),
            rows["close_reason"],
            np.uint8(Reason.STOP_LOSS),
            np.uint8(Reason.TAKE_PROFIT),
            np.uint8(Reason.SESSION_LOSS),
        ],
        np.uint8(Reason.NONE),
    )


def _session_lost(rows: Rows, price: Floats) -> Mask:
    """The session's closed trades, and the open one at `price` with its entry fee, at the limit."""
    limit = rows["max_session_loss_usd"].copy()
    entry, quantity = rows["entry_price"].copy(), rows["quantity"].copy()
    closed = rows["realized_pnl_usd"].copy() - rows["session_base_usd"].copy()
    won = unrealized(rows["side"].copy(), entry, quantity, price)
    session = round_usd(closed + won - rows["entry_fee_usd"].copy())
    lost: Mask = (limit > 0) & (session <= -limit)
    return lost
