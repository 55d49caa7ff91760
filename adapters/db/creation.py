"""New agents get their rows here, as many as wait, in one transaction.

One advisory lock gives out all rows of the pool, whichever hub asks: what a shard has left is
counted under it, so that no row is ever given twice and no shard gets more than it holds. What
the lock costs is paid once for all agents that are made together.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from adapters.db.agents import (
    COLUMNS,
    PLACES_LOCK,
    Agent,
    NewAgent,
    agent_of,
    agent_values,
    lock_account,
    missing_reference,
)
from adapters.db.connection import Connection, Database, transaction
from adapters.db.errors import TooManyAgents
from adapters.db.placement import ShardFill, choose_shard
from adapters.db.quotas import agents_quota, room_for_agents
from engine.rows import ROWS_PER_SHARD

Place = tuple[int, int, int]
"""(shard, row, epoch)."""

_PLOTS = (
    "SELECT id, frozen IS NOT NULL AS frozen,"
    " (SELECT coalesce(max(row) + 1, 0) FROM shard_rows WHERE shard = id) AS given,"
    " (SELECT count(*) FROM shard_rows WHERE shard = id AND agent_id IS NULL) AS free"
    " FROM shards"
)
_HOMES = (
    "SELECT shards.id AS shard, wanted.symbol FROM shards, unnest($1::text[]) AS wanted(symbol)"
    " WHERE EXISTS (SELECT FROM agents WHERE agents.symbol = wanted.symbol"
    " AND agents.shard = shards.id)"
)
_FREE_ROWS = (
    "SELECT wanted.shard, found.row FROM unnest($1::int[], $2::bigint[]) AS wanted(shard, rows)"
    " CROSS JOIN LATERAL (SELECT row FROM shard_rows WHERE shard_rows.shard = wanted.shard"
    " AND agent_id IS NULL ORDER BY row LIMIT wanted.rows) AS found ORDER BY 1, 2"
)
_TAKE_FREE = (
    "UPDATE shard_rows SET agent_id = taken.agent_id, epoch = epoch + 1, seq = 0"
    " FROM unnest($1::int[], $2::int[], $3::uuid[]) AS taken(shard, row, agent_id)"
    " WHERE shard_rows.shard = taken.shard AND shard_rows.row = taken.row"
    " AND shard_rows.agent_id IS NULL RETURNING shard_rows.shard, shard_rows.row, epoch"
)
_TAKE_NEW = (
    "INSERT INTO shard_rows (shard, row, agent_id, epoch)"
    " SELECT shard, row, agent_id, 1 FROM unnest($1::int[], $2::int[], $3::uuid[])"
    " AS taken(shard, row, agent_id)"
)
_INSERT = (
    "INSERT INTO agents (id, user_id, name, symbol, timeframe, strategy_name, strategy_params,"
    " interval_seconds, live_mode, risk_params, plan_id, shard, row, epoch, wanted, asked_epoch,"
    " created_at)"
    " SELECT id, user_id, name, symbol, timeframe, strategy_name, strategy_params::jsonb,"
    " interval_seconds, live_mode, risk_params::jsonb, plan_id, shard, row, epoch, wanted, epoch,"
    " now() + place * interval '1 microsecond'"
    " FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],"
    " $7::text[], $8::int[], $9::bool[], $10::text[], $11::int[], $12::int[], $13::int[],"
    " $14::bigint[], $15::text[]) WITH ORDINALITY AS made(id, user_id, name, symbol, timeframe,"
    " strategy_name, strategy_params, interval_seconds, live_mode, risk_params, plan_id, shard,"
    " row, epoch, wanted, place) RETURNING "
)


@dataclass(slots=True)
class Plot:
    """A shard while rows are given out; next_row is the first one that was never given."""

    next_row: int
    taken: int
    frozen: bool
    symbols: set[str] = field(default_factory=set)

    @property
    def free(self) -> int:
        """Rows that were given back."""
        return self.next_row - self.taken


async def create_agents(database: Database, new: Sequence[NewAgent], quota: int = 0) -> list[Agent]:
    """Makes agents, each with a row of its own; the answer keeps the order.

    quota: how many an account may have where no operator has set another number, 0: any.

    Raises:
        NoSuchPlan, NoSuchUser: one of them names one that does not exist; none is made.
        TooManyAgents: an account would have more than it may; none is made.
    """
    async with transaction(database) as con:
        return await place_agents(con, new, quota)


async def create_agent(database: Database, new: NewAgent, quota: int = 0) -> Agent:
    """The same for one."""
    return (await create_agents(database, [new], quota))[0]


async def place_agents(con: Connection, new: Sequence[NewAgent], quota: int = 0) -> list[Agent]:
    """The same inside of a transaction, which a refusal ends."""
    for user_id, count in sorted(Counter(agent.user_id for agent in new).items()):
        await lock_account(con, user_id)
        limit = await agents_quota(con, user_id, quota)
        if limit and await room_for_agents(con, user_id, limit) < count:
            raise TooManyAgents(limit)
    await con.execute("SELECT pg_advisory_xact_lock($1)", PLACES_LOCK)
    plots = await read_plots(con, {agent.symbol for agent in new})
    known = set(plots)
    shards = [_take(plots, agent.symbol) for agent in new]
    symbols = {s: agent.symbol for s, agent in zip(reversed(shards), reversed(new), strict=True)}
    opened = [(shard, symbol) for shard, symbol in symbols.items() if shard not in known]
    if opened:
        await con.executemany("INSERT INTO shards (id, symbol) VALUES ($1, $2)", opened)
    places = await _give_rows(con, plots, shards, new)
    values = [
        (*agent_values(agent), *place, agent.wanted)
        for agent, place in zip(new, places, strict=True)
    ]
    try:
        made = await con.fetch(
            _INSERT + COLUMNS, *(list(column) for column in zip(*values, strict=True))
        )
    except asyncpg.ForeignKeyViolationError as error:
        raise missing_reference(error) from error
    by_id = {agent.id: agent for agent in map(agent_of, made)}
    return [by_id[agent.id] for agent in new]


async def read_plots(con: Connection, symbols: set[str]) -> dict[int, Plot]:
    """Every shard with what it has given out, and which of these symbols it holds."""
    found = await con.fetch(_PLOTS)
    plots = {r["id"]: Plot(r["given"], r["given"] - r["free"], r["frozen"]) for r in found}
    for home in await con.fetch(_HOMES, sorted(symbols)):
        plots[home["shard"]].symbols.add(home["symbol"])
    return plots


def _take(plots: dict[int, Plot], symbol: str) -> int:
    """The shard of the next agent, which has a row less now."""
    fills = []
    for shard, plot in plots.items():
        # nothing of a frozen shard reaches the record: no place for a new agent
        room = 0 if plot.frozen else ROWS_PER_SHARD - plot.taken
        fills.append(ShardFill(shard, plot.taken, room, symbol in plot.symbols))
    shard = choose_shard(fills)
    plot = plots.setdefault(shard, Plot(0, 0, frozen=False))
    plot.taken += 1
    plot.symbols.add(symbol)
    return shard


async def _give_rows(
    con: Connection, plots: Mapping[int, Plot], shards: Sequence[int], new: Sequence[NewAgent]
) -> list[Place]:
    """A row for each: those that were given back first, then new ones."""
    wanted: dict[int, list[int]] = defaultdict(list)
    for index, shard in enumerate(shards):
        wanted[shard].append(index)
    free: dict[int, list[int]] = defaultdict(list)
    # plots count the new agents as taken by now, so what is left is less than what was there
    asked = [s for s, indices in wanted.items() if plots[s].free + len(indices) > 0]
    for row in await con.fetch(_FREE_ROWS, asked, [len(wanted[s]) for s in asked]) if asked else ():
        free[row["shard"]].append(row["row"])
    rows = [0] * len(new)
    fresh: list[int] = []
    reused: list[int] = []
    for shard, indices in wanted.items():
        given_back = free[shard]
        reused += indices[: len(given_back)]
        fresh += indices[len(given_back) :]
        never_given = range(plots[shard].next_row, ROWS_PER_SHARD)
        for index, row in zip(indices, [*given_back, *never_given], strict=False):
            rows[index] = row
    epochs = dict.fromkeys(range(len(new)), 1)
    if reused:
        found = await con.fetch(_TAKE_FREE, *_columns(reused, shards, rows, new))
        taken = {(row["shard"], row["row"]): row["epoch"] for row in found}
        epochs |= {index: taken[shards[index], rows[index]] for index in reused}
    if fresh:
        await con.execute(_TAKE_NEW, *_columns(fresh, shards, rows, new))
    return [(shard, rows[i], epochs[i]) for i, shard in enumerate(shards)]


def _columns(
    indices: Sequence[int], shards: Sequence[int], rows: Sequence[int], new: Sequence[NewAgent]
) -> tuple[list[int], list[int], list[object]]:
    """Shards, rows and agents of these, in the order of places: locks are taken in one order."""
    ordered = sorted(indices, key=lambda i: (shards[i], rows[i]))
    return [shards[i] for i in ordered], [rows[i] for i in ordered], [new[i].id for i in ordered]
