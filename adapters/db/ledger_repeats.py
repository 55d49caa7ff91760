"""Events that come again: they must be what is stored, line for line and number for number."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from adapters.db.connection import Connection
from adapters.db.errors import LedgerConflict, Unstorable
from adapters.db.ledger_rows import (
    OPENING_FACTS,
    Entry,
    Fact,
    Holder,
    Place,
    Sorted,
    line_id,
    write_down,
)
from adapters.db.records import Trade

_TRADE = (
    "SELECT id, agent_id, user_id, seq, symbol, side, strategy_name, quantity, leverage,"
    " entry_price, exit_price, fee_usd, pnl_usd, open_reason, close_reason, opened_at, closed_at,"
    " mode FROM trades WHERE id = $1"
)


async def check_repeats(
    con: Connection,
    found: Sorted,
    holders: Mapping[Place, Holder],
    plans: Mapping[int, tuple[str, str]],
) -> None:
    """Compares the repeated facts of a shard with the new ones beside them and with the record.

    There are none but after a fault, so this asks for one at a time.

    Raises:
        LedgerConflict: one of them says something else, or what it said is no longer kept.
    """
    if not found.again:
        return
    beside = {(fact.place, fact.event.seq): fact.payload for fact in found.new}
    for fact in found.again:
        payload = beside.get((fact.place, fact.event.seq))
        if payload is not None:
            same = payload == fact.payload
        else:
            same = await _is_stored(con, fact, holders[fact.place], plans)
        if not same:
            raise LedgerConflict(f"{fact.name} came again with other content")


async def _is_stored(
    con: Connection, fact: Fact, holder: Holder, plans: Mapping[int, tuple[str, str]]
) -> bool:
    try:
        entry = write_down(fact, holder, plans)
    except Unstorable:
        return False
    return (
        await _same_lines(con, entry)
        and await _same_trade(con, entry.trade)
        and await _same_row(con, fact, holder)
    )


async def _same_lines(con: Connection, entry: Entry) -> bool:
    ids = [line_id(entry, number) for number in range(len(entry.lines))]
    stored = await con.fetch("SELECT id, ts, level, message FROM logs WHERE id = ANY($1)", ids)
    by_id = {row["id"]: tuple(row)[1:] for row in stored}
    told: Sequence[object] = [(entry.ts, level, message) for level, message in entry.lines]
    return [by_id.get(one) for one in ids] == told


async def _same_trade(con: Connection, told: Trade[float] | None) -> bool:
    if told is None:
        return True
    row = await con.fetchrow(_TRADE, told.id)
    if row is None:
        return False
    if told.closed_at is None:
        names: tuple[str, ...] = OPENING_FACTS
    else:  # the rest is as it was when it was opened
        kept = {"seq", "symbol", "strategy_name", "mode"}
        names = tuple(name for name in Trade.__struct_fields__ if name not in kept)
    return all(_as_told(row[name]) == getattr(told, name) for name in names)


def _as_told(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


async def _same_row(con: Connection, fact: Fact, holder: Holder) -> bool:
    """The row can be compared for the newest event only; older ones are overwritten."""
    if fact.event.seq != holder.seq:
        return True
    record = await con.fetchval(
        "SELECT record FROM shard_rows WHERE shard = $1 AND row = $2", fact.shard, fact.event.row
    )
    return bool(record == fact.event.row_after)
