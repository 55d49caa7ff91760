"""Round numbers for the examples: one plan, price 100, positions of 1,000 USD, fee 10 bps, stop and
target 2 % and 4 % away, no slippage. A position is 10 units and costs 1 USD of fee on each side.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.commands import Command, Wanted
from engine.events import Event
from engine.rows import Rows, empty_rows
from engine.schedule import SkippedRange
from engine.tick import Outcome, SlotInputs, advance

AGENT = bytes(range(16))
OTHER = bytes(range(16, 32))
PLAN = 1
SLOT = 1_000_000


def command(**changes: Any) -> Command:
    settings: dict[str, Any] = {
        "agent_id": AGENT,
        "row": 0,
        "epoch": 1,
        "wanted": Wanted.RUNNING,
        "close_position": True,
        "plan_id": PLAN,
        "interval": 1,
        "threshold": 0.5,
        "max_position_usd": 1000.0,
        "stop_loss_ppm": 20_000,
        "take_profit_ppm": 40_000,
        "leverage": 1,
        "fee_cbps": 1000,
        "slippage_cbps": 0,
        "max_session_loss_usd": 0.0,
    }
    return Command(**settings | changes)


def inputs(
    slot: int = SLOT,
    price: float = 100.0,
    signal: float = float("nan"),
    *,
    fresh: bool = True,
    failed: Mapping[int, str] | None = None,
    commands: Sequence[Command] = (),
    skipped: Sequence[SkippedRange] = (),
    folded_slot: int = -1,
    atr: float | None = None,
    volatility: float | None = None,
    **more: Any,
) -> SlotInputs:
    """What plan 0 and PLAN see; both see the same. `atr` is a fraction of the price."""
    return SlotInputs(
        slot=slot,
        price=np.full(2, price),
        fresh=np.full(2, fresh),
        signal=np.full(2, signal),
        failed=failed or {},
        commands=commands,
        skipped=skipped,
        folded_slot=folded_slot,
        atr_fraction=None if atr is None else np.full(2, atr),
        volatility=None if volatility is None else np.full(2, volatility),
        **more,
    )


def running(count: int = 1, **changes: Any) -> Rows:
    """Flat agents that were started in SLOT, one in each row."""
    commands = [
        command(**{"agent_id": bytes([row]) * 16, "row": row} | changes) for row in range(count)
    ]
    return advance(empty_rows(count), inputs(commands=commands)).rows


def started(
    *, atr: float | None = None, volatility: float | None = None, **settings: Any
) -> Outcome:
    """An agent's first slot, with its readings."""
    seen = inputs(commands=[command(**settings)], atr=atr, volatility=volatility)
    return advance(empty_rows(1), seen)


def holding(side: int, count: int = 1, **changes: Any) -> Rows:
    """Agents that opened a position at 100 in SLOT + 1."""
    return tick(running(count, **changes), SLOT + 1, signal=float(side)).rows


def tick(rows: Rows, slot: int, price: float = 100.0, **seen: Any) -> Outcome:
    return advance(rows, inputs(slot, price, **seen))


def kinds(outcome: Outcome) -> list[str]:
    return [event.kind for event in outcome.events]


def only_event(outcome: Outcome) -> Event:
    (event,) = outcome.events
    return event


def values(row: np.void, *names: str) -> list[Any]:
    return [row[name].item() for name in names]
