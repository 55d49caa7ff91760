"""advance: what one slot does to one table. The heart of Artic: paper, live, backtest and replay.

In this order: commands, what is to be said of stale prices, exits (exits.py has their order), marks
that follow the price, plans that failed or cannot run, signals. So do the events come: those of
commands as in the inbox, those of each other part by ascending row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from engine.applying import apply_commands
from engine.commands import Command
from engine.draft import Draft
from engine.events import Event
from engine.exits import BY_RESULT, find_exits
from engine.limits import may_open, nearly_session_usd
from engine.marks import MARKED, Marked, move_marks
from engine.readings import NEEDS_READING, atr_ppm, lacks_reading, of_plans, say_readiness
from engine.rows import (
    ROW,
    Flags,
    Floats,
    Halt,
    Index,
    Mask,
    Reason,
    RowFlag,
    Rows,
    RowStatus,
    Rules,
    rows_at,
)
from engine.schedule import SkippedRange, Slots, due_mask, rebase, running_mask, watched_mask
from engine.sizing import notional_usd
from engine.trades import Entries, close_positions, open_positions

_STALE_SAID: Final = int(RowFlag.STALE_SAID)
_CANNOT_RUN_SAID: Final = int(RowFlag.CANNOT_RUN_SAID)
_HALTED: Final = int(Halt.HALTED)
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
    symbol: Slots | None = None  # plan_id -> a number for its symbol, below 0: not known
    halt: Halt = Halt.ACTIVE  # of the whole fleet; a row's own may be stricter


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row changed if it has an event, or if it is one whose best price or peak has moved; without
    any, `rows` is the given table.
    """

    rows: Rows
    changed: Index  # ascending
    events: list[Event]


class _Quotes(NamedTuple):
    """What each row sees."""

    price: Floats
    usable: Mask
    signal: Floats


class _Columns(NamedTuple):
    """What of the rows more than one part of a tick asks for."""

    flags: Flags
    rules: Rules
    used: int  # rules of all rows together


def advance(rows: Rows, inputs: SlotInputs) -> Outcome:
    """Runs one slot; never writes into `rows`. Raises CommandError for a row beyond the table."""
    _check(rows, inputs.slot)
    _check_quotes(inputs)
    draft = Draft(rows, inputs.slot, inputs.skipped, inputs.folded_slot, inputs.symbol)
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
    symbol: Slots | None = None,
) -> Outcome:
    """The commands of a slot that is not run itself: one that is over, paused or has no frame."""
    _check(rows, slot)
    draft = Draft(rows, slot, skipped, folded_slot, symbol)
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
    columns = _columns(draft.rows)
    _say_staleness(draft, active, columns.flags, quotes.usable)
    closed = _run_exits(draft, watched & quotes.usable, quotes, columns, inputs.halt)
    if closed.size:
        due &= running_mask(draft.rows)
    first = len(draft.events)
    if inputs.failed:
        due = _fail_plans(draft, due, inputs.failed)
    said = (columns.flags & _CANNOT_RUN_SAID).any()
    if inputs.cannot_run or said or columns.used & NEEDS_READING:
        readings = inputs.atr_fraction, inputs.volatility
        say_readiness(draft, np.flatnonzero(due), readings, inputs.cannot_run)
    due[closed] = False
    _run_signals(draft, due, quotes, inputs)
    draft.sort_events(first)


def _columns(rows: Rows) -> _Columns:
    rules = rows["rules"].copy()
    return _Columns(rows["flags"].copy(), rules, int(np.bitwise_or.reduce(rules)))


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


def _say_staleness(draft: Draft, active: Mask, flags: Flags, usable: Mask) -> None:
    """Rows with work say once that their price is not usable, and once that it is again."""
    said = (flags & _STALE_SAID) != 0
    turned = np.flatnonzero(active & (said == usable))
    if not turned.size:
        return
    draft.own()["flags"][turned] ^= _STALE_SAID
    first = len(draft.events)
    draft.say("stale", turned[~usable[turned]])
    draft.say("fresh", turned[usable[turned]])
    draft.sort_events(first)


def _run_exits(
    draft: Draft, watched: Mask, quotes: _Quotes, columns: _Columns, halt: Halt
) -> Index:
    """Gives back the rows that closed; marks of the others follow the price."""
    if not watched.any():
        return np.empty(0, np.intp)
    rows, used = draft.rows, columns.used
    nearly_usd = nearly_session_usd(rows, quotes.price) if used & BY_RESULT else None
    index, reason = find_exits(
        rows, watched, quotes.price, columns.flags, used, nearly_usd, draft.slot, halt
    )
    first = len(draft.events)
    close_positions(draft, index, quotes.price[index], reason, np.zeros(len(index)))
    draft.sort_events(first)
    if used & MARKED:
        mask = watched & ((columns.rules & MARKED) != 0)
        mask[index] = False
        move_marks(draft, Marked(mask, quotes.price, columns.rules, used, nearly_usd))
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


def _run_signals(draft: Draft, due: Mask, quotes: _Quotes, inputs: SlotInputs) -> None:
    """A flat row opens in the direction of a strong signal, an open one closes on one against."""
    strong = np.abs(quotes.signal) >= draft.rows["threshold"].copy()
    index = np.flatnonzero(strong & due & quotes.usable)
    if not index.size:
        return
    signal = quotes.signal[index]
    index = index[np.isfinite(signal) & (signal != 0)]
    signal, price = quotes.signal[index], quotes.price[index]
    side = draft.rows["side"][index]
    against = (side * signal < 0) & (draft.rows["halt"][index] != _HALTED)
    against &= inputs.halt != Halt.HALTED
    flat = side == 0
    reason = np.full(int(against.sum()), Reason.SIGNAL, np.uint8)
    close_positions(draft, index[against], price[against], reason, signal[against])
    if inputs.entries and inputs.halt == Halt.ACTIVE and flat.any():
        _open(draft, index[flat], price[flat], signal[flat], inputs)


def _open(draft: Draft, index: Index, price: Floats, signal: Floats, inputs: SlotInputs) -> None:
    """Opens those that nothing holds back, each in its size."""
    rows = rows_at(draft.rows, index)
    plan = rows["plan_id"]
    atr = of_plans(inputs.atr_fraction, plan)
    volatility = of_plans(inputs.volatility, plan)
    no_atr, no_volatility = lacks_reading(rows["rules"], atr, volatility)
    able = may_open(rows, draft.slot) & ~no_atr & ~no_volatility
    notional = notional_usd(rows, volatility)
    entries = Entries(price, signal, notional, atr_ppm(atr))
    open_positions(draft, index[able], Entries(*(column[able] for column in entries)))


def _outcome(draft: Draft) -> Outcome:
    return Outcome(draft.rows, draft.changed(), draft.events)


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
    symbol = inputs.symbol
    assert symbol is None or (symbol.dtype == np.int64 and symbol.ndim == 1), "symbol is not i8[P]"
