"""The ledger's statements: what it reads before it stores, and the writing itself.

Locks are taken in one order: shards, users, agents, rows. Logs and messages only ever grow and
go in by COPY; a key that is there already is an error, never passed over. Trades and rows change
and go over a staging table of the session.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import astuple

from adapters.db.connection import Connection
from adapters.db.errors import LedgerConflict
from adapters.db.giving_way import giving_way
from adapters.db.ledger_rows import (
    Broken,
    Entry,
    Holder,
    Place,
    agent_state,
    line_id,
    same_entry,
)
from adapters.db.records import Trade, UserMessage, iso
from adapters.shard_records import decode_skipped, encode_skipped
from engine.schedule import SkippedRange

# in a transaction of its own, so that no rollback takes the tables away
PREPARE = """
CREATE TEMP TABLE IF NOT EXISTS stage_trades (
    id uuid, agent_id uuid, user_id uuid, seq bigint, symbol text, side text, strategy_name text,
    quantity text, leverage int, entry_price text, exit_price text, fee_usd text, pnl_usd text,
    open_reason text, close_reason text, opened_at timestamptz, closed_at timestamptz, mode text
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS stage_rows (
    shard int, row int, seq bigint, version bigint, record bytea, freed boolean
) ON COMMIT DELETE ROWS;
"""
_LOG_COLUMNS = ("id", "agent_id", "user_id", "seq", "ts", "level", "message")
_MESSAGE_COLUMNS = ("user_id", "seq", "kind", "agent_id", "ts", "data")
# every statement touches a few rows by their keys; without statistics on the staging tables
# the planner would at times read a million rows instead
PLAN_BY_KEY = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
STALLED_S = 15.0
"""A transaction that has waited for its client for so long, in the middle of a COPY, is ended."""
# the server's own limits do not reach into a COPY: a process that is stopped there would keep
# its locks for as long as it stays stopped
_END_STALLED = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
    AND wait_event = 'ClientRead' AND xact_start < clock_timestamp() - $1::interval
"""

_TRADE_COLUMNS = Trade.__struct_fields__
_UPSERT_TRADES = """
INSERT INTO trades (id, agent_id, user_id, seq, symbol, side, strategy_name, quantity, leverage,
    entry_price, exit_price, fee_usd, pnl_usd, open_reason, close_reason, opened_at, closed_at,
    mode)
SELECT id, agent_id, user_id, seq, symbol, side, strategy_name, quantity::numeric, leverage,
    entry_price::numeric, exit_price::numeric, fee_usd::numeric, pnl_usd::numeric,
    open_reason, close_reason, opened_at, closed_at, mode
FROM stage_trades
ON CONFLICT (id) DO UPDATE SET exit_price = excluded.exit_price, fee_usd = excluded.fee_usd,
    pnl_usd = excluded.pnl_usd, close_reason = excluded.close_reason, closed_at = excluded.closed_at
WHERE trades.closed_at IS NULL AND excluded.closed_at IS NOT NULL
    AND (trades.agent_id, trades.side, trades.quantity, trades.leverage, trades.entry_price,
         trades.opened_at)
      = (excluded.agent_id, excluded.side, excluded.quantity, excluded.leverage,
         excluded.entry_price, excluded.opened_at)
RETURNING id, seq, symbol, strategy_name, mode
"""
_UPDATE_ROWS = """
UPDATE shard_rows SET seq = stage.seq, version = stage.version, record = stage.record,
    agent_id = CASE WHEN stage.freed THEN NULL ELSE shard_rows.agent_id END
FROM stage_rows stage WHERE shard_rows.shard = stage.shard AND shard_rows.row = stage.row
    AND shard_rows.version <= stage.version
"""
_UPDATE_AGENTS = """
UPDATE agents SET applied_epoch = new.epoch, status = new.status, status_detail = new.detail
FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[]) AS new(id, epoch, status, detail)
WHERE agents.id = new.id
"""
_HOLDERS = """
SELECT place.shard, place.row, holder.agent_id, holder.seq, holder.version, agents.user_id,
    agents.symbol, agents.strategy_name, agents.plan_id,
    CASE WHEN agents.live_mode THEN 'live' ELSE 'paper' END AS mode,
    agents.applied_epoch, agents.status, agents.status_detail
FROM unnest($1::int[], $2::int[]) AS place(shard, row)
JOIN shard_rows holder ON holder.shard = place.shard AND holder.row = place.row
JOIN agents ON agents.id = holder.agent_id
"""


@dataclass(slots=True)
class Cursor:
    """A shard's line in the record, locked."""

    version: int
    slot: int
    run_id: str
    frozen: str | None
    skipped: tuple[SkippedRange, ...]


@dataclass(slots=True)
class Written:
    """What one write did: messages in order, the users' new numbers, the agents' new states."""

    messages: list[UserMessage] = field(default_factory=list)
    seqs: dict[UUID, int] = field(default_factory=dict)
    states: dict[Place, tuple[int, str, str]] = field(default_factory=dict)


async def lock_cursors(con: Connection, shards: Iterable[int]) -> dict[int, Cursor]:
    """Cursors of the shards that exist, locked until the transaction ends."""
    found = await con.fetch(
        "SELECT id, version, slot, run_id, frozen, skipped FROM shards WHERE id = ANY($1)"
        " ORDER BY id FOR NO KEY UPDATE",
        sorted(shards),
    )
    return {
        r["id"]: Cursor(
            r["version"], r["slot"], r["run_id"], r["frozen"], decode_skipped(r["skipped"] or b"")
        )
        for r in found
    }


async def lock_users(con: Connection, users: Iterable[UUID]) -> dict[UUID, int]:
    """The users' newest message numbers; locked, so that numbers are given without gaps."""
    found = await con.fetch(
        "SELECT id, message_seq FROM users WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
        sorted(users),
    )
    return {row["id"]: row["message_seq"] for row in found}


async def holders_of(con: Connection, places: Iterable[Place]) -> dict[Place, Holder]:
    """Who holds these places; free ones and unknown ones are left out."""
    wanted = sorted(places)
    found = await con.fetch(_HOLDERS, [p[0] for p in wanted], [p[1] for p in wanted])
    return {(r["shard"], r["row"]): Holder(*tuple(r)[2:]) for r in found}


async def plan_words(con: Connection, ids: Iterable[int]) -> dict[int, tuple[str, str]]:
    """(symbol, strategy) of these plans; unknown ones are left out, as a damaged row may name."""
    found = await con.fetch(
        # bigint: an id of a row has 32 bits and no sign, which an integer cannot hold
        "SELECT id, symbol, strategy FROM plans WHERE id = ANY($1::bigint[])",
        sorted(ids),
    )
    return {row["id"]: (row["symbol"], row["strategy"]) for row in found}


async def quarantined_upto(con: Connection, shards: Iterable[int]) -> dict[int, int]:
    """The newest version in quarantine of each shard that has one."""
    found = await con.fetch(
        "SELECT shard, max(version) AS version FROM quarantine WHERE shard = ANY($1)"
        " GROUP BY shard",
        sorted(shards),
    )
    return {row["shard"]: row["version"] for row in found}


async def write(con: Connection, entries: Sequence[Entry], seqs: Mapping[UUID, int]) -> Written:
    """Writes entries in order; seqs gives each user's newest message number.

    Raises:
        LedgerConflict, or what asyncpg raises for values that cannot be stored: the caller
        rolls back to before.
    """
    written = Written(seqs=dict(seqs))
    numbers = [_numbers(entry, written.seqs) for entry in entries]
    stored = await _write_trades(con, await _trades(entries, numbers))
    messages = written.messages
    logs: list[tuple[Any, ...]] = []
    async for entry, (trade_seq, log_seq) in giving_way(zip(entries, numbers, strict=True)):
        if entry.trade is not None:
            messages.append(_trade_message(entry, trade_seq, stored[entry.trade.id]))
        if entry.lines:
            messages.append(_log_message(entry, log_seq))
            logs += _log_rows(entry, log_seq)
    if logs:
        await con.copy_records_to_table("logs", columns=_LOG_COLUMNS, records=giving_way(logs))
    if messages:
        await con.copy_records_to_table(
            "messages",
            columns=_MESSAGE_COLUMNS,
            records=giving_way(map(_message_row, messages)),
        )
    await _write_agents(con, entries, written)
    await _write_rows(con, entries)
    return written


async def raise_message_seqs(con: Connection, seqs: Mapping[UUID, int]) -> None:
    """Notes the users' newest message numbers."""
    await con.execute(
        "UPDATE users SET message_seq = new.seq FROM unnest($1::uuid[], $2::bigint[])"
        " AS new(id, seq) WHERE users.id = new.id",
        list(seqs),
        list(seqs.values()),
    )


async def move_cursors(con: Connection, cursors: Mapping[int, Cursor]) -> None:
    """Writes cursors as they are now, frozen ones with the reason."""
    await con.execute(
        "UPDATE shards SET version = new.version, slot = new.slot, frozen = new.frozen,"
        " skipped = new.skipped"
        " FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[])"
        " AS new(id, version, slot, frozen, skipped) WHERE shards.id = new.id",
        list(cursors),
        [cursor.version for cursor in cursors.values()],
        [cursor.slot for cursor in cursors.values()],
        [cursor.frozen for cursor in cursors.values()],
        [encode_skipped(cursor.skipped) for cursor in cursors.values()],
    )


async def put_in_quarantine(con: Connection, broken: Iterable[Broken]) -> None:
    """Keeps entries as they came."""
    await con.executemany(
        "INSERT INTO quarantine (shard, version, n, payload, reason, fails)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        [
            (b.shard, b.version, b.n, b.payload, b.reason.replace("\0", "?"), b.fails)
            for b in broken
        ],
    )


