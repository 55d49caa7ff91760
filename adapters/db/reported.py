"""What agents outside of the pool report: into the same tables, numbers and messages as its own.

An agent has one runner at a time. While it is wanted running in the pool, nobody else speaks for
it; the record is locked against a start meanwhile. Locks as in the ledger: users, then agents.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID, uuid4, uuid5

import msgspec

from adapters.db.agents import AGENT_BY_ID, Agent, agent_of
from adapters.db.connection import Connection, Database, connection, transaction
from adapters.db.history import prune_in_batches
from adapters.db.records import DECIMALS, DIGITS, LogLine, MessageKind, Trade, UserMessage, iso

_NEWEST = (
    "SELECT id, agent_id, user_id, seq, symbol, side, strategy_name, quantity, leverage,"
    " entry_price, exit_price, fee_usd, pnl_usd, open_reason, close_reason, opened_at, closed_at,"
    " mode FROM trades WHERE agent_id = $1 AND origin = 'reported' ORDER BY seq DESC LIMIT 1"
)
_INSERT = (
    "INSERT INTO trades (id, agent_id, user_id, seq, symbol, side, strategy_name, quantity,"
    " leverage, entry_price, exit_price, fee_usd, pnl_usd, open_reason, close_reason, opened_at,"
    " closed_at, mode, origin) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,"
    " $14, $15, $16, $17, $18, 'reported')"
)


_TOO_LARGE = Decimal(10) ** (DIGITS - DECIMALS)


class NoSuchAgent(Exception):
    """There is no record of this agent, or it is being deleted."""


class RunsInThePool(Exception):
    """The agent is wanted running in the pool: nobody else may speak for it."""


class OtherPosition(Exception):
    """The report does not fit the position that is open; the text says how."""


@dataclass(frozen=True, slots=True)
class TradeReport:
    """A position opened, or with an exit price closed. Numbers fit NUMERIC(38,18).

    pnl_usd is as reported; None: gross, out of the prices. event_id makes it count once.
    """

    side: str
    entry_price: Decimal
    quantity: Decimal
    leverage: int
    strategy_name: str
    mode: str
    at: datetime
    exit_price: Decimal | None = None
    pnl_usd: Decimal | None = None
    close_reason: str = "signal"
    event_id: str | None = None
    line: str | None = None  # of the log: what a trade has no field for


@dataclass(slots=True)
class _Told:
    """One report's transaction: the agent, and the messages that come of it."""

    con: Connection
    agent: Agent
    seq: int
    messages: list[UserMessage] = field(default_factory=list)

    def add(self, kind: MessageKind, ts: datetime, data: dict[str, Any]) -> None:
        self.seq += 1
        message = UserMessage(self.agent.user_id, self.seq, kind, self.agent.id, ts, data)
        self.messages.append(message)


async def realized(database: Database, agent_id: UUID) -> tuple[float, float]:
    """(P&L, fees) in USD over all trades of an agent."""
    async with connection(database) as con:
        found = await con.fetchrow(
            "SELECT coalesce(sum(pnl_usd), 0)::float8, coalesce(sum(fee_usd), 0)::float8"
            " FROM trades WHERE agent_id = $1",
            agent_id,
        )
    assert found is not None
    return found[0], found[1]


async def store_trade(
    database: Database, agent_id: UUID, report: TradeReport
) -> Sequence[UserMessage]:
    """Opens, closes, or does nothing where the same was reported before; answers what is new.

    Raises:
        NoSuchAgent, RunsInThePool.
        OtherPosition: another position is open.
    """
    async with _telling(database, agent_id) as told:
        if report.event_id is not None and not await _is_new(told, report.event_id):
            return []
        newest = await _newest(told)
        if report.exit_price is None:
            await _open(told, report, newest)
        else:
            await _close(told, report, newest)
        if told.messages and report.line is not None:
            await _add_lines(told, [LogLine(0, report.at, "action", report.line)])
    return told.messages


async def store_logs(
    database: Database, agent_id: UUID, lines: Sequence[LogLine]
) -> Sequence[UserMessage]:
    """Stores lines, those that were reported before only once; answers what is new.

    Raises:
        NoSuchAgent, RunsInThePool.
    """
    async with _telling(database, agent_id) as told:
        await _add_lines(told, lines)
    return told.messages


async def store_note(database: Database, agent_id: UUID, line: LogLine) -> Sequence[UserMessage]:
    """Stores a line of the hub's own in an agent's log, whoever runs it; answers what is new.

    Raises:
        NoSuchAgent.
    """
    async with _telling(database, agent_id, in_the_pool=True) as told:
        await _add_lines(told, [line])
    return told.messages


async def prune_events(database: Database, before: datetime) -> int:
    """Forgets event ids of before a moment; answers how many."""
    async with connection(database) as con:
        return await prune_in_batches(
            con,
            "DELETE FROM reported_events WHERE ctid IN"
            " (SELECT ctid FROM reported_events WHERE at < $1 LIMIT $2)",
            before,
        )


