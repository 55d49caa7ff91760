"""Requests that may be sent again: what was made and what was answered lie in one transaction.

A hub that dies between its commit and its answer therefore answers the repeated request with
what it would have said, and two that come at once wait for each other at the key.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from adapters.db.agents import Agent, NewAgent, lock_account
from adapters.db.connection import Database, connection, transaction
from adapters.db.creation import place_agents
from adapters.db.history import prune_in_batches
from adapters.db.quotas import agents_quota, room_for_agents

KEPT = timedelta(hours=24)
"""From then on a key is new again."""

_CLAIM = (
    "INSERT INTO repeatable_requests AS kept (user_id, key, body_hash) VALUES ($1, $2, $3)"
    " ON CONFLICT (user_id, key, part) DO UPDATE SET body_hash = excluded.body_hash,"
    " agent_id = NULL, answer = NULL, at = excluded.at"
    " WHERE kept.at < now() - $4::interval RETURNING true"
)


_CLAIM_PART = (
    "INSERT INTO repeatable_requests AS kept (user_id, key, part, body_hash)"
    " VALUES ($1, $2, $3, $4) ON CONFLICT (user_id, key, part) DO UPDATE"
    " SET body_hash = excluded.body_hash, agent_id = NULL, answer = NULL, at = excluded.at"
    " WHERE kept.at < now() - $5::interval RETURNING true"
)


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What a caller calls its request, and what was in it. key "": it is not to be remembered."""

    user_id: UUID
    key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a request. agent is new, or None where an earlier request has made it."""

    agent_id: UUID
    answer: bytes
    agent: Agent | None


@dataclass(frozen=True, slots=True)
class AnsweredPart:
    """The answer to a part of a request. made: the new agents, None where they were made before."""

    answer: bytes
    made: Sequence[Agent] | None


class OtherBody(Exception):
    """The key stands for a request with another body."""


async def create_agent_once(
    database: Database,
    request: RequestKey,
    new: NewAgent,
    answer_of: Callable[[Agent], bytes],
    quota: int = 0,
) -> Answered:
    """Makes an agent unless the same request has made one in the last 24 hours.

    Raises:
        OtherBody: the key was used for something else.
        NoSuchPlan, NoSuchUser, TooManyAgents: as create_agents.
    """
    async with transaction(database) as con:
        key = (request.user_id, request.key)
        claimed = await con.fetchval(_CLAIM, *key, request.body_hash, KEPT)
        if claimed:
            agent = (await place_agents(con, [new], quota))[0]
            answer = answer_of(agent)
            await con.execute(
                "UPDATE repeatable_requests SET agent_id = $3, answer = $4"
                " WHERE user_id = $1 AND key = $2 AND part = 0",
                *key,
                agent.id,
                answer,
            )
            return Answered(agent.id, answer, agent)
        found = await con.fetchrow(
            "SELECT body_hash, agent_id, answer FROM repeatable_requests"
            " WHERE user_id = $1 AND key = $2 AND part = 0",
            *key,
        )
    assert found is not None
    if found["body_hash"] != request.body_hash:
        raise OtherBody
    return Answered(found["agent_id"], found["answer"], None)


async def create_part_once(
    database: Database,
    request: RequestKey,
    part: int,
    new: Sequence[NewAgent],
    answer_of: Callable[[Sequence[Agent], int], bytes],
    default_quota: int,
) -> AnsweredPart:
    """Makes some of the agents of a request that is answered in parts, as many as the account may
    have, unless the same part was made in the last 24 hours. Without a key it is not remembered.

    answer_of: of the agents that were made, the first ones of `new`, and of the account's quota.

    Raises:
        OtherBody: the key was used for something else.
        NoSuchUser: the account is gone.
    """
    async with transaction(database) as con:
        if request.key:
            place = (request.user_id, request.key, part)
            if not await con.fetchval(_CLAIM_PART, *place, request.body_hash, KEPT):
                found = await con.fetchrow(
                    "SELECT body_hash, answer FROM repeatable_requests"
                    " WHERE user_id = $1 AND key = $2 AND part = $3",
                    *place,
                )
                assert found is not None
                if found["body_hash"] != request.body_hash:
                    raise OtherBody
                return AnsweredPart(found["answer"], None)
        await lock_account(con, request.user_id)
        quota = await agents_quota(con, request.user_id, default_quota)
        room = await room_for_agents(con, request.user_id, quota) if quota else len(new)
        made = await place_agents(con, new[: max(room, 0)]) if new and room > 0 else []
        answer = answer_of(made, quota)
        if request.key:
            await con.execute(
                "UPDATE repeatable_requests SET answer = $4"
                " WHERE user_id = $1 AND key = $2 AND part = $3",
                *place,
                answer,
            )
    return AnsweredPart(answer, made)


async def prune_requests(database: Database, before: datetime) -> int:
    """Removes requests of before a moment; answers how many."""
    async with connection(database) as con:
        return await prune_in_batches(
            con,
            "DELETE FROM repeatable_requests WHERE ctid IN"
            " (SELECT ctid FROM repeatable_requests WHERE at < $1 LIMIT $2)",
            before,
        )
