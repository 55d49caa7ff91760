"""Requests that may be sent again: what was made and what was answered lie in one transaction.

A hub that dies between its commit and its answer therefore answers the repeated request with
what it would have said, and two that come at once wait for each other at the key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from adapters.db.agents import Agent, NewAgent
from adapters.db.connection import Database, connection, transaction
from adapters.db.creation import place_agents
from adapters.db.history import prune_in_batches

KEPT = timedelta(hours=24)
"""From then on a key is new again."""

_CLAIM = (
    "INSERT INTO repeatable_requests AS kept (user_id, key, body_hash) VALUES ($1, $2, $3)"
    " ON CONFLICT (user_id, key) DO UPDATE SET body_hash = excluded.body_hash, agent_id = NULL,"
    " answer = NULL, at = excluded.at WHERE kept.at < now() - $4::interval RETURNING true"
)


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What a caller calls its request, and what was in it."""

    user_id: UUID
    key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a request. agent is new, or None where an earlier request has made it."""

    agent_id: UUID
    answer: bytes
    agent: Agent | None


class OtherBody(Exception):
    """The key stands for a request with another body."""


async def create_agent_once(
    database: Database, request: RequestKey, new: NewAgent, answer_of: Callable[[Agent], bytes]
) -> Answered:
    """Makes an agent unless the same request has made one in the last 24 hours.

    Raises:
        OtherBody: the key was used for something else.
        NoSuchPlan, NoSuchUser: as create_agents.
    """
    async with transaction(database) as con:
        key = (request.user_id, request.key)
        claimed = await con.fetchval(_CLAIM, *key, request.body_hash, KEPT)
        if claimed:
            agent = (await place_agents(con, [new]))[0]
            answer = answer_of(agent)
            await con.execute(
                "UPDATE repeatable_requests SET agent_id = $3, answer = $4"
                " WHERE user_id = $1 AND key = $2",
                *key,
                agent.id,
                answer,
            )
            return Answered(agent.id, answer, agent)
        found = await con.fetchrow(
            "SELECT body_hash, agent_id, answer FROM repeatable_requests"
            " WHERE user_id = $1 AND key = $2",
            *key,
        )
    assert found is not None
    if found["body_hash"] != request.body_hash:
        raise OtherBody
    return Answered(found["agent_id"], found["answer"], None)


async def prune_requests(database: Database, before: datetime) -> int:
    """Removes requests of before a moment; answers how many."""
    async with connection(database) as con:
        return await prune_in_batches(
            con,
            "DELETE FROM repeatable_requests WHERE ctid IN"
            " (SELECT ctid FROM repeatable_requests WHERE at < $1 LIMIT $2)",
            before,
        )
