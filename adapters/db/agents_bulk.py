"""Many agents at once, by COPY: for seeding a pool, where one transaction each is too slow."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from adapters.db.agents import (
    PLACES_LOCK,
    Agent,
    NewAgent,
    agent_values,
    lock_account,
    missing_reference,
    placed,
)
from adapters.db.connection import Connection, Database, transaction
from adapters.db.creation import Plot, read_plots
from adapters.db.placement import AGENTS_PER_EARLY_SHARD, ShardFill, choose_shard
from engine.rows import ROWS_PER_SHARD

_AGENT_COLUMNS = (
    "id",
    "user_id",
    "name",
    "symbol",
    "timeframe",
    "strategy_name",
    "strategy_params",
    "interval_seconds",
    "live_mode",
    "risk_params",
    "plan_id",
    "shard",
    "row",
    "epoch",
    "wanted",
    "asked_epoch",
)
_RUNNING_COLUMNS = (*_AGENT_COLUMNS, "applied_epoch", "status")
ROWS_A_COPY = 50_000
"""A statement has to end in time, however many agents there are."""


async def create_agents_bulk(database: Database, new: Sequence[NewAgent]) -> list[Agent]:
    """Makes agents in one transaction, in rows never used before; the answer keeps the order.

    Creators wait meanwhile, so give it some ten thousand at a time.

    Raises:
        NoSuchPlan, NoSuchUser: one of them names one that does not exist; none is made.
    """
    try:
        async with transaction(database) as con:
            for user_id in sorted({agent.user_id for agent in new}):
                await lock_account(con, user_id)
            await con.execute("SELECT pg_advisory_xact_lock($1)", PLACES_LOCK)
            plots = await read_plots(con, {agent.symbol for agent in new})
            known = set(plots)
            places = dict(_places(plots, new))
            opened = [first for first in _firsts(places, new) if first[0] not in known]
            await con.executemany("INSERT INTO shards (id, symbol) VALUES ($1, $2)", opened)
            await con.copy_records_to_table(
                "shard_rows",
                columns=("shard", "row", "agent_id", "epoch"),
                records=[(*places[i], agent.id, 1) for i, agent in enumerate(new)],
            )
            await con.copy_records_to_table(
                "agents",
                columns=_AGENT_COLUMNS,
                records=[
                    (*agent_values(agent), *places[i], 1, agent.wanted, 1)
                    for i, agent in enumerate(new)
                ],
            )
            now = await con.fetchval("SELECT now()")
            halts = await _halts(con, {agent.user_id for agent in new})
            fleet_halt = await con.fetchval("SELECT coalesce(max(halt), 0) FROM fleet")
    except asyncpg.ForeignKeyViolationError as error:
        raise missing_reference(error) from error
    return [
        placed(agent, (*places[i], 1), now, halts[agent.user_id], fleet_halt)
        for i, agent in enumerate(new)
    ]


async def create_running_agents(
    database: Database, new: Sequence[NewAgent], records: Sequence[bytes], seq: int
) -> set[int]:
    """Makes agents that run already, in one transaction; answers the shards they lie in.

    records are their rows as the engine keeps them, each with `seq` events behind it that nobody
    stores: a shard that is opened takes them from here, as after a loss of Redis.

    Raises:
        NoSuchPlan, NoSuchUser: one of them names one that does not exist; none is made.
    """
    try:
        async with transaction(database) as con:
            await con.execute("SELECT pg_advisory_xact_lock($1)", PLACES_LOCK)
            plots = await read_plots(con, {agent.symbol for agent in new})
            known = set(plots)
            places = dict(_places(plots, new))
            opened = [first for first in _firsts(places, new) if first[0] not in known]
            await con.executemany("INSERT INTO shards (id, symbol) VALUES ($1, $2)", opened)
            rows = (
                (*places[i], agent.id, 1, seq, record)
                for i, (agent, record) in enumerate(zip(new, records, strict=True))
            )
            columns = ("shard", "row", "agent_id", "epoch", "seq", "record")
            await _copy(con, "shard_rows", columns, rows)
            states = (
                (*agent_values(agent), *places[i], 1, agent.wanted, 1, 1, agent.wanted)
                for i, agent in enumerate(new)
            )
            await _copy(con, "agents", _RUNNING_COLUMNS, states)
    except asyncpg.ForeignKeyViolationError as error:
        raise missing_reference(error) from error
    return {shard for shard, _ in places.values()}


async def _copy(
    con: Connection, table: str, columns: Sequence[str], records: Iterator[tuple[Any, ...]]
) -> None:
    while some := list(itertools.islice(records, ROWS_A_COPY)):
        await con.copy_records_to_table(table, columns=columns, records=some)


async def _halts(con: Connection, owners: set[UUID]) -> dict[UUID, int]:
    """How far the agents of each owner are held back, whatever they are set to themselves."""
    found = await con.fetch(
        "SELECT id, greatest(halt, halt_by_operator) AS halt FROM users WHERE id = ANY($1)",
        list(owners),
    )
    return {row["id"]: row["halt"] for row in found}


def _places(
    plots: dict[int, Plot], new: Sequence[NewAgent]
) -> Iterator[tuple[int, tuple[int, int]]]:
    """(index, (shard, row)) of every new agent; a block of one symbol is placed at once."""
    by_symbol: dict[str, list[int]] = defaultdict(list)
    for index, agent in enumerate(new):
        by_symbol[agent.symbol].append(index)
    for symbol, indices in by_symbol.items():
        done = 0
        while done < len(indices):
            shard = choose_shard(_fills(plots, symbol))
            plot = plots.setdefault(shard, Plot(0, 0, frozen=False))
            plot.symbols.add(symbol)
            room = ROWS_PER_SHARD - plot.next_row
            block = indices[done : done + min(room, AGENTS_PER_EARLY_SHARD)]
            for offset, index in enumerate(block):
                yield index, (shard, plot.next_row + offset)
            plot.next_row += len(block)
            plot.taken += len(block)
            done += len(block)


def _fills(plots: dict[int, Plot], symbol: str) -> list[ShardFill]:
    return [
        ShardFill(
            shard,
            plot.taken,
            0 if plot.frozen else ROWS_PER_SHARD - plot.next_row,
            symbol in plot.symbols,
        )
        for shard, plot in plots.items()
    ]


def _firsts(
    places: dict[int, tuple[int, int]], new: Sequence[NewAgent]
) -> Iterator[tuple[int, str]]:
    """Each shard that is used, with the symbol of the first agent in it."""
    seen: set[int] = set()
    for index, agent in enumerate(new):
        shard = places[index][0]
        if shard not in seen:
            seen.add(shard)
            yield shard, agent.symbol
