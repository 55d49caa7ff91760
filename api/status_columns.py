"""What changes in the statuses of a shard's agents from tick to tick, as columns. Pure.

api/status.py says the same of one agent; here it is said of thousands at once, each second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from api.status import (
    BELOW_THRESHOLD,
    ENTRIES_HALTED,
    NO_READING,
    NO_SIGNAL,
    PAUSE,
    SPENT,
    STALE_PRICE,
    STAYS_OPEN,
    WAITING,
    ShardHead,
)
from engine.limits import held_back
from engine.position import unrealized
from engine.rows import Action, Floats, Mask, Reason, RowFlag, Rows
from engine.schedule import Slots, running_mask, tally

NEVER: Final = -1
"""In place of a slot."""
NOTHING: Final = -1
"""The action of an agent that has done nothing yet."""
SILENCED: Final = 3
_WHY: Final = (
    STALE_PRICE,
    NO_SIGNAL,
    STAYS_OPEN,
    "",  # SILENCED: its sight says by what
    NO_READING,
    BELOW_THRESHOLD,
    ENTRIES_HALTED,
    PAUSE,
    SPENT,
    WAITING,
)
"""Why an agent holds: the first of these that is so, but that a halt of the fleet comes before all
where the agent is flat."""
_ACTED: Final = 0x1_0000


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the market says to each row: price and signal NaN where there is none."""

    price: Floats
    signal: Floats
    stale: Mask
    silenced: Mask


@dataclass(frozen=True, slots=True, eq=False)
class StatusColumns:
    """One value for each row, as plain Python. last_tick, next_tick: NEVER for none; action: see
    action_words; profit_usd: NaN where there is no price, and of no meaning for a flat row.
    """

    ticks: Sequence[int]
    missed: Sequence[int]
    last_tick: Sequence[int]
    next_tick: Sequence[int]
    action: Sequence[int]
    profit_usd: Sequence[float]


def status_columns(
    rows: Rows, own: Mask, head: ShardHead, seen: Seen, fleet_halted: Mask
) -> StatusColumns:
    """The columns of some rows. own: where the row is the agent's at all."""
    ticks, missed = tally(rows, head.slot, head.skipped, head.folded_slot)
    last_tick, next_tick = _tick_slots(rows, head)
    ticks[~own] = missed[~own] = 0
    last_tick[~own] = next_tick[~own] = NEVER
    action = _actions(rows, last_tick, seen, fleet_halted)
    action[~own] = NOTHING
    profit = unrealized(rows["side"], rows["entry_price"], rows["quantity"], seen.price)
    return StatusColumns(
        ticks.tolist(),
        missed.tolist(),
        last_tick.tolist(),
        next_tick.tolist(),
        action.tolist(),
        profit.tolist(),
    )


def action_words(code: int, silenced: str) -> tuple[str | None, str | None]:
    """(last_action, last_reason). silenced: by what the sight of the agent's plan is silenced."""
    if code == NOTHING:
        return None, None
    if code < _ACTED:
        return "HOLD", silenced if code == SILENCED else _WHY[code]
    return Action(code >> 8 & 0xFF).name, Reason(code & 0xFF).name.lower()


def _tick_slots(rows: Rows, head: ShardHead) -> tuple[Slots, Slots]:
    """See status.tick_slots."""
    start = rows["start_slot"].astype(np.int64)
    interval = np.maximum(rows["interval"].astype(np.int64), 1)
    running = running_mask(rows)
    upcoming = start + np.maximum(-((start - head.slot - 1) // interval), 0) * interval
    last = upcoming - interval
    for skipped in reversed(head.skipped):
        if skipped.last < last.min(initial=head.slot):
            break
        inside = (skipped.first <= last) & (last <= skipped.last)
        back = -((skipped.first - 1 - last[inside]) // interval[inside]) * interval[inside]
        last[inside] -= back
    return (
        np.where(running & (last >= start), last, NEVER),
        np.where(running, upcoming, NEVER),
    )


def _actions(rows: Rows, last_tick: Slots, seen: Seen, fleet_halted: Mask) -> Slots:
    """See status.last_action."""
    stored = rows["last_action"].astype(np.int64)
    acted = np.where(
        stored == Action.NONE, NOTHING, _ACTED | stored << 8 | rows["last_reason"].astype(np.int64)
    )
    ticked_since = (stored == Action.NONE) | (rows["action_slot"].astype(np.int64) < last_tick)
    return np.where(
        (last_tick != NEVER) & ticked_since, _why_held(rows, last_tick, seen, fleet_halted), acted
    )


def _why_held(rows: Rows, last_tick: Slots, seen: Seen, fleet_halted: Mask) -> Slots:
    is_open = rows["side"] != 0
    halted, pausing, spent = held_back(rows, last_tick)
    with np.errstate(invalid="ignore"):
        below = np.abs(seen.signal) < rows["threshold"]
    why = np.select(
        [
            seen.stale,
            np.isnan(seen.signal),
            is_open,
            seen.silenced,
            (rows["flags"] & int(RowFlag.CANNOT_RUN_SAID)) != 0,
            below,
            halted,
            pausing,
            spent,
        ],
        list(range(len(_WHY) - 1)),
        len(_WHY) - 1,
    )
    return np.where(fleet_halted & ~is_open, _WHY.index(ENTRIES_HALTED), why)
