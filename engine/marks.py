"""What follows the price while a position is open: its best price, the stop behind it, break-even,
the peak of the session. Comes after exits, so that a price never meets a stop that it has moved.

Best prices and peaks move in steps of 5 bp. None of it is an event.
"""

from typing import Final, NamedTuple

import numpy as np

from engine.draft import Draft
from engine.levels import break_even_price, break_even_trigger, set_exit_prices
from engine.limits import NEAR_USD, STEP_FRACTION, session_pnl_usd
from engine.rounding import round_price, round_usd
from engine.rows import Floats, Mask, RowFlag, RowRule, Rows, Rules, rows_at

_TRAILING: Final = int(RowRule.TRAILING)
_BREAK_EVEN: Final = int(RowRule.BREAK_EVEN)
_DRAWDOWN: Final = int(RowRule.DRAWDOWN)
_AT_BREAK_EVEN: Final = int(RowFlag.BREAK_EVEN)
_BPS: Final = 1e4
_NEAR: Final = 1e-6  # wider than rounding can move the level of a step

MARKED: Final = _TRAILING | _BREAK_EVEN | _DRAWDOWN
"""Rules that keep marks."""


class Marked(NamedTuple):
    """Open rows that keep marks and stay open, with what is known of every row."""

    mask: Mask
    price: Floats
    rules: Rules
    used: int  # rules of all rows together
    nearly_usd: Floats | None  # results of sessions, where a rule asks


def move_marks(draft: Draft, marked: Marked) -> None:
    """The columns are searched for rows that may move; only these are looked at closely."""
    index = np.flatnonzero(_candidates(draft.rows, marked))
    if not index.size:
        return
    rows, price = rows_at(draft.rows, index), marked.price[index]
    rules = rows["rules"]
    better = ((rules & _TRAILING) != 0) & _is_better(rows, price)
    even = ((rules & _BREAK_EVEN) != 0) & _reaches_break_even(rows, price)
    session = session_pnl_usd(rows, price)
    higher = ((rules & _DRAWDOWN) != 0) & _is_higher(rows, session)
    moved = better | even | higher
    if not moved.any():
        return
    own = draft.own()
    own["best_price"][index[better]] = price[better]
    own["flags"][index[even]] |= np.uint8(_AT_BREAK_EVEN)
    own["session_peak_usd"][index[higher]] = session[higher]
    set_exit_prices(own, index[better | even])
    draft.note_changed(index[moved])


def _candidates(rows: Rows, marked: Marked) -> Mask:
    side, price = rows["side"].astype(np.float64), marked.price
    candidate = np.zeros(len(rows), np.bool_)
    if marked.used & _TRAILING:
        best = rows["best_price"].copy()
        steps = (price - best) * side >= best * (STEP_FRACTION * (1.0 - _NEAR))
        candidate |= steps & ((marked.rules & _TRAILING) != 0)
    if marked.used & _BREAK_EVEN:
        entry = rows["entry_price"].copy()
        far = rows["break_even_bps"].copy() * ((1.0 - _NEAR) / _BPS)
        there = (price - entry) * side >= entry * far
        there &= (rows["flags"].copy() & _AT_BREAK_EVEN) == 0
        candidate |= there & ((marked.rules & _BREAK_EVEN) != 0)
    if marked.used & _DRAWDOWN and marked.nearly_usd is not None:
        higher = marked.nearly_usd > rows["session_peak_usd"].copy() - NEAR_USD
        candidate |= higher & ((marked.rules & _DRAWDOWN) != 0)
    candidate &= marked.mask
    return candidate


def _is_better(rows: Rows, price: Floats) -> Mask:
    """By a step or more."""
    best, side = rows["best_price"], rows["side"]
    level = round_price(best * (1.0 + side * STEP_FRACTION))
    better: Mask = price * side >= level * side
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
