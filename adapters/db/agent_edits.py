"""Changes of what agents are to do, in the transaction that gives them their epochs.

Locks are taken as everywhere: users, agents, then their rows.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from adapters.db.agents import AGENT_BY_ID, COLUMNS, Agent, Wanted, agent_of
from adapters.db.connection import (
    LONG_S,
    Database,
    connection,
    long_transaction,
    transaction,
)

# what was told the same before, and has met it or is on its way, is left alone
_WANT_ALL = (
    "WITH mine AS (SELECT id, shard, row FROM agents WHERE user_id = $1 AND wanted <> 'deleted'"
    " AND NOT (wanted = $2 AND CASE $2 WHEN 'running'"
    " THEN applied_epoch < asked_epoch OR status = 'running'"
    " ELSE close_position = $3 AND applied_epoch >= asked_epoch END)"
    " ORDER BY id FOR NO KEY UPDATE),"
    " given AS (UPDATE shard_rows SET epoch = epoch + 1 FROM mine"
    " WHERE shard_rows.shard = mine.shard AND shard_rows.row = mine.row"
    " RETURNING mine.id AS agent, shard_rows.epoch AS new_epoch)"
    " UPDATE agents SET wanted = $2, close_position = $3, epoch = new_epoch,"
    " asked_epoch = new_epoch, updated_at = clock_timestamp()"
    " FROM given WHERE id = given.agent RETURNING "
)

_EDIT = (
    "UPDATE agents SET name = $2, symbol = $3, timeframe = $4, strategy_name = $5,"
    " strategy_params = $6::jsonb, interval_seconds = $7, risk_params = $8::jsonb,"
    " plan_id = $9, epoch = $10, wanted = coalesce($11::text, wanted),"
    " close_position = close_position OR $11::text IS NOT NULL,"
    " asked_epoch = CASE WHEN $11::text IS NULL THEN asked_epoch ELSE $10 END,"
    " updated_at = clock_timestamp() WHERE id = $1 RETURNING "
)


class AgentMoved(Exception):
    """Somebody else has changed the agent since it was read; nothing was written."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The whole configuration of an agent as it is to be from now on."""

    name: str
    symbol: str
    timeframe: str
    strategy_name: str
    strategy_params: Mapping[str, Any]
    interval_seconds: int
    risk_params: Mapping[str, Any]
    plan_id: int


async def find_agent(database: Database, agent_id: UUID) -> Agent | None:
    """One agent, whoever owns it; None when it is missing or being deleted.

    For callers that the internal secret lets in; everybody else asks with their own id.
    """
    async with connection(database) as con:
        found = await con.fetchrow(AGENT_BY_ID + " AND wanted <> 'deleted'", agent_id)
    return None if found is None else agent_of(found)


async def edit_agent(
    database: Database, before: Agent, edit: Edit, wanted: Wanted | None
) -> Agent | None:
    """Stores a configuration under a new epoch.

    wanted is asked for with it; None leaves what was asked for as it stands, with its epoch, so
    that an agent that stopped by itself is not started by the edit.
    None for an agent that is missing or being deleted.

    Raises:
        AgentMoved: the record is no longer the one that `before` was read from.
    """
    async with transaction(database) as con:
        found = await con.fetchrow(
            "SELECT epoch, wanted, shard, row FROM agents WHERE id = $1 AND user_id = $2"
            " FOR NO KEY UPDATE",
            before.id,
            before.user_id,
        )
        if found is None or found["wanted"] == "deleted":
            return None
        read = before.epoch, before.shard, before.row
        if (found["epoch"], found["shard"], found["row"]) != read:
            raise AgentMoved
        epoch = await con.fetchval(
            "UPDATE shard_rows SET epoch = epoch + 1 WHERE shard = $1 AND row = $2 RETURNING epoch",
            before.shard,
            before.row,
        )
        edited = await con.fetchrow(
            _EDIT + COLUMNS,
            before.id,
            edit.name,
            edit.symbol,
            edit.timeframe,
            edit.strategy_name,
            json.dumps(dict(edit.strategy_params)),
            edit.interval_seconds,
            json.dumps(dict(edit.risk_params)),
            edit.plan_id,
            epoch,
            wanted,
        )
    assert edited is not None
    return agent_of(edited)


async def want_all(
    database: Database, user_id: UUID, wanted: Wanted, close_position: bool
) -> list[Agent]:
    """Wants every agent of an owner running or stopped; answers those that it has changed.

    Left out are those that have met the same wish already, by their newest event on record. The
    account is locked first, as the ledger does it: two that lock many agents of one owner never
    wait for each other in a circle.
    """
    async with long_transaction(database) as con:
        await con.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)
        asked = (user_id, wanted, close_position)
        changed = await con.fetch(_WANT_ALL + COLUMNS, *asked, timeout=LONG_S)
    return [agent_of(row) for row in changed]
