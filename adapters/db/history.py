"""What is read back from the record: trades, log lines and messages; and their pruning.

Owners read their own: every question names the user, and somebody else's answer is empty.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Final
from uuid import UUID

from adapters.db import models
from adapters.db.connection import Connection, Database, connection, orm
from adapters.db.errors import BadCursor
from adapters.db.records import LogLine, Trade, UserMessage

_PRUNED_AT_ONCE: Final = 10_000
"""Rows of one DELETE: short enough to be in nobody's way."""


@dataclass(frozen=True, slots=True)
class TradePage:
    """Newest first; next is the cursor of the page after it, None at the end."""

    trades: Sequence[Trade[Decimal]]
    next: str | None


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Messages above a number, oldest first.

    gap is (first, last) of those that are no longer kept; newest is the user's newest number,
    so that there is more when the last message is below it.
    """

    messages: Sequence[UserMessage]
    gap: tuple[int, int] | None
    newest: int


async def trades_of(
    database: Database, user_id: UUID, agent_id: UUID, limit: int, cursor: str | None = None
) -> TradePage:
    """An agent's trades by opening, newest first, also after the agent was deleted.

    Raises:
        BadCursor: cursor is none of ours.
    """
    below = _read_cursor(cursor)
    async with orm(database):
        found = (
            await models.Trade.filter(agent_id=agent_id, user_id=user_id, seq__lt=below)
            .order_by("-seq")
            .limit(limit + 1)
        )
    trades = [_trade(row) for row in found[:limit]]
    return TradePage(trades, str(trades[-1].seq) if len(found) > limit else None)


async def logs_of(
    database: Database,
    user_id: UUID,
    agent_id: UUID,
    level: str | None = None,
    limit: int = 100,
    before: datetime | None = None,
) -> list[LogLine]:
    """An agent's newest log lines before a moment, oldest first.

    A second's lines are never torn apart, so a few more than limit may come: the first line's
    ts is a `before` that misses nothing.
    """
    async with connection(database) as con:
        found = await con.fetch(
            "SELECT seq, ts, level, message, id FROM logs WHERE agent_id = $1 AND user_id = $2"
            " AND ($3::text IS NULL OR level = $3) AND ($4::timestamptz IS NULL OR ts < $4)"
            " ORDER BY ts DESC FETCH FIRST $5 ROWS WITH TIES",
            agent_id,
            user_id,
            level,
            before,
            limit,
        )
    # lines of one event have one seq, and ids that rise
    ordered = sorted(found, key=itemgetter("ts", "seq", "id"))
    return [LogLine(row["seq"], row["ts"], row["level"], row["message"]) for row in ordered]


async def messages_since(database: Database, user_id: UUID, seq: int, limit: int) -> MessagePage:
    """A user's messages above a number. An unknown user has none."""
    async with connection(database) as con:
        # one statement sees one moment: otherwise a message stored in between looks like a gap
        found = await con.fetch(
            "SELECT users.message_seq AS newest, kept.seq, kept.kind, kept.agent_id, kept.ts,"
            " kept.data FROM users LEFT JOIN LATERAL (SELECT * FROM messages"
            " WHERE messages.user_id = users.id AND messages.seq > $2"
            " ORDER BY messages.seq LIMIT $3) kept ON true WHERE users.id = $1 ORDER BY kept.seq",
            user_id,
            seq,
            limit,
        )
    newest = found[0]["newest"] if found else 0
    messages = [
        UserMessage(
            user_id, row["seq"], row["kind"], row["agent_id"], row["ts"], json.loads(row["data"])
        )
        for row in found
        if row["seq"] is not None
    ]
    first_kept = messages[0].seq if messages else newest + 1
    gap = (seq + 1, first_kept - 1) if first_kept > seq + 1 else None
    return MessagePage(messages, gap, newest)


async def prune_messages(database: Database, before: datetime) -> int:
    """Removes messages of before a moment; answers how many."""
    async with connection(database) as con:
        return await prune_in_batches(
            con,
            "DELETE FROM messages WHERE ctid IN (SELECT ctid FROM messages WHERE ts < $1 LIMIT $2)",
            before,
        )


async def prune_logs(database: Database, before: datetime) -> int:
    """Removes log lines of before a moment; answers how many."""
    async with connection(database) as con:
        return await prune_in_batches(
            con,
            "DELETE FROM logs WHERE ctid IN (SELECT ctid FROM logs WHERE ts < $1 LIMIT $2)",
            before,
        )


async def prune_in_batches(con: Connection, statement: str, before: datetime | int) -> int:
    """Runs a DELETE of ($1 before, $2 rows at once) until nothing is left; answers how many."""
    total = 0
    while True:
        done = int((await con.execute(statement, before, _PRUNED_AT_ONCE)).split()[-1])
        total += done
        if done < _PRUNED_AT_ONCE:
            return total


def _trade(row: models.Trade) -> Trade[Decimal]:
    return Trade[Decimal](**{name: getattr(row, name) for name in Trade.__struct_fields__})


def _read_cursor(cursor: str | None) -> int:
    if cursor is None:
        return (1 << 63) - 1
    if not cursor.isdecimal() or not cursor.isascii() or len(cursor) > 18:
        raise BadCursor("no cursor of a list of trades")
    return int(cursor)
