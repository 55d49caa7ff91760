"""Changes of what an agent is to do, in the transaction that gives them their epoch.

Locks are taken as everywhere: the agent, then its row.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from adapters.db import agents
from adapters.db.agents import Agent, Wanted
from adapters.db.connection import Database, connection, transaction


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
        owner = await con.fetchval("SELECT user_id FROM agents WHERE id = $1", agent_id)
    return None if owner is None else await agents.get_agent(database, owner, agent_id)


async def edit_agent(
    database: Database, user_id: UUID, agent_id: UUID, edit: Edit, wanted: Wanted
) -> Agent | None:
    """Stores a configuration and a wanted state under one new epoch.

    None for an agent that is missing, being deleted or somebody else's.
    """
    async with transaction(database) as con:
        place = await con.fetchrow(
            "SELECT shard, row FROM agents WHERE id = $1 AND user_id = $2"
            " AND wanted <> 'deleted' FOR NO KEY UPDATE",
            agent_id,
            user_id,
        )
        if place is None:
            return None
        epoch = await con.fetchval(
            "UPDATE shard_rows SET epoch = epoch + 1 WHERE shard = $1 AND row = $2 RETURNING epoch",
            place["shard"],
            place["row"],
        )
        await con.execute(
            "UPDATE agents SET name = $2, symbol = $3, timeframe = $4, strategy_name = $5,"
            " strategy_params = $6::jsonb, interval_seconds = $7, risk_params = $8::jsonb,"
            " plan_id = $9, wanted = $10, close_position = true, epoch = $11,"
            " updated_at = clock_timestamp() WHERE id = $1",
            agent_id,
            edit.name,
            edit.symbol,
            edit.timeframe,
            edit.strategy_name,
            json.dumps(dict(edit.strategy_params)),
            edit.interval_seconds,
            json.dumps(dict(edit.risk_params)),
            edit.plan_id,
            wanted,
            epoch,
        )
    return await agents.get_agent(database, user_id, agent_id)
