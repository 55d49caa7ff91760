"""What follows the price while a position is open: its best price, the stop behind it, break-even,
the peak of the session. Comes after exits, so that a price never meets a stop that it has moved.

Best prices and peaks move in steps of 5 bp. None of it is an event.
"""

from typing import Final

import numpy as np

from engine.draft import Draft
from engine.levels import break_even_price, break_even_trigger, set_exit_prices
from engine.limits import STEP_FRACTION, session_pnl_usd
from engine.rounding import round_price, round_usd
from engine.rows import Floats, Index, Mask, RowFlag, RowRule, Rows, rows_at

_TRAILING: Final = int(RowRule.TRAILING)
_BREAK_EVEN: Final = int(RowRule.BREAK_EVEN)
_DRAWDOWN: Final = int(RowRule.DRAWDOWN)
_AT_BREAK_EVEN: Final = int(RowFlag.BREAK_EVEN)
_NEAR: Final = 1e-6  # wider than rounding can move the level of a step

MARKED: Final = _TRAILING | _BREAK_EVEN | _DRAWDOWN
"""Rules that keep marks."""


def move_marks(draft: Draft, index: Index, price: Floats) -> None:
    """`index`: open rows with such rules that stay open in this slot; `price`: of each."""
    rows = rows_at(draft.rows, index)
    rules = rows["rules"]
    trails = (rules & _TRAILING) != 0
    better = trails & _is_better(rows, price) if trails.any() else trails
    evens = (rules & _BREAK_EVEN) != 0
    even = evens & _reaches_break_even(rows, price) if evens.any() else evens
    peaks = (rules & _DRAWDOWN) != 0
    higher = peaks
    if peaks.any():
        session = session_pnl_usd(rows, price)
        higher = peaks & _is_higher(rows, session)
    moved = better | even | higher
    if not moved.any():
        return
    own = draft.own()
    own["best_price"][index[better]] = price[better]
    own["flags"][index[even]] |= np.uint8(_AT_BREAK_EVEN)
    if higher.any():
        own["session_peak_usd"][index[higher]] = session[higher]
    set_exit_prices(own, index[better | even])
    draft.note_changed(index[moved])


def _is_better(rows: Rows, price: Floats) -> Mask:
    """By a step or more. Most prices are not near one, so that only few levels are rounded."""
    best, side = rows["best_price"], rows["side"]
    better: Mask = (price - best) * side >= best * (STEP_FRACTION * (1.0 - _NEAR))
    near = np.flatnonzero(better)
    if near.size:
        toward = side[near]
        level = round_price(best[near] * (1.0 + toward * STEP_FRACTION))
        better[near] = price[near] * toward >= level * toward
    return better


def _reaches_break_even(rows: Rows, price: Floats) -> Mask:
    """Far enough, and beyond break-even itself: else the moved stop would be hit at once."""
    side = rows["side"]
    moved = price * side
    reached: Mask = (rows["flags"] & _AT_BREAK_EVEN) == 0
    reached &= moved >= break_even_trigger(rows) * side
    reached &= moved > break_even_price(rows) * side
    return reached


def _is_higher(rows: Rows, session_usd: Floats) -> Mask:
    gained = round_usd(session_usd - rows["session_peak_usd"])
    higher: Mask = gained > 0
    higher &= gained >= round_usd(rows["max_position_usd"] * STEP_FRACTION)
    return higher