async def end_stalled(con: Connection) -> int:
    """Ends transactions of ours whose process has gone quiet; answers how many."""
    return int(await con.fetchval(_END_STALLED, timedelta(seconds=STALLED_S)))


def _numbers(entry: Entry, seqs: dict[UUID, int]) -> tuple[int, int]:
    """The numbers of the entry's trade and log message, counted on in seqs."""
    user = entry.holder.user_id
    trade_seq = log_seq = 0
    if entry.trade is not None:
        seqs[user] = trade_seq = seqs[user] + 1
    if entry.lines:
        seqs[user] = log_seq = seqs[user] + 1
    return trade_seq, log_seq


async def _trades(
    entries: Sequence[Entry], numbers: Sequence[tuple[int, int]]
) -> dict[UUID, list[Any]]:
    """One row for each trade that was opened or closed, or both, by its id."""
    rows: dict[UUID, list[Any]] = {}
    openings: dict[UUID, Trade[float]] = {}
    async for entry, (seq, _) in giving_way(zip(entries, numbers, strict=True)):
        trade = entry.trade
        if trade is None:
            continue
        values = list(astuple(trade))
        values[_SEQ] = seq
        for place in _NUMBERS:  # the digits of a float's repr are the number that is kept
            values[place] = None if values[place] is None else repr(values[place])
        if trade.id in rows:
            opening = openings.get(trade.id)
            if opening is None or trade.closed_at is None or not same_entry(opening, trade):
                raise LedgerConflict(f"trade {trade.id} is closed otherwise than it was opened")
            for place in _OPENING:
                values[place] = rows[trade.id][place]
        if trade.closed_at is None:
            openings[trade.id] = trade
        rows[trade.id] = values
    return rows


