"""advance: what one slot does to one table. The heart of Artic: paper, live, backtest and replay.

In this order: commands, what is to be said of stale prices, exits, signals. So do the events come:
those of commands as in the inbox, those of each other part by ascending row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from engine.commands import Command, apply_commands
from engine.draft import Draft
from engine.events import Event
from engine.exits import find_exits
from engine.rows import ROW, Floats, Index, Mask, Reason, RowFlag, Rows, RowStatus
from engine.schedule import SkippedRange, due_mask, rebase, running_mask, watched_mask
from engine.trades import close_positions, open_positions

_STALE_SAID: Final = int(RowFlag.STALE_SAID)
_SLOT_END: Final = 2**32


@dataclass(frozen=True, slots=True)
class SlotInputs:
    """All that a slot sees. Arrays are indexed by plan_id; a plan beyond their end has no price."""

    slot: int
    price: Floats  # USD; what is not finite and positive is no price
    fresh: Mask  # the price is young enough to act on
    signal: Floats  # NaN: none
    failed: Mapping[int, str] = field(default_factory=dict)  # plan_id -> what it raised
    commands: Sequence[Command] = ()  # that apply before this slot, in inbox order
    skipped: Sequence[SkippedRange] = ()  # of the head, up to slot - 1
    folded_slot: int = -1  # of the head
    entries: bool = True  # False: nothing is opened, everything else goes on
    atr_fraction: Floats | None = None  # ATR(14) of the plan by its last close; NaN, None: none
    volatility: Floats | None = None  # annualized, a fraction: 0.2 is 20 %; NaN, None: none
    cannot_run: Mapping[int, str] = field(default_factory=dict)  # plan_id -> why, in its own words


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row changed if and only if it has an event; without any, `rows` is the given table."""

    rows: Rows
    changed: Index  # ascending
    events: list[Event]


class _Quotes(NamedTuple):
    """What each row sees."""

    price: Floats
    usable: Mask
    signal: Floats


def advance(rows: Rows, inputs: SlotInputs) -> Outcome:
    """Runs one slot; never writes into `rows`. Raises CommandError for a row beyond the table."""
    _check(rows, inputs.slot)
    _check_quotes(inputs)
    draft = Draft(rows, inputs.slot, inputs.skipped, inputs.folded_slot)
    # The numbers of a broken row may overflow or be NaN; raising would stop all the others.
    with np.errstate(all="ignore"):
        apply_commands(draft, inputs.commands)
        _tick(draft, inputs)
    return _outcome(draft)


def apply_inbox(
    rows: Rows,
    slot: int,
    commands: Sequence[Command],
    skipped: Sequence[SkippedRange] = (),
    folded_slot: int = -1,
) -> Outcome:
    """The commands of a slot that is not run itself: one that is over, paused or has no frame."""
    _check(rows, slot)
    draft = Draft(rows, slot, skipped, folded_slot)
    with np.errstate(all="ignore"):
        apply_commands(draft, commands)
    return _outcome(draft)


def _tick(draft: Draft, inputs: SlotInputs) -> None:
    due = due_mask(draft.rows, draft.slot)
    watched = watched_mask(draft.rows)
    active = due | watched
    if not active.any():
        return
    quotes = _quotes(draft.rows, inputs)
    _say_staleness(draft, active, quotes.usable)
    closed = _run_exits(draft, watched & quotes.usable, quotes)
    if closed.size:
        due &= running_mask(draft.rows)
    first = len(draft.events)
    if inputs.failed:
        due = _fail_plans(draft, due, inputs.failed)
    due[closed] = False
    _run_signals(draft, due, quotes, inputs.entries)
    draft.sort_events(first)


def _quotes(rows: Rows, inputs: SlotInputs) -> _Quotes:
    plan = rows["plan_id"].astype(np.intp)
    price, fresh, signal = inputs.price, inputs.fresh, inputs.signal
    if plan.max() >= len(price):
        price, signal = np.append(price, np.nan), np.append(signal, np.nan)
        fresh = np.append(fresh, False)
        plan = np.minimum(plan, len(price) - 1)
    row_price = price[plan]
    usable = fresh[plan]
    usable &= row_price > 0
    usable &= row_price < np.inf
    return _Quotes(row_price, usable, signal[plan])


