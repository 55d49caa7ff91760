"""Agents that another hub knows as containers: which they are, and how far that hub was told.

What was told is a cursor beside the trades and log lines themselves, moved on after the other hub
has taken one. So nothing is lost by whoever tells it dying, nor by that hub being away for days.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import itemgetter
from uuid import UUID

from adapters.db.agents import Agent, NewAgent
from adapters.db.connection import Database, connection, transaction
from adapters.db.creation import place_agents
from adapters.db.records import LogLine, Trade

TRADES_AT_ONCE = 50
LINES_AT_ONCE = 500
_HOSTED = (
    "SELECT agent_id FROM callbacks JOIN agents ON agents.id = agent_id"
    " WHERE callbacks.user_id = $1 AND outside_id = $2 AND hub_url = $3 AND wanted <> 'deleted'"
)
# a trade is due for its opening, or for its close alone; ts of a line only bounds what is looked
# at, since an event may be stored after a line of a later second
_LIST = (
    "SELECT c.agent_id, outside_id, hub_url, secret,"
    " EXISTS (SELECT FROM trades t WHERE t.agent_id = c.agent_id AND t.origin = 'pool'"
    " AND (t.seq > c.trade_seq"
    " OR (t.seq = c.trade_seq AND NOT c.close_told AND t.closed_at IS NOT NULL)))"
    " OR EXISTS (SELECT FROM logs l WHERE l.agent_id = c.agent_id"
    " AND l.ts > c.log_ts - interval '1 hour' AND l.seq > c.log_seq) AS is_due,"
    " NOT EXISTS (SELECT FROM agents WHERE agents.id = c.agent_id) AS is_over"
    " FROM callbacks c WHERE c.user_id = $1"
)
_TRADES_DUE = (
    "SELECT t.seq > c.trade_seq AS opening, t.id, t.agent_id, t.user_id, t.seq, symbol, side,"
    " strategy_name, quantity, leverage, entry_price, exit_price, fee_usd, pnl_usd, open_reason,"
    " close_reason, opened_at, closed_at, mode FROM callbacks c JOIN trades t"
    " ON t.agent_id = c.agent_id AND t.origin = 'pool' AND t.seq >= c.trade_seq"
    " AND (t.seq > c.trade_seq OR (NOT c.close_told AND t.closed_at IS NOT NULL))"
    " WHERE c.agent_id = $1 ORDER BY t.seq LIMIT $2"
)
_LINES_DUE = (
    "SELECT l.seq, l.ts, l.level, l.message, l.id FROM callbacks c JOIN logs l"
    " ON l.agent_id = c.agent_id AND l.ts > c.log_ts - interval '1 hour' AND l.seq > c.log_seq"
    " WHERE c.agent_id = $1 ORDER BY l.seq FETCH FIRST $2 ROWS WITH TIES"
)
_FORGET = (
    "DELETE FROM callbacks c WHERE agent_id = $1"
    " AND NOT EXISTS (SELECT FROM agents WHERE agents.id = c.agent_id)"
    " AND NOT EXISTS (SELECT FROM trades t WHERE t.agent_id = c.agent_id AND t.origin = 'pool'"
    " AND (t.seq > c.trade_seq OR (t.seq = c.trade_seq AND NOT c.close_told)))"
)


@dataclass(frozen=True, slots=True)
class Callback:
    """An agent of the pool and where it is reported. secret is sealed.

    is_due: that hub has not been told of some trade or log line. is_over: the agent is gone.
    """

    agent_id: UUID
    outside_id: UUID
    hub_url: str
    secret: bytes
    is_due: bool
    is_over: bool


@dataclass(frozen=True, slots=True)
class TradeNews:
    """A trade of which the other hub has not been told everything: not its close, and where
    `opening` is set, not its opening either.
    """

    trade: Trade[Decimal]
    opening: bool


async def hosted_agent(
    database: Database, user_id: UUID, outside_id: UUID, hub_url: str
) -> UUID | None:
    """The agent that stands for one of another hub; None while there is none."""
    async with connection(database) as con:
        found: UUID | None = await con.fetchval(_HOSTED, user_id, outside_id, hub_url)
    return found


async def host_agent(
    database: Database,
    new: NewAgent,
    outside_id: UUID,
    hub_url: str,
    secret: bytes,
    quota: int = 0,
) -> Agent | None:
    """Makes the agent that stands for one of another hub; None where somebody has just made it.

    Raises NoSuchPlan, NoSuchUser, TooManyAgents.
    """
    async with transaction(database) as con:
        name = f"{new.user_id} {outside_id} {hub_url}"
        await con.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", name)
        if await con.fetchval(_HOSTED, new.user_id, outside_id, hub_url) is not None:
            return None
        agent = (await place_agents(con, [new], quota))[0]
        await con.execute(
            "INSERT INTO callbacks (agent_id, user_id, outside_id, hub_url, secret)"
            " VALUES ($1, $2, $3, $4, $5)",
            agent.id,
            new.user_id,
            outside_id,
            hub_url,
            secret,
        )
    return agent


async def put_secret(database: Database, agent_id: UUID, secret: bytes) -> None:
    """That hub's internal secret, sealed."""
    async with connection(database) as con:
        await con.execute("UPDATE callbacks SET secret = $2 WHERE agent_id = $1", agent_id, secret)


