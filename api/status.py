"""What an agent does right now, put together from its row, its shard's head and a frame. Pure.

Nothing of it is stored: price, profit, signal and tick counts follow from the position, the
slot and the frame.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol
from uuid import UUID

import msgspec
import numpy as np

from adapters.db.agents import Agent
from api.status_words import HaltWord, StatusWord, halt_word, row_of, status_word
from api.times import IsoTime, iso_seconds
from engine.limits import held_back
from engine.position import liquidation_price, margin_usd, notional_usd, unrealized
from engine.rows import Action, Reason, RowFlag, RowStatus
from engine.schedule import SkippedRange, counts

Side = Literal["long", "short"]

SIDE_WORDS: Mapping[int, Side] = {1: "long", -1: "short"}


STALE_PRICE: Final = "the price is stale"
NO_SIGNAL: Final = "no signal"
STAYS_OPEN: Final = "the position stays open"
NO_READING: Final = "a reading for its stop or size is not there; the log says which"
BELOW_THRESHOLD: Final = "the signal is below the threshold"
ENTRIES_HALTED: Final = "entries are halted"
PAUSE: Final = "a pause after a loss"
SPENT: Final = "max_trades_per_day is reached"
WAITING: Final = "waiting for the next tick"


class ShardHead(Protocol):
    """What of a shard's head the counts of ticks follow from."""

    @property
    def slot(self) -> int: ...
    @property
    def skipped(self) -> tuple[SkippedRange, ...]: ...
    @property
    def folded_slot(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Sight:
    """What the market says to one plan. Prices in USD, None where there is none; times Unix s.

    signal is 0 where the strategy cannot run on its candles or a filter is closed, None where there
    is none at all; detail says why, or what it saw. silenced: which of the two it was, else "".
    """

    source: str
    price: float | None
    price_time: float | None
    stale: bool
    signal: float | None
    detail: str
    silenced: str = ""


class Position(msgspec.Struct, frozen=True):
    """An open position as callers see it."""

    side: Side
    quantity: float
    entry_price: float
    notional_usd: float
    margin_usd: float
    leverage: int
    take_profit_price: float | None
    stop_loss_price: float | None
    liquidation_price: float | None
    opened_at: IsoTime
    unrealized_pnl_usd: float | None


class AgentStatus(msgspec.Struct, frozen=True):
    """The answer of GET /api/agents/{id}/status and the data of an agent_status message."""

    agent_id: UUID
    status: StatusWord
    symbol: str
    price: float | None
    price_time: IsoTime | None
    price_source: str
    stale: bool
    position: Position | None
    realized_pnl_usd: float
    fees_usd: float
    strategy_name: str
    signal: float | None
    signal_detail: str
    last_action: str | None
    last_reason: str | None
    ticks: int
    missed_ticks: int
    last_tick_at: IsoTime | None
    next_tick_at: IsoTime | None
    halt: HaltWord = "active"


def agent_status(
    agent: Agent, row: np.void | None, head: ShardHead | None, sight: Sight
) -> AgentStatus:
    """The status of one agent; row and head are None where the pool has not met it yet."""
    word, _ = status_word(agent, row)
    row = row_of(agent, row)
    ticks, missed = (0, 0)
    last_tick = next_tick = None
    if row is not None and head is not None:
        ticks, missed = counts(row, head.slot, head.skipped, head.folded_slot)
        last_tick, next_tick = tick_slots(row, head)
    action, reason = last_action(row, last_tick, sight) if row is not None else (None, None)
    if action == "HOLD" and agent.fleet_halt and row is not None and not row["side"]:
        reason = ENTRIES_HALTED
    return AgentStatus(
        agent_id=agent.id,
        status=word,
        symbol=agent.symbol,
        price=sight.price,
        price_time=None if sight.price_time is None else iso_seconds(sight.price_time),
        price_source=sight.source,
        stale=sight.stale,
        position=None if row is None else position_of(row, sight.price),
        realized_pnl_usd=0.0 if row is None else float(row["realized_pnl_usd"]),
        fees_usd=0.0 if row is None else float(row["fees_usd"]),
        strategy_name=agent.strategy_name,
        signal=sight.signal,
        signal_detail=sight.detail,
        last_action=action,
        last_reason=reason,
        ticks=ticks,
        missed_ticks=missed,
        last_tick_at=None if last_tick is None else iso_seconds(last_tick),
        next_tick_at=None if next_tick is None else iso_seconds(next_tick),
        halt=halt_word(agent),
    )


def position_of(row: np.void, price: float | None) -> Position | None:
    """The open position of a row, None when it is flat; notional is that of the entry."""
    side = int(row["side"])
    if side == 0:
        return None
    entry, quantity = float(row["entry_price"]), float(row["quantity"])
    leverage = int(row["leverage"])
    profit = None if price is None else float(unrealized(side, entry, quantity, price))
    return Position(
        side=SIDE_WORDS[side],
        quantity=quantity,
        entry_price=entry,
        notional_usd=float(notional_usd(quantity, entry)),
        margin_usd=float(margin_usd(entry, quantity, leverage)),
        leverage=leverage,
        take_profit_price=_price_or_none(float(row["take_profit_price"])),
        stop_loss_price=_price_or_none(float(row["stop_loss_price"])),
        liquidation_price=_price_or_none(float(liquidation_price(entry, side, leverage))),
        opened_at=iso_seconds(int(row["opened_slot"])),
        unrealized_pnl_usd=profit,
    )


def tick_slots(row: np.void, head: ShardHead) -> tuple[int | None, int | None]:
    """(last slot that the agent ticked in, next one that it is due in) of its present schedule."""
    if row["status"] != RowStatus.RUNNING:
        return None, None
    start, interval = int(row["start_slot"]), max(int(row["interval"]), 1)
    next_slot = start + max(-((start - head.slot - 1) // interval), 0) * interval
    last = next_slot - interval
    for skipped in reversed(head.skipped):
        if skipped.first <= last <= skipped.last:
            last -= -((skipped.first - 1 - last) // interval) * interval
    return (last if last >= start else None), next_slot


def last_action(row: np.void, last_tick: int | None, sight: Sight) -> tuple[str | None, str | None]:
    """(what the agent did last, why): HOLD when ticks came after its last trade."""
    stored = int(row["last_action"])
    if last_tick is not None and (stored == Action.NONE or int(row["action_slot"]) < last_tick):
        return "HOLD", _why_held(row, sight, last_tick)
    if stored == Action.NONE:
        return None, None
    return Action(stored).name, Reason(int(row["last_reason"])).name.lower()


def _why_held(row: np.void, sight: Sight, last_tick: int) -> str:
    if sight.stale:
        return STALE_PRICE
    if sight.signal is None:
        return NO_SIGNAL
    if row["side"]:
        return STAYS_OPEN
    if sight.silenced:
        return sight.silenced
    if row["flags"] & RowFlag.CANNOT_RUN_SAID:
        return NO_READING
    if abs(sight.signal) < float(row["threshold"]):
        return BELOW_THRESHOLD
    halted, pausing, spent = held_back(row.reshape(1), last_tick)
    if halted[0]:
        return ENTRIES_HALTED
    if pausing[0]:
        return PAUSE
    return SPENT if spent[0] else WAITING


def _price_or_none(price: float) -> float | None:
    return price if price > 0 and math.isfinite(price) else None
