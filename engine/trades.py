"""Opens and closes the positions of many rows at once: the only place where a position or money
changes. Index arrays ascend; price, signal and reason are those of the indexed rows.
"""

from typing import Final, NamedTuple

import numpy as np

from engine.draft import Draft
from engine.events import Event
from engine.fills import fill_fee_usd, fill_price, fill_quantity
from engine.levels import set_exit_prices
from engine.limits import drawn_down, session_lost, trades_today
from engine.position import liquidation_price, unrealized
from engine.rounding import round_usd
from engine.rows import (
    Action,
    Floats,
    Index,
    Mask,
    Reason,
    Reasons,
    RowFlag,
    RowRule,
    Rows,
    RowStatus,
    rows_at,
)
from engine.schedule import rebase
from engine.sizing import count_results

# Exact ints, see schedule.py.
_NOT_OF_A_CLOSED: Final = 0xFF & ~int(RowFlag.CLOSING | RowFlag.BREAK_EVEN | RowFlag.LAST_LOST)
_LAST_LOST: Final = int(RowFlag.LAST_LOST)
_DRAWDOWN_RULE: Final = int(RowRule.DRAWDOWN)
_DELETING: Final = int(RowFlag.DELETING)
_RUNNING: Final = int(RowStatus.RUNNING)
_ERROR: Final = int(RowStatus.ERROR)
_LIQUIDATION: Final = int(Reason.LIQUIDATION)
_SESSION_LOSS: Final = int(Reason.SESSION_LOSS)
_DRAWDOWN: Final = int(Reason.DRAWDOWN)
_U2_MAX: Final = 2**16 - 1

_ZERO_WHEN_FLAT: Final = (
    "side",
    "entry_price",
    "quantity",
    "entry_fee_usd",
    "stop_loss_price",
    "take_profit_price",
    "best_price",
    "entry_atr_ppm",
)
_POSITION: Final = [
    "side",
    "quantity",
    "entry_price",
    "entry_fee_usd",
    "opened_slot",
    "trade_seq",
    "leverage",
    "last_reason",  # why it was opened
]


class _Fills(NamedTuple):
    """One element for each row that trades."""

    reason: Reasons
    price: Floats
    fee_usd: Floats
    pnl_usd: Floats
    signal: Floats


class Entries(NamedTuple):
    """What is to be opened, one element for each row."""

    price: Floats
    signal: Floats  # its sign is the direction
    notional_usd: Floats  # never above max_position_usd
    atr_ppm: Floats  # of the price; 0: not known


def open_positions(draft: Draft, index: Index, entries: Entries) -> None:
    """Opens flat rows in the direction of their signal. One whose money buys nothing stays flat."""
    side = np.sign(entries.signal).astype(np.int8)
    fill = fill_price(entries.price, side, draft.rows["slippage_cbps"][index])
    quantity = fill_quantity(entries.notional_usd, fill)
    able = np.isfinite(quantity) & (quantity > 0)
    if not able.any():
        return
    index, side, fill, quantity = index[able], side[able], fill[able], quantity[able]
    fee = fill_fee_usd(quantity, fill, draft.rows["fee_cbps"][index])

    rows = draft.own()
    opened_today = trades_today(rows_at(rows, index), draft.slot)
    rows["side"][index] = side
    rows["entry_price"][index] = rows["best_price"][index] = fill
    rows["quantity"][index] = quantity
    rows["entry_fee_usd"][index] = fee
    rows["entry_atr_ppm"][index] = entries.atr_ppm[able]
    rows["fees_usd"][index] = round_usd(rows["fees_usd"][index] + fee)
    rows["trades_that_day"][index] = np.minimum(opened_today + 1, _U2_MAX)
    rows["opened_slot"][index] = rows["action_slot"][index] = draft.slot
    rows["last_action"][index] = np.where(side > 0, Action.OPEN_LONG, Action.OPEN_SHORT)
    rows["last_reason"][index] = Reason.SIGNAL
    rows["trade_seq"][index] = rows["seq"][index] + 1  # the number that `opened` gets now
    set_exit_prices(rows, index)
    reason = np.full(len(index), Reason.SIGNAL, np.uint8)
    fills = _Fills(reason, fill, fee, np.zeros(len(index)), entries.signal[able])
    _say_trades(draft, "opened", index, rows_at(rows, index), fills)


