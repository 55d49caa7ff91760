"""Agents: what their owners want, where they lie, and how much of it their rows have seen.

A wanted state gets its epoch in the transaction that writes it, counted on from the row's last
one whoever held the row, so that no late command of a former holder can apply. Locks are taken
in one order everywhere: agent, then its row.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID, uuid4

import asyncpg
import msgspec

from adapters.db.connection import Connection, Database, connection, transaction
from adapters.db.errors import BadCursor, NoSuchPlan, NoSuchUser

Wanted = Literal["running", "stopped", "deleted", "failed"]
AgentStatus = Literal["creating", "running", "stopped", "error"]

PLACES_LOCK = 0x41525503
"""Advisory lock under which rows are given out."""

AGENTS_A_PIECE = 500
"""Of a long list, before others run: some milliseconds."""

_ACCOUNT_LOCK = 0x4153
"""First half of the advisory lock of an account; the second is a hash of its id."""

_SELECT = (
    "SELECT id, user_id, name, symbol, timeframe, strategy_name, strategy_params,"
    " interval_seconds, live_mode, risk_params, plan_id, shard, row, epoch, wanted,"
    " close_position, asked_epoch, applied_epoch, status, status_detail, created_at, updated_at,"
    " greatest(agents.halt, agents.halt_by_operator, (SELECT greatest(halt, halt_by_operator)"
    " FROM users WHERE users.id = agents.user_id)) AS halt,"
    " (SELECT coalesce(max(halt), 0) FROM fleet) AS fleet_halt"
    " FROM agents"
)
AGENT_BY_ID = _SELECT + " WHERE id = $1"
COLUMNS = _SELECT.removeprefix("SELECT ").removesuffix(" FROM agents")
CHANGE_WANTED = (
    "WITH given AS (UPDATE shard_rows SET epoch = epoch + 1 WHERE shard = $1 AND row = $2"
    " RETURNING epoch AS new_epoch) UPDATE agents SET wanted = $4, close_position = $5,"
    " epoch = new_epoch, asked_epoch = new_epoch, updated_at = clock_timestamp()"
    " FROM given WHERE id = $3 RETURNING "
)


@dataclass(frozen=True, slots=True)
class NewAgent:
    """An agent to be made. wanted is running or stopped."""

    user_id: UUID
    name: str
    symbol: str
    timeframe: str
    strategy_name: str
    strategy_params: Mapping[str, Any]
    interval_seconds: int
    risk_params: Mapping[str, Any]
    plan_id: int
    live_mode: bool = False
    wanted: Wanted = "running"
    id: UUID = field(default_factory=uuid4)


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """Wanted state with its epoch; status and status_detail are those of its newest stored event.

    asked_epoch is the one in which `wanted` was asked for; edits since have newer ones.
    applied_epoch below epoch: the command may still be on its way. updated_at: of wanted.
    halt is engine.rows.Halt: the strictest of the agent's and its account's, by whomever;
    fleet_halt comes on top, and goes to shards instead of rows.
    """

    id: UUID
    user_id: UUID
    name: str
    symbol: str
    timeframe: str
    strategy_name: str
    strategy_params: Mapping[str, Any]
    interval_seconds: int
    live_mode: bool
    risk_params: Mapping[str, Any]
    plan_id: int
    shard: int
    row: int
    epoch: int
    wanted: Wanted
    close_position: bool
    asked_epoch: int
    applied_epoch: int
    status: AgentStatus
    status_detail: str
    created_at: datetime
    updated_at: datetime
    halt: int = 0
    fleet_halt: int = 0

    @property
    def cursor(self) -> str:
        """Names this agent's place in a list, for `after`."""
        micros = (self.created_at - _EPOCH) // timedelta(microseconds=1)
        return f"{micros}-{self.id.hex}"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def lock_account(con: Connection, user_id: UUID) -> None:
    """Until the transaction ends nobody else makes agents for an account or holds them back.

    Not its row, which the ledger locks whenever it stores anything of the account.
    """
    await con.execute(
        "SELECT pg_advisory_xact_lock($1, hashtext($2::text))", _ACCOUNT_LOCK, str(user_id)
    )


