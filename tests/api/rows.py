"""Rows, heads and agents for tests that need no server: made by the engine itself."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from adapters.db.agents import Agent
from adapters.wanted import command_of
from api.status import Sight
from engine.rows import Rows, empty_rows
from engine.schedule import SkippedRange
from engine.tick import SlotInputs, advance

START = 1_800_000_000
NOTHING = SlotInputs(
    slot=START,
    price=np.array([np.nan, np.nan]),
    fresh=np.array([False, False]),
    signal=np.array([np.nan, np.nan]),
    failed={},
    commands=(),
    skipped=(),
    folded_slot=0,
)


@dataclass(frozen=True)
class TestHead:
    """What of a head the counts follow from."""

    __test__ = False

    slot: int
    skipped: tuple[SkippedRange, ...] = ()
    folded_slot: int = 0


def agent(**changes: Any) -> Agent:
    """An agent as PostgreSQL has it, at row 0 with plan 1."""
    made = Agent(
        id=UUID("9d1c0a52-53f4-4f0e-9f5c-0f6f8d3b7a11"),
        user_id=UUID("5d1c0a52-53f4-4f0e-9f5c-0f6f8d3b7a12"),
        name="Mine",
        symbol="BTC/USDT",
        timeframe="1m",
        strategy_name="momentum_breakout",
        strategy_params={"lookback": 20, "threshold": 0.5},
        interval_seconds=1,
        live_mode=False,
        risk_params={
            "max_position_usd": 1000.0,
            "stop_loss_pct": 2.0,
            "take_profit_pct": 4.0,
            "leverage": 5,
            "tp_sl_mode": "fixed",
            "max_session_loss_usd": None,
            "fee_bps": 10.0,
            "slippage_bps": 0.0,
        },
        plan_id=1,
        shard=0,
        row=0,
        epoch=1,
        wanted="running",
        close_position=True,
        asked_epoch=changes.get("epoch", 1),
        applied_epoch=0,
        status="creating",
        status_detail="",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        updated_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return msgspec.structs.replace(made, **changes)


def advanced(
    rows: Rows | None, slot: int, price: float, signal: float = 0.0, *, wanted: Agent | None = None,
    failed: str | None = None,
) -> Rows:  # fmt: skip
    """The rows after one slot in which plan 1 saw this; `wanted` sends its command first."""
    inputs = replace(
        NOTHING,
        slot=slot,
        price=np.array([np.nan, price]),
        fresh=np.array([False, True]),
        signal=np.array([np.nan, signal]),
        failed={} if failed is None else {1: failed},
        commands=() if wanted is None else (command_of(wanted),),
    )
    return advance(empty_rows(1) if rows is None else rows, inputs).rows


def sight(price: float | None = 100.0, **changes: Any) -> Sight:
    """What the market says."""
    time = None if price is None else float(START)
    return replace(Sight("simulated", price, time, price is None, 0.0, "quiet"), **changes)
