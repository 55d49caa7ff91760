"""At which prices an open position is closed: its stop and its target. Functions of the row alone.

The stop in the row is the tightest of three: the first one (fixed, or by ATR), the trailing one
behind the best price, and break-even once it was reached. A level of 0 or less is none.
"""

from typing import Final

import numpy as np

from engine.position import stop_loss_price, take_profit_price
from engine.rounding import round_price
from engine.rows import Floats, Index, Mask, RowFlag, RowRule, Rows, rows_at

_DYNAMIC: Final = int(RowRule.DYNAMIC)
_TRAILING: Final = int(RowRule.TRAILING)
_BREAK_EVEN: Final = int(RowFlag.BREAK_EVEN)
_PPM: Final = 1e6
_CENTI: Final = 100.0
_BPS: Final = 1e4
_CBPS: Final = 1e6


def set_exit_prices(rows: Rows, index: Index) -> None:
    """Stop and target of open rows, anew from what the row says."""
    some = rows_at(rows, index)
    rows["stop_loss_price"][index] = stop_price(some)
    rows["take_profit_price"][index] = target_price(some)


def first_stop(rows: Rows) -> Floats:
    """The stop as it was at the entry, under the present settings."""
    entry, side = rows["entry_price"], rows["side"]
    fixed = stop_loss_price(entry, side, rows["stop_loss_ppm"])
    if not (rows["rules"] & _DYNAMIC).any():
        return fixed
    return np.where(_by_atr(rows), round_price(entry * (1.0 - side * _risk(rows))), fixed)


def target_price(rows: Rows) -> Floats:
    entry, side = rows["entry_price"], rows["side"]
    fixed = take_profit_price(entry, side, rows["take_profit_ppm"])
    if not (rows["rules"] & _DYNAMIC).any():
        return fixed
    reward = (rows["reward_risk_centi"] / _CENTI) * _risk(rows)
    return np.where(_by_atr(rows), round_price(entry * (1.0 + side * reward)), fixed)


def stop_price(rows: Rows) -> Floats:
    """The stop that counts now."""
    stop = first_stop(rows)
    trails = (rows["rules"] & _TRAILING) != 0
    if trails.any():
        stop = np.where(trails, _tighter(rows, stop, _trailing_stop(rows)), stop)
    even = (rows["flags"] & _BREAK_EVEN) != 0
    if even.any():
        stop = np.where(even, _tighter(rows, stop, break_even_price(rows)), stop)
    return stop


def break_even_price(rows: Rows) -> Floats:
    """Where a close brings back the entry and the fees of both sides, slippage paid."""
    side = rows["side"]
    fee, slippage = rows["fee_cbps"] / _CBPS, rows["slippage_cbps"] / _CBPS
    paid = rows["entry_price"] + side * (rows["entry_fee_usd"] / rows["quantity"])
    return round_price(paid / ((1.0 - side * fee) * (1.0 - side * slippage)))


def break_even_trigger(rows: Rows) -> Floats:
    """The price from which the stop goes to break-even."""
    share = rows["break_even_bps"] / _BPS
    return round_price(rows["entry_price"] * (1.0 + rows["side"] * share))


def _by_atr(rows: Rows) -> Mask:
    """Where the ATR at the entry is not known (a position opened under fixed exits), fixed ones
    stand in until it is closed.
    """
    known: Mask = ((rows["rules"] & _DYNAMIC) != 0) & (rows["entry_atr_ppm"] > 0)
    return known


def _risk(rows: Rows) -> Floats:
    """Distance of the stop as a share of the entry."""
    risk: Floats = (rows["atr_multiple_centi"] / _CENTI) * (rows["entry_atr_ppm"] / _PPM)
    return risk


def _trailing_stop(rows: Rows) -> Floats:
    share = rows["trailing_stop_bps"] / _BPS
    return round_price(rows["best_price"] * (1.0 - rows["side"] * share))


def _tighter(rows: Rows, one: Floats, other: Floats) -> Floats:
    """The level that the price would reach first; one that is no level counts for nothing."""
    long = rows["side"] > 0
    lower = np.where(one <= 0, other, np.where(other <= 0, one, np.minimum(one, other)))
    return np.where(long, np.maximum(one, other), lower)