def close_positions(
    draft: Draft, index: Index, price: Floats, reason: Reasons, signal: Floats
) -> None:
    """Closes open rows; then frees those to be deleted and stops those at their session's limit."""
    if not index.size:
        return
    was = rows_at(draft.rows, index)
    fill = _exit_fill(was, price, reason)
    fee = fill_fee_usd(was["quantity"], fill, was["fee_cbps"])
    gross = unrealized(was["side"], was["entry_price"], was["quantity"], fill)
    pnl = round_usd(gross - was["entry_fee_usd"] - fee)

    rows = draft.own()
    for name in _ZERO_WHEN_FLAT:
        rows[name][index] = 0
    rows["realized_pnl_usd"][index] = round_usd(was["realized_pnl_usd"] + pnl)
    rows["fees_usd"][index] = round_usd(was["fees_usd"] + fee)
    rows["action_slot"][index] = draft.slot
    rows["last_action"][index] = Action.CLOSE
    rows["last_reason"][index] = reason
    lost = np.where(pnl < 0, np.uint8(_LAST_LOST), np.uint8(0))
    rows["flags"][index] = was["flags"] & _NOT_OF_A_CLOSED | lost
    rows["close_reason"][index] = Reason.NONE
    count_results(rows, index, pnl)
    _raise_peaks(rows, index)
    _say_trades(draft, "closed", index, was, _Fills(reason, fill, fee, pnl, signal))

    draft.free(index[(was["flags"] & _DELETING) != 0])
    _stop_losers(draft, index, reason)


def _exit_fill(was: Rows, price: Floats, reason: Reasons) -> Floats:
    """A liquidation is never filled beyond the price at which the margin is gone."""
    side = was["side"]
    fill = fill_price(price, -side, was["slippage_cbps"])
    bankrupt = liquidation_price(was["entry_price"], side, was["leverage"])
    limited = np.where(side > 0, np.maximum(fill, bankrupt), np.minimum(fill, bankrupt))
    return np.where(reason == _LIQUIDATION, limited, fill)


def _raise_peaks(rows: Rows, index: Index) -> None:
    """The result of a trade counts to the last cent, where a price moves a peak in steps."""
    some = rows_at(rows, index)
    peaks = (some["rules"] & _DRAWDOWN_RULE) != 0
    if peaks.any():
        peak = np.maximum(some["session_peak_usd"], _session_usd(some))
        rows["session_peak_usd"][index[peaks]] = peak[peaks]


def _session_usd(flat: Rows) -> Floats:
    return round_usd(flat["realized_pnl_usd"] - flat["session_base_usd"])


def _stop_losers(draft: Draft, index: Index, reason: Reasons) -> None:
    """Of the rows just closed, those that would go on in spite of their limit. This tick counts."""
    now = rows_at(draft.rows, index)
    session = _session_usd(now)
    lost = (reason == _SESSION_LOSS) | session_lost(now, session)
    fallen = (reason == _DRAWDOWN) | drawn_down(now, session)
    goes_on = (now["status"] == _RUNNING) | (now["status"] == _ERROR)
    _stop(draft, index, lost & goes_on, Reason.SESSION_LOSS)
    _stop(draft, index, fallen & ~lost & goes_on, Reason.DRAWDOWN)


def _stop(draft: Draft, index: Index, stops: Mask, reason: Reason) -> None:
    index = index[stops]
    if not index.size:
        return
    rebase(draft.rows, index, draft.slot, draft.skipped, draft.folded_slot)
    draft.rows["status"][index] = RowStatus.STOPPED
    draft.rows["status_reason"][index] = reason
    draft.say("stopped", index, reason)


def _say_trades(draft: Draft, kind: str, index: Index, positions: Rows, fills: _Fills) -> None:
    for head, position, fill in zip(
        draft.number(index),
        positions[_POSITION].tolist(),
        zip(*(column.tolist() for column in fills), strict=True),
        strict=True,
    ):
        side, quantity, entry, entry_fee, opened_slot, trade_seq, leverage, opened_for = position
        reason, price, fee, pnl, signal = fill
        event = Event(
            kind,
            *head,
            reason=reason,
            price=price,
            side=side,
            quantity=quantity,
            fee_usd=fee,
            pnl_usd=pnl,
            entry_price=entry,
            entry_fee_usd=entry_fee,
            opened_slot=opened_slot,
            trade_seq=trade_seq,
            leverage=leverage,
            open_reason=opened_for,
            signal=signal,
        )
        draft.events.append(event)
