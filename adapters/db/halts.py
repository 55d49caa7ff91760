"""Who holds back what: agents, accounts, the fleet. Each change is written down with who and why.

What an owner and what an operator has set stand beside each other, and the stricter counts: nobody
lifts what an operator has set but an operator. Locks are taken as everywhere: the account, its
agents, then their rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from adapters.db.agents import COLUMNS, Agent, agent_of, lock_account
from adapters.db.connection import (
    LONG_S,
    Connection,
    Database,
    connection,
    long_transaction,
    transaction,
)
from engine.rows import Halt

Scope = Literal["agent", "account", "fleet"]

_SAY = (
    "INSERT INTO halt_changes (scope, agent_id, user_id, state, made_by, as_operator, why)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7)"
)
_SET = (
    " SET halt = CASE WHEN $3 THEN halt ELSE $2 END,"
    " halt_by_operator = CASE WHEN $3 THEN $2 ELSE halt_by_operator END WHERE id = $1"
)
_SET_AGENT = "UPDATE agents" + _SET + " AND wanted <> 'deleted' RETURNING user_id"
_SET_ACCOUNT = "UPDATE users" + _SET + " RETURNING greatest(halt, halt_by_operator)"
_TELL_AGENT = (
    "WITH mine AS (SELECT id, shard, row FROM agents WHERE id = $1),"
    " given AS (UPDATE shard_rows SET epoch = epoch + 1 FROM mine"
    " WHERE shard_rows.shard = mine.shard AND shard_rows.row = mine.row"
    " RETURNING mine.id AS agent, shard_rows.epoch AS new_epoch)"
    " UPDATE agents SET epoch = new_epoch, updated_at = clock_timestamp()"
    " FROM given WHERE id = given.agent RETURNING "
)
_TELL_ACCOUNT = (
    "WITH mine AS (SELECT id, shard, row FROM agents WHERE user_id = $1 AND wanted <> 'deleted'"
    " AND (applied_epoch < epoch"
    " OR ($2::smallint <> $3::smallint"
    " AND greatest(halt, halt_by_operator) < greatest($2::smallint, $3::smallint)))"
    " ORDER BY id FOR NO KEY UPDATE),"
    " given AS (UPDATE shard_rows SET epoch = epoch + 1 FROM mine"
    " WHERE shard_rows.shard = mine.shard AND shard_rows.row = mine.row"
    " RETURNING mine.id AS agent, shard_rows.epoch AS new_epoch)"
    " UPDATE agents SET epoch = new_epoch, updated_at = clock_timestamp()"
    " FROM given WHERE id = given.agent RETURNING "
)


@dataclass(frozen=True, slots=True)
class HaltOrder:
    """What is to hold from now on, who says so, as what, and why."""

    state: Halt
    made_by: UUID
    as_operator: bool
    why: str | None


@dataclass(frozen=True, slots=True)
class HaltChange:
    """An order as it was written down; the ids are None where it is of no single one."""

    at: datetime
    scope: Scope
    agent_id: UUID | None
    user_id: UUID | None
    state: Halt
    made_by: UUID
    as_operator: bool
    why: str | None


@dataclass(frozen=True, slots=True)
class Fleet:
    """How far everybody is held back. epoch counts the changes."""

    halt: Halt
    epoch: int


async def halt_agent(database: Database, agent_id: UUID, order: HaltOrder) -> Agent | None:
    """Under a new epoch, also when nothing differs; None for an agent that is missing or going."""
    async with transaction(database) as con:
        values = (agent_id, int(order.state), order.as_operator)
        found = await con.fetchrow(_SET_AGENT, *values)
        if found is None:
            return None
        await _say(con, "agent", agent_id, found["user_id"], order)
        changed = await con.fetchrow(_TELL_AGENT + COLUMNS, agent_id)
    assert changed is not None
    return agent_of(changed)


async def halt_account(database: Database, user_id: UUID, order: HaltOrder) -> list[Agent] | None:
    """Answers the agents that it makes a difference to, each under a new epoch, and those whose
    rows have not seen their newest one yet; None where there is no such account.
    """
    async with long_transaction(database) as con:
        await lock_account(con, user_id)
        before = await con.fetchrow(
            "SELECT greatest(halt, halt_by_operator) AS halt FROM users WHERE id = $1"
            " FOR NO KEY UPDATE",
            user_id,
        )
        if before is None:
            return None
        values = (user_id, int(order.state), order.as_operator)
        after = await con.fetchval(_SET_ACCOUNT, *values)
        await _say(con, "account", None, user_id, order)
        told = (user_id, before["halt"], after)
        changed = await con.fetch(_TELL_ACCOUNT + COLUMNS, *told, timeout=LONG_S)
    return [agent_of(row) for row in changed]


async def halt_fleet(database: Database, order: HaltOrder) -> Fleet:
    """Holds everybody back; the shards have to be told, each one of them."""
    async with transaction(database) as con:
        await _say(con, "fleet", None, None, order)
        made = await con.fetchrow(
            "UPDATE fleet SET halt = $1, epoch = epoch + 1 RETURNING halt, epoch", int(order.state)
        )
    assert made is not None
    return Fleet(Halt(made["halt"]), made["epoch"])


async def fleet(database: Database) -> Fleet:
    """How far everybody is held back now."""
    async with connection(database) as con:
        found = await con.fetchrow(
            "SELECT coalesce(max(halt), 0) AS halt, coalesce(max(epoch), 0) AS epoch FROM fleet"
        )
    assert found is not None
    return Fleet(Halt(found["halt"]), found["epoch"])


async def halt_of_account(database: Database, user_id: UUID) -> Halt:
    """The stricter of what the account itself and an operator have set; ACTIVE for no account."""
    async with connection(database) as con:
        found = await con.fetchval(
            "SELECT greatest(halt, halt_by_operator) FROM users WHERE id = $1", user_id
        )
    return Halt(found or 0)


async def changes(database: Database, user_id: UUID | None, limit: int) -> Sequence[HaltChange]:
    """Newest first: of everybody, or those that an account is concerned by."""
    async with connection(database) as con:
        found = await con.fetch(
            "SELECT at, scope, agent_id, user_id, state, made_by, as_operator, why"
            " FROM halt_changes WHERE $1::uuid IS NULL OR user_id = $1 OR scope = 'fleet'"
            " ORDER BY id DESC LIMIT $2",
            user_id,
            limit,
        )
    return [HaltChange(**(dict(row) | {"state": Halt(row["state"])})) for row in found]


async def _say(
    con: Connection, scope: Scope, agent_id: UUID | None, user_id: UUID | None, order: HaltOrder
) -> None:
    values = (int(order.state), order.made_by, order.as_operator, order.why)
    await con.execute(_SAY, scope, agent_id, user_id, *values)