def _say_staleness(draft: Draft, active: Mask, usable: Mask) -> None:
    """Rows with work say once that their price is not usable, and once that it is again."""
    said = (draft.rows["flags"].copy() & _STALE_SAID) != 0
    turned = np.flatnonzero(active & (said == usable))
    if not turned.size:
        return
    draft.own()["flags"][turned] ^= _STALE_SAID
    first = len(draft.events)
    draft.say("stale", turned[~usable[turned]])
    draft.say("fresh", turned[usable[turned]])
    draft.sort_events(first)


def _run_exits(draft: Draft, watched: Mask, quotes: _Quotes) -> Index:
    """Gives back the rows that closed."""
    if not watched.any():
        return np.empty(0, np.intp)
    index, reason = find_exits(draft.rows, watched, quotes.price)
    first = len(draft.events)
    close_positions(draft, index, quotes.price[index], reason, np.zeros(len(index)))
    draft.sort_events(first)
    return index


def _fail_plans(draft: Draft, due: Mask, failed: Mapping[int, str]) -> Mask:
    """Due rows of a plan that raised go into ERROR, this tick counted; gives back the others."""
    plan = draft.rows["plan_id"].copy()
    broken = due & np.isin(plan, list(failed))
    index = np.flatnonzero(broken)
    if index.size:
        rows = draft.own()
        rebase(rows, index, draft.slot, draft.skipped, draft.folded_slot)
        rows["status"][index] = RowStatus.ERROR
        rows["status_reason"][index] = Reason.PLAN_FAILED
        texts = [failed[number] for number in plan[index].tolist()]
        draft.say("failed", index, Reason.PLAN_FAILED, texts)
    return due & ~broken


def _run_signals(draft: Draft, due: Mask, quotes: _Quotes, entries: bool) -> None:
    """A flat row opens in the direction of a strong signal, an open one closes on one against."""
    strong = np.abs(quotes.signal) >= draft.rows["threshold"].copy()
    index = np.flatnonzero(strong & due & quotes.usable)
    if not index.size:
        return
    signal = quotes.signal[index]
    index = index[np.isfinite(signal) & (signal != 0)]
    signal, price = quotes.signal[index], quotes.price[index]
    side = draft.rows["side"][index]
    against = side * signal < 0
    flat = side == 0
    reason = np.full(int(against.sum()), Reason.SIGNAL, np.uint8)
    close_positions(draft, index[against], price[against], reason, signal[against])
    if entries:
        open_positions(draft, index[flat], price[flat], signal[flat])


def _outcome(draft: Draft) -> Outcome:
    changed = np.unique(np.array([event.row for event in draft.events], np.intp))
    return Outcome(draft.rows, changed, draft.events)


def _check(rows: Rows, slot: int) -> None:
    """A mistake here is the caller's, not the world's."""
    assert rows.dtype == ROW and rows.ndim == 1 and rows.flags.c_contiguous, "not a table of rows"
    assert 0 <= slot < _SLOT_END, f"slot {slot} is no Unix second"


def _check_quotes(inputs: SlotInputs) -> None:
    assert inputs.price.dtype == np.float64 and inputs.price.ndim == 1, "price is not f8[P]"
    assert inputs.signal.dtype == np.float64 and inputs.signal.shape == inputs.price.shape, (
        "signal is not f8[P]"
    )
    assert inputs.fresh.dtype == np.bool_ and inputs.fresh.shape == inputs.price.shape, (
        "fresh is not bool[P]"
    )
    for readings in (inputs.atr_fraction, inputs.volatility):
        assert readings is None or (
            readings.dtype == np.float64 and readings.shape == inputs.price.shape
        ), "a reading is not f8[P]"
