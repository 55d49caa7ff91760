"""The `tick` lines of an agent's log, derived instead of stored. Pure.

A line follows from the slot, the price and signal that the slot's frame gave, and the position
that the agent's trades show for it, so an agent that nobody watches costs no log line.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from api.status import Sight
from api.times import IsoTime, iso_seconds
from engine.position import unrealized
from engine.schedule import SkippedRange

TICK_LINES_SLOTS = 300
"""How far back tick lines reach, in slots."""


class LogEntry(msgspec.Struct, frozen=True):
    """One line of an agent's log as callers see it."""

    ts: IsoTime
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Held:
    """A position from the slot that opened it to the one that closed it (None: still open)."""

    side: int
    quantity: float
    entry_price: float
    opened_slot: int
    closed_slot: int | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """The slots in which an agent is due: start and every interval after it, up to the end."""

    start_slot: int
    interval: int
    end_slot: int | None = None


def ticked_slots(
    schedule: Schedule, first: int, last: int, skipped: Sequence[SkippedRange]
) -> list[int]:
    """The slots first..last in which the agent ticked, ascending; skipped ones left out."""
    if schedule.end_slot is not None:
        last = min(last, schedule.end_slot)
    first = max(first, schedule.start_slot)
    first += (schedule.start_slot - first) % schedule.interval
    return [
        slot
        for slot in range(first, last + 1, schedule.interval)
        if not any(gap.first <= slot <= gap.last for gap in skipped)
    ]


def tick_lines(
    slots: Sequence[int], sight_at: Callable[[int], Sight | None], positions: Sequence[Held]
) -> Iterator[LogEntry]:
    """One line for each slot that has a frame; positions in the order they were opened."""
    for slot in slots:
        sight = sight_at(slot)
        if sight is not None:
            yield tick_line(slot, sight, held_at(slot, positions))


def held_at(slot: int, positions: Sequence[Held]) -> Held | None:
    """The position after the tick of a slot: what it opened is held, what it closed is not."""
    for held in reversed(positions):
        if held.opened_slot <= slot:
            return held if held.closed_slot is None or slot < held.closed_slot else None
    return None


def tick_line(slot: int, sight: Sight, held: Held | None) -> LogEntry:
    """`price 64231.5, signal +0.41 (...), long 0.0015 at 64100, P&L +0.20 USD`."""
    if sight.price is None:
        price = "no price"
    else:
        price = f"price {sight.price:.12g}" + (" (stale)" if sight.stale else "")
    signal = "no signal" if sight.signal is None else f"signal {sight.signal:+.4f}"
    detail = f" ({sight.detail})" if sight.detail else ""
    return LogEntry(iso_seconds(slot), "tick", f"{price}, {signal}{detail}, {_held(sight, held)}")


def held_of(row: np.void) -> Held | None:
    """The open position of a row."""
    if not row["side"]:
        return None
    return Held(
        int(row["side"]),
        float(row["quantity"]),
        float(row["entry_price"]),
        int(row["opened_slot"]),
    )


def held_text(held: Held) -> str:
    """`long 0.0015 at 64100`."""
    side = "long" if held.side > 0 else "short"
    return f"{side} {held.quantity:.12g} at {held.entry_price:.12g}"


def _held(sight: Sight, held: Held | None) -> str:
    if held is None:
        return "flat"
    text = held_text(held)
    if sight.price is None:
        return text
    profit = float(unrealized(held.side, held.entry_price, held.quantity, sight.price))
    return f"{text}, P&L {profit:+.2f} USD"