async def list_callbacks(database: Database, user_id: UUID) -> Sequence[Callback]:
    """All of an account's, those of agents that are gone while something is still to be told."""
    async with connection(database) as con:
        found = await con.fetch(_LIST, user_id)
    return [Callback(**dict(row)) for row in found]


async def hosted_ids(database: Database) -> set[UUID]:
    """Every agent that stands for one of another hub."""
    async with connection(database) as con:
        found = await con.fetch("SELECT agent_id FROM callbacks")
    return {UUID(bytes=row["agent_id"].bytes) for row in found}


async def trades_due(database: Database, agent_id: UUID) -> Sequence[TradeNews]:
    """What the other hub has not been told of an agent's trades, oldest first, a page of it."""
    async with connection(database) as con:
        found = await con.fetch(_TRADES_DUE, agent_id, TRADES_AT_ONCE)
    return [TradeNews(Trade[Decimal](*tuple(row)[1:]), row["opening"]) for row in found]


async def lines_due(database: Database, agent_id: UUID) -> Sequence[LogLine]:
    """The log lines that it has not been told, oldest first; those of one event stay together."""
    async with connection(database) as con:
        found = await con.fetch(_LINES_DUE, agent_id, LINES_AT_ONCE)
    ordered = sorted(found, key=itemgetter("seq", "id"))
    return [LogLine(row["seq"], row["ts"], row["level"], row["message"]) for row in ordered]


async def trade_told(database: Database, agent_id: UUID, seq: int, *, closed: bool) -> None:
    """The other hub has taken the opening of the trade `seq`, and its close if `closed`."""
    async with connection(database) as con:
        await con.execute(
            "UPDATE callbacks SET trade_seq = $2, close_told = $3"
            " WHERE agent_id = $1 AND trade_seq <= $2",
            agent_id,
            seq,
            closed,
        )


async def lines_told(database: Database, agent_id: UUID, newest: LogLine) -> None:
    """It has taken the log lines up to this one."""
    async with connection(database) as con:
        await con.execute(
            "UPDATE callbacks SET log_seq = $2, log_ts = $3 WHERE agent_id = $1 AND log_seq < $2",
            agent_id,
            newest.seq,
            newest.ts,
        )


async def forget_callback(database: Database, agent_id: UUID) -> None:
    """Nothing is to be told of an agent any more. Only of one that is gone."""
    async with connection(database) as con:
        await con.execute(_FORGET, agent_id)