_NUMBERS = tuple(
    map(_TRADE_COLUMNS.index, ("quantity", "entry_price", "exit_price", "fee_usd", "pnl_usd"))
)
_SEQ = _TRADE_COLUMNS.index("seq")
_OPENING_WORDS = ("seq", "symbol", "strategy_name", "mode")
_OPENING = tuple(map(_TRADE_COLUMNS.index, _OPENING_WORDS))
"""What a trade keeps from its opening, though the agent may be edited while it is open."""


async def _write_trades(
    con: Connection, trades: Mapping[UUID, list[Any]]
) -> dict[UUID, dict[str, Any]]:
    """Stores trades; answers what each keeps from its opening."""
    if not trades:
        return {}
    await con.execute("DELETE FROM stage_trades")  # of a write before in the same transaction
    await con.copy_records_to_table(
        "stage_trades", columns=_TRADE_COLUMNS, records=giving_way(trades.values())
    )
    stored = await con.fetch(_UPSERT_TRADES)
    openings = {row[0]: dict(zip(_OPENING_WORDS, tuple(row)[1:], strict=True)) for row in stored}
    if len(openings) != len(trades):
        wrong = next(one for one in trades if one not in openings)
        raise LedgerConflict(f"trade {wrong} is stored with other content")
    return openings


