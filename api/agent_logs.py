"""An agent's log and trades. Tick lines are derived here, the other levels are stored."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, ClassVar, Literal
from uuid import UUID

import msgspec
import numpy as np
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from adapters.db import history
from adapters.db.agents import Agent
from adapters.db.errors import BadCursor
from adapters.db.records import Trade
from adapters.redis_client import away_as_error
from adapters.shard_records import Head
from api.agents import own_agent
from api.answers import answer
from api.bodies import Body, Check, read_query
from api.errors import FieldError, bad_input
from api.hub import Hub, hub_of
from api.status_words import row_of
from api.tick_lines import (
    TICK_LINES_SLOTS,
    Held,
    LogEntry,
    Schedule,
    held_at,
    held_of,
    tick_line,
    ticked_slots,
)
from api.times import IsoTime, parse_time
from engine.rows import RowStatus

LOGS_MAX = 1_000
TRADES_MAX = 1_000
TRADES_OF_TICK_LINES = 320
"""Trades that 300 slots can hold: one opens at the earliest in the slot after a close."""

Level = Literal[
    "init", "llm", "start", "tick", "action", "sl_tp", "stop", "error", "warn", "supervisor"
]
_SPACE_FOR_PLUS = re.compile(r" (\d\d:?\d\d)$")


def _time(value: str) -> str | None:
    try:
        _before(value)
    except (ValueError, OverflowError):
        return "expected a time like 2026-01-31T12:00:00.000Z"
    return None


def _before(text: str) -> datetime:
    # An unescaped + of a zone arrives as a space.
    return parse_time(_SPACE_FOR_PLUS.sub(r"+\1", text))


class ReadLogs(Body, frozen=True, kw_only=True):
    """The query of GET /api/agents/{id}/logs."""

    checks: ClassVar[Mapping[str, Check]] = {"before": _time}

    level: Level | None = None
    limit: Annotated[int, Meta(ge=1, le=LOGS_MAX)] = 100
    before: Annotated[str, Meta(max_length=40)] | None = None


class ReadTrades(Body, frozen=True, kw_only=True):
    """The query of GET /api/agents/{id}/trades."""

    limit: Annotated[int, Meta(ge=1, le=TRADES_MAX)] = 100
    cursor: Annotated[str, Meta(max_length=100)] | None = None


class LogsAnswer(msgspec.Struct, frozen=True):
    """Entries, oldest first."""

    entries: list[LogEntry]


class TradeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A trade as callers see it; exit fields are null while it is open."""

    id: UUID
    agent_id: UUID
    seq: int
    symbol: str
    side: Literal["long", "short"]
    strategy_name: str
    quantity: float
    leverage: int
    entry_price: float
    exit_price: float | None
    fee_usd: float
    pnl_usd: float | None
    open_reason: str
    close_reason: str | None
    opened_at: IsoTime
    closed_at: IsoTime | None
    mode: Literal["paper", "live"]


class TradesAnswer(msgspec.Struct, frozen=True):
    """Trades, newest first; next is the cursor of the page after them."""

    trades: list[TradeAnswer]
    next: str | None


async def get_logs(request: Request) -> Response:
    """GET /api/agents/{id}/logs: {entries}, oldest first."""
    agent = await own_agent(request)
    query = read_query(request, ReadLogs)
    before = None if query.before is None else _before(query.before)
    entries = await log_entries(hub_of(request), agent, query.level, query.limit, before)
    return answer(LogsAnswer(entries))


async def get_trades(request: Request) -> Response:
    """GET /api/agents/{id}/trades: {trades, next}, newest first."""
    agent = await own_agent(request)
    query = read_query(request, ReadTrades)
    database = hub_of(request).database
    try:
        page = await history.trades_of(database, agent.user_id, agent.id, query.limit, query.cursor)
    except BadCursor as error:
        raise bad_input([FieldError("cursor", "not a cursor of this list")], "query") from error
    trades = [TradeAnswer(**trade.as_json()) for trade in page.trades]
    return answer(TradesAnswer(trades, page.next))


async def log_entries(
    hub: Hub, agent: Agent, level: str | None, limit: int, before: datetime | None
) -> list[LogEntry]:
    """The newest entries before a moment, oldest first.

    The entries of one second are never torn apart, so a few more than the limit may come.
    """
    # Tick lines are stored of agents outside of the pool only.
    lines = await history.logs_of(hub.database, agent.user_id, agent.id, level, limit, before)
    stored = [LogEntry(**line.as_json()) for line in lines]
    derived: list[LogEntry] = []
    if level in (None, "tick"):
        derived = await _tick_entries(hub, agent, limit, before)
    # Stable: in one second what happened comes before the line that shows it.
    entries = sorted(stored + derived, key=lambda entry: entry.ts)
    if len(entries) <= limit:
        return entries
    oldest = entries[-limit].ts
    return [entry for entry in entries if entry.ts >= oldest]


async def _tick_entries(
    hub: Hub, agent: Agent, limit: int, before: datetime | None
) -> list[LogEntry]:
    """Tick lines of the agent's present schedule, over the last 300 slots."""
    async with away_as_error():
        found = await hub.shards.read_row(agent.shard, agent.row)
        row = None if found is None else row_of(agent, found[1])
        if found is None or row is None:
            return []
        slots = await _slots(hub, agent, row, found[0])
        if before is not None:
            slots = [slot for slot in slots if slot < before.timestamp()]
        if not slots:
            return []
        positions = await _positions(hub, agent, row)
        entries = []
        for slot in slots[-limit:]:
            frame = await hub.sights.frame(slot)
            if frame is not None:
                sight = await hub.sights.at(agent, frame)
                entries.append(tick_line(slot, sight, held_at(slot, positions)))
    return entries


async def _slots(hub: Hub, agent: Agent, row: np.void, head: Head) -> list[int]:
    """Slots in which the agent ticked; of one that stands, up to its last `stop` or `error`."""
    end: int | None = None
    if row["status"] != RowStatus.RUNNING:
        ends = []
        for level in ("stop", "error"):
            lines = await history.logs_of(hub.database, agent.user_id, agent.id, level, 1)
            ends += [int(line.ts.timestamp()) for line in lines]
        if not ends:
            return []
        end = max(ends) - 1
    schedule = Schedule(int(row["start_slot"]), max(int(row["interval"]), 1), end)
    first = max(head.slot, hub.clock.slot()) - TICK_LINES_SLOTS + 1
    return ticked_slots(schedule, first, head.slot, head.skipped)


async def _positions(hub: Hub, agent: Agent, row: np.void) -> list[Held]:
    """What the agent held, oldest first: its trades, and the open position of its row."""
    page = await history.trades_of(hub.database, agent.user_id, agent.id, TRADES_OF_TICK_LINES)
    held = [_held(trade) for trade in reversed(page.trades)]
    now = held_of(row)
    if now is not None and (not held or held[-1].opened_slot < now.opened_slot):
        held.append(now)  # the ledger is a moment behind the row
    return held


def _held(trade: Trade[Decimal]) -> Held:
    return Held(
        1 if trade.side == "long" else -1,
        float(trade.quantity),
        float(trade.entry_price),
        int(trade.opened_at.timestamp()),
        None if trade.closed_at is None else int(trade.closed_at.timestamp()),
    )