@asynccontextmanager
async def _telling(
    database: Database, agent_id: UUID, *, in_the_pool: bool = False
) -> AsyncIterator[_Told]:
    """One transaction; its messages get the user's next numbers and are stored at the end."""
    async with transaction(database) as con:
        owner = await con.fetchrow(
            "SELECT id, message_seq FROM users"
            " WHERE id = (SELECT user_id FROM agents WHERE id = $1) FOR NO KEY UPDATE",
            agent_id,
        )
        found = await con.fetchrow(AGENT_BY_ID + " FOR NO KEY UPDATE", agent_id)
        if owner is None or found is None or found["wanted"] == "deleted":
            raise NoSuchAgent
        if found["wanted"] == "running" and not in_the_pool:
            raise RunsInThePool
        told = _Told(con, agent_of(found), owner["message_seq"])
        yield told
        if not told.messages:
            return
        await con.executemany(
            "INSERT INTO messages (user_id, seq, kind, agent_id, ts, data)"
            " VALUES ($1, $2, $3, $4, $5, $6::jsonb)",
            [
                (m.user_id, m.seq, m.kind, m.agent_id, m.ts, msgspec.json.encode(m.data).decode())
                for m in told.messages
            ],
        )
        await con.execute("UPDATE users SET message_seq = $2 WHERE id = $1", owner["id"], told.seq)


async def _add_lines(told: _Told, lines: Sequence[LogLine]) -> None:
    rows, before = [], Counter[tuple[datetime, str, str]]()
    at_once = Counter[datetime]()
    for line in lines:
        which = (line.ts, line.level, line.message)
        name = f"line:{line.ts.isoformat()}:{line.level}:{before[which]}:{line.message}"
        before[which] += 1
        # lines of one moment keep their order
        ts = line.ts + timedelta(microseconds=at_once[line.ts])
        at_once[line.ts] += 1
        rows.append((uuid5(told.agent.id, name), ts, line.level, line.message))
    stored = await told.con.fetch(
        "INSERT INTO logs (id, agent_id, user_id, seq, ts, level, message)"
        " SELECT id, $1, $2, $3, ts, level, message"
        " FROM unnest($4::uuid[], $5::timestamptz[], $6::text[], $7::text[])"
        " AS new(id, ts, level, message) ON CONFLICT (id) DO NOTHING RETURNING id",
        told.agent.id,
        told.agent.user_id,
        told.seq + 1,
        *([row[column] for row in rows] for column in range(4)),
    )
    new = {row["id"] for row in stored}
    entries = [
        {"ts": iso(ts), "level": level, "message": message}
        for own_id, ts, level, message in rows
        if own_id in new
    ]
    if entries:
        told.add("log", max(row[1] for row in rows), {"entries": entries})


async def _is_new(told: _Told, event_id: str) -> bool:
    own_id = uuid5(told.agent.id, f"event:{event_id}")
    return bool(
        await told.con.fetchval(
            "INSERT INTO reported_events (id, agent_id) VALUES ($1, $2)"
            " ON CONFLICT (id) DO NOTHING RETURNING true",
            own_id,
            told.agent.id,
        )
    )


async def _newest(told: _Told) -> Trade[Decimal] | None:
    """The newest trade that was reported of the agent: the open one, if one is open."""
    found = await told.con.fetchrow(_NEWEST, told.agent.id)
    return None if found is None else Trade[Decimal](*tuple(found))


def _is_same_entry(trade: Trade[Decimal], report: TradeReport) -> bool:
    return (trade.side, trade.entry_price, trade.quantity, trade.leverage) == (
        report.side,
        report.entry_price,
        report.quantity,
        report.leverage,
    )


def _is_same(trade: Trade[Decimal], report: TradeReport) -> bool:
    return _is_same_entry(trade, report) and trade.exit_price == report.exit_price


async def _open(told: _Told, report: TradeReport, newest: Trade[Decimal] | None) -> None:
    if newest is not None and newest.closed_at is None:
        if _is_same_entry(newest, report):
            return
        raise OtherPosition("another position is open: report its close first")
    await _insert(told, report)


async def _close(told: _Told, report: TradeReport, newest: Trade[Decimal] | None) -> None:
    """Closes what is open. Where nothing is, the opening got lost, and the report tells both."""
    if newest is None or newest.closed_at is not None:
        if newest is not None and report.event_id is None and _is_same(newest, report):
            return
        newest = await _insert(told, report)
    elif newest.side != report.side:
        raise OtherPosition(f"the open position is {newest.side}")
    assert report.exit_price is not None
    sign = 1 if newest.side == "long" else -1
    with localcontext(prec=80):
        gross = round((report.exit_price - newest.entry_price) * newest.quantity * sign, 8)
    if abs(gross) >= _TOO_LARGE:
        raise OtherPosition("the P&L of the open position would be out of range")
    closed = msgspec.structs.replace(
        newest,
        exit_price=report.exit_price,
        pnl_usd=gross if report.pnl_usd is None else report.pnl_usd,
        close_reason=report.close_reason,
        closed_at=report.at,
    )
    await told.con.execute(
        "UPDATE trades SET exit_price = $2, pnl_usd = $3, close_reason = $4, closed_at = $5"
        " WHERE id = $1",
        closed.id,
        closed.exit_price,
        closed.pnl_usd,
        closed.close_reason,
        closed.closed_at,
    )
    told.add("trade", report.at, {"event": "closed", "trade": closed.as_json()})


async def _insert(told: _Told, report: TradeReport) -> Trade[Decimal]:
    agent = told.agent
    trade = Trade[Decimal](
        id=uuid4(),
        agent_id=agent.id,
        user_id=agent.user_id,
        seq=told.seq + 1,
        symbol=agent.symbol,
        side=report.side,
        strategy_name=report.strategy_name,
        quantity=report.quantity,
        leverage=report.leverage,
        entry_price=report.entry_price,
        exit_price=None,
        fee_usd=Decimal(0),
        pnl_usd=None,
        open_reason="signal",
        close_reason=None,
        opened_at=report.at,
        closed_at=None,
        mode=report.mode,
    )
    await told.con.execute(_INSERT, *msgspec.structs.astuple(trade))
    told.add("trade", report.at, {"event": "opened", "trade": trade.as_json()})
    return trade