def _trade_message(entry: Entry, seq: int, opening: Mapping[str, Any]) -> UserMessage:
    trade = entry.trade
    assert trade is not None
    word = "opened" if trade.closed_at is None else "closed"
    told = trade.as_json()
    told.update(opening)
    data = {"event": word, "trade": told}
    return UserMessage(trade.user_id, seq, "trade", trade.agent_id, entry.ts, data)


def _log_message(entry: Entry, seq: int) -> UserMessage:
    ts = iso(entry.ts)
    lines = [{"ts": ts, "level": level, "message": text} for level, text in entry.lines]
    holder = entry.holder
    data = {"entries": lines}
    return UserMessage(holder.user_id, seq, "log", holder.agent_id, entry.ts, data)


def _log_rows(entry: Entry, seq: int) -> Iterable[tuple[Any, ...]]:
    holder = entry.holder
    for number, (level, text) in enumerate(entry.lines):
        own_id = line_id(entry, number)
        yield own_id, holder.agent_id, holder.user_id, seq, entry.ts, level, text


def _message_row(message: UserMessage) -> tuple[Any, ...]:
    data = msgspec.json.encode(message.data).decode()
    return message.user_id, message.seq, message.kind, message.agent_id, message.ts, data


async def _write_agents(con: Connection, entries: Sequence[Entry], written: Written) -> None:
    """Present states of the agents whose state changed; deleted ones lose their record."""
    ids: dict[Place, UUID] = {}
    deleted: list[UUID] = []
    async for entry in giving_way(entries):
        fact, place = entry.fact, entry.fact.place
        if fact.event.kind == "deleted":
            deleted.append(entry.holder.agent_id)
            continue
        holder = entry.holder
        before = written.states.get(place)
        known = (holder.applied_epoch, holder.status, holder.status_detail)
        after = agent_state(fact, before or known)
        if before is not None or after != known:
            written.states[place] = after
            ids[place] = holder.agent_id
    if ids:
        states = [written.states[place] for place in ids]
        await con.execute(_UPDATE_AGENTS, list(ids.values()), *map(list, zip(*states, strict=True)))
    if deleted:
        await con.execute("DELETE FROM agents WHERE id = ANY($1)", deleted)


async def _write_rows(con: Connection, entries: Sequence[Entry]) -> None:
    """The newest row of each place; at `deleted` the place is free again."""
    newest = {entry.fact.place: entry.fact for entry in entries}
    if not newest:
        return
    await con.execute("DELETE FROM stage_rows")
    records = (
        (*place, e.seq, fact.version, e.row_after, e.kind == "deleted")
        for place, fact, e in ((place, fact, fact.event) for place, fact in newest.items())
    )
    await con.copy_records_to_table("stage_rows", records=giving_way(records))
    changed = await con.execute(_UPDATE_ROWS)
    if changed != f"UPDATE {len(newest)}":
        raise LedgerConflict(f"of {len(newest)} rows only {changed} were older")
