"""What an agent may lose and how often it may trade: losses of a session, pauses, trades a day.

A session's P&L is that of its closed trades and, at a price, of the open one with its entry fee.
Its equity is max_position_usd and that P&L; a drawdown is measured from the highest equity.
"""

from typing import Final, NamedTuple

import numpy as np

from engine.position import unrealized
from engine.rounding import round_usd
from engine.rows import Floats, Halt, Mask, RowFlag, Rows
from engine.schedule import Slots

DAY_S: Final = 86_400
STEP_FRACTION: Final = 0.0005
"""Peaks and best prices move in steps of 5 bp, so that a row seldom changes."""

NEAR_USD: Final = 1e-4
"""More than rounding makes of amounts below a hundred billion."""

_NEAR: Final = 1e-9
_LAST_LOST: Final = int(RowFlag.LAST_LOST)
_MOVING: Final = int(RowFlag.MOVING)
_ACTIVE: Final = int(Halt.ACTIVE)
_BPS: Final = 1e4


def session_pnl_usd(rows: Rows, price: Floats) -> Floats:
    """P&L of the session with the open position at `price`."""
    entry, quantity = rows["entry_price"].copy(), rows["quantity"].copy()
    closed = rows["realized_pnl_usd"].copy() - rows["session_base_usd"].copy()
    won = unrealized(rows["side"].copy(), entry, quantity, price)
    return round_usd(closed + won - rows["entry_fee_usd"].copy())


def nearly_session_usd(rows: Rows, price: Floats) -> Floats:
    """The same without its rounding, nearer than NEAR_USD for amounts that money comes in; to find
    the few rows that are worth a closer look.
    """
    won: Floats = (
        (price - rows["entry_price"].copy()) * rows["quantity"].copy() * rows["side"].copy()
    )
    won += rows["realized_pnl_usd"].copy()
    won -= rows["session_base_usd"].copy()
    won -= rows["entry_fee_usd"].copy()
    return won


def nearly_drawn_down(rows: Rows, nearly_usd: Floats) -> Mask:
    """Rows that drawn_down may be true of."""
    limit, peak = rows["max_drawdown_bps"].copy(), rows["session_peak_usd"].copy()
    allowed = (rows["max_position_usd"].copy() + peak) * (limit * ((1.0 - _NEAR) / _BPS))
    near: Mask = peak - nearly_usd >= allowed - NEAR_USD
    near &= limit > 0
    return near


def session_lost(rows: Rows, session_usd: Floats) -> Mask:
    """The session's P&L is at its limit."""
    limit = rows["max_session_loss_usd"].copy()
    lost: Mask = (limit > 0) & (session_usd <= -limit)
    return lost


def drawn_down(rows: Rows, session_usd: Floats) -> Mask:
    """The equity has fallen from its peak by the share that is the limit, or more."""
    limit, peak = rows["max_drawdown_bps"].copy(), rows["session_peak_usd"].copy()
    fallen = round_usd(peak - session_usd)
    allowed = round_usd((rows["max_position_usd"].copy() + peak) * (limit / _BPS))
    lost: Mask = (limit > 0) & (fallen > 0) & (fallen >= allowed)
    return lost


def timed_out(rows: Rows, slot: int) -> Mask:
    """Positions that are as old as they may get."""
    limit = rows["time_stop_s"].copy()
    age = slot - rows["opened_slot"].astype(np.int64)
    old: Mask = (limit > 0) & (age >= limit)
    return old


class HeldBack(NamedTuple):
    """What keeps flat rows from opening, each by itself."""

    halted: Mask  # or about to move to another symbol
    pausing: Mask  # after a loss
    spent: Mask  # has opened as often as it may on this UTC day


def held_back(rows: Rows, slot: Slots | int) -> HeldBack:
    """In a slot, or each row in one of its own."""
    flags, limit = rows["flags"], rows["max_trades_per_day"]
    since = slot - rows["action_slot"].astype(np.int64)
    return HeldBack(
        halted=(rows["halt"] != _ACTIVE) | ((flags & _MOVING) != 0),
        pausing=((flags & _LAST_LOST) != 0) & (since < rows["cooldown_s"]),
        spent=(limit > 0) & (trades_today(rows, slot) >= limit),
    )


def may_open(rows: Rows, slot: int) -> Mask:
    """Flat rows that nothing keeps from opening."""
    halted, pausing, spent = held_back(rows, slot)
    may: Mask = ~(halted | pausing | spent)
    return may


def trades_today(rows: Rows, slot: Slots | int) -> Floats:
    """Openings on the UTC day of `slot`."""
    same_day = rows["opened_slot"] // DAY_S == slot // DAY_S
    return np.where(same_day, rows["trades_that_day"], 0)