async def get_agent(database: Database, user_id: UUID, agent_id: UUID) -> Agent | None:
    """One agent of an owner; None when it is missing, being deleted or somebody else's."""
    async with connection(database) as con:
        found = await con.fetchrow(
            f"{_SELECT} WHERE id = $1 AND user_id = $2 AND wanted <> 'deleted'", agent_id, user_id
        )
    return None if found is None else agent_of(found)


async def list_agents(
    database: Database,
    user_id: UUID,
    status: AgentStatus | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> list[Agent]:
    """An owner's agents, oldest first; `after` is the cursor of the last one of the page before.

    Raises:
        BadCursor: after is none of ours.
    """
    since, last = _read_cursor(after)
    async with connection(database) as con:
        found = await con.fetch(
            f"{_SELECT} WHERE user_id = $1 AND wanted <> 'deleted'"
            " AND ($2::text IS NULL OR status = $2) AND (created_at, id) > ($3, $4)"
            " ORDER BY created_at, id LIMIT $5",
            user_id,
            status,
            since,
            last,
            limit,
        )
    return await _in_pieces(found)


async def set_wanted(
    database: Database, user_id: UUID, agent_id: UUID, wanted: Wanted, close_position: bool
) -> Agent | None:
    """Changes what the owner wants and gives it a new epoch, also when nothing differs.

    Deleting is final: asked again it answers with the same epoch, anything else with None.
    None, too, for an agent that is missing or somebody else's.
    """
    async with transaction(database) as con:
        found = await con.fetchrow(
            f"{_SELECT} WHERE id = $1 AND user_id = $2 FOR NO KEY UPDATE", agent_id, user_id
        )
        if found is None:
            return None
        if found["wanted"] == "deleted":
            return agent_of(found) if wanted == "deleted" else None
        changed = await con.fetchrow(
            CHANGE_WANTED + COLUMNS,
            found["shard"],
            found["row"],
            agent_id,
            wanted,
            close_position,
        )
    assert changed is not None
    return agent_of(changed)


async def delete(database: Database, user_id: UUID, agent_id: UUID) -> Agent | None:
    """Wants an agent deleted, its position closed. The ledger removes the record at the event."""
    return await set_wanted(database, user_id, agent_id, "deleted", close_position=True)


async def unapplied(database: Database, older_than_s: float, limit: int) -> list[Agent]:
    """Agents whose row has not seen the newest wanted state for so long, longest first.

    The chore that pushes commands again takes these; deleted ones are among them. Where there are
    more than limit they are drawn, of each owner as many as of the others: an owner with thousands
    holds up nobody, and the oldest of a frozen shard would be the same ones each time.
    """
    async with connection(database) as con:
        found = await con.fetch(
            f"{_SELECT} WHERE applied_epoch < epoch"
            " AND updated_at <= clock_timestamp() - $1::interval"
            " ORDER BY row_number() OVER (PARTITION BY user_id ORDER BY random()), random()"
            " LIMIT $2",
            timedelta(seconds=older_than_s),
            limit,
        )
    return sorted(map(agent_of, found), key=lambda agent: (agent.updated_at, agent.id))


async def unapplied_of(database: Database, user_id: UUID, ids: Sequence[UUID]) -> list[Agent]:
    """Those of these agents of an owner whose row has not seen the newest wanted state."""
    async with connection(database) as con:
        found = await con.fetch(
            f"{_SELECT} WHERE id = ANY($1) AND user_id = $2 AND applied_epoch < epoch ORDER BY id",
            list(ids),
            user_id,
        )
    return [agent_of(row) for row in found]


async def agents_of_shard(
    database: Database, shard: int, rows: Sequence[int] | None = None
) -> list[Agent]:
    """Every agent of a shard by row, or those of some rows; those being deleted too."""
    async with connection(database) as con:
        found = await con.fetch(
            f"{_SELECT} WHERE shard = $1 AND ($2::int[] IS NULL OR row = ANY($2)) ORDER BY row",
            shard,
            rows,
        )
    return await _in_pieces(found)


async def _in_pieces(found: Sequence[asyncpg.Record]) -> list[Agent]:
    """Agents of a long list, while others run."""
    listed: list[Agent] = []
    for begin in range(0, len(found), AGENTS_A_PIECE):
        listed += map(agent_of, found[begin : begin + AGENTS_A_PIECE])
        await asyncio.sleep(0)
    return listed


async def wishes_of_shard(database: Database, shard: int) -> list[tuple[int, int, int]]:
    """(row, epoch, plan) of every agent of a shard, those being deleted too: what it takes to see
    which rows lack a wanted state.
    """
    async with connection(database) as con:
        found = await con.fetch("SELECT row, epoch, plan_id FROM agents WHERE shard = $1", shard)
    return [(row["row"], row["epoch"], row["plan_id"]) for row in found]


async def every_id(database: Database) -> list[UUID]:
    """All agents but those being deleted."""
    async with connection(database) as con:
        found = await con.fetch("SELECT id FROM agents WHERE wanted <> 'deleted' ORDER BY id")
    return [UUID(bytes=row["id"].bytes) for row in found]


async def count(database: Database, user_id: UUID | None = None) -> int:
    """How many agents there are, or one owner has; those being deleted are not counted."""
    async with connection(database) as con:
        found = await con.fetchval(
            "SELECT count(*) FROM agents WHERE wanted <> 'deleted'"
            " AND ($1::uuid IS NULL OR user_id = $1)",
            user_id,
        )
    return int(found)


def agent_values(new: NewAgent) -> tuple[Any, ...]:
    """The columns id to plan_id, in their order."""
    return (
        new.id,
        new.user_id,
        new.name,
        new.symbol,
        new.timeframe,
        new.strategy_name,
        json.dumps(dict(new.strategy_params)),
        new.interval_seconds,
        new.live_mode,
        json.dumps(dict(new.risk_params)),
        new.plan_id,
    )


def missing_reference(error: asyncpg.ForeignKeyViolationError) -> NoSuchPlan | NoSuchUser:
    """Which of an agent's references does not exist."""
    if "plan" in (error.constraint_name or ""):
        return NoSuchPlan("the agent's plan does not exist")
    return NoSuchUser("the agent's owner does not exist")


def placed(
    new: NewAgent, place: tuple[int, int, int], now: datetime, halt: int, fleet_halt: int
) -> Agent:
    """The agent that a new one becomes in its place: (shard, row, epoch)."""
    shard, row, epoch = place
    values = {name: getattr(new, name) for name in NewAgent.__slots__}
    return Agent(
        **values,
        shard=shard,
        row=row,
        epoch=epoch,
        close_position=True,
        asked_epoch=epoch,
        applied_epoch=0,
        status="creating",
        status_detail="",
        created_at=now,
        updated_at=now,
        halt=halt,
        fleet_halt=fleet_halt,
    )


def agent_of(found: asyncpg.Record) -> Agent:
    """The agent of a row of COLUMNS."""
    values = dict(found)
    values["strategy_params"] = _parameters(values["strategy_params"])
    values["risk_params"] = _parameters(values["risk_params"])
    return Agent(**values)


@lru_cache(maxsize=4096)
def _parameters(text: str) -> Mapping[str, Any]:
    """Parameters out of their JSON; many agents have the same and share it, so nobody writes."""
    parameters: dict[str, Any] = json.loads(text)
    return parameters


def _read_cursor(after: str | None) -> tuple[datetime, UUID]:
    if after is None:
        return _EPOCH, UUID(int=0)
    micros, _, agent = after.partition("-")
    try:
        return _EPOCH + timedelta(microseconds=int(micros)), UUID(hex=agent)
    except (ValueError, OverflowError) as error:
        raise BadCursor("no cursor of a list of agents") from error
