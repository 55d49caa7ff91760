"""POST /api/agents/bulk: up to 10,000 agents, each made or refused for itself.

They are made in parts, each in one transaction, with the commands of each shard in one push, so
that others who make agents come in between. What is refused is answered as it is for one, beside
its place in the list.
"""

import asyncio
import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta, Raw
from starlette.requests import Request
from starlette.responses import Response

from adapters.db import agents, repeatable
from adapters.db.agents import Agent, NewAgent
from adapters.db.errors import NoSuchUser
from adapters.db.plans import Plan
from adapters.db.repeatable import OtherBody, RequestKey
from adapters.redis_client import away_as_error
from api import commands
from api.agent_answers import AgentAnswer, tell
from api.agent_bodies import CreateAgent, read_configuration
from api.agents import idempotency_key, other_body
from api.answers import encoded_answer
from api.auth import caller_of, unauthorized
from api.bodies import Body, check_fields, read_json
from api.errors import Problem, ProblemAnswer, told_problem
from api.groups import send_commands
from api.hub import Hub, hub_of
from api.refusals import problem_of
from api.status_words import NO_STATE

SERVER_ERRORS = 500
ITEMS_MAX = 10_000
BULK_BYTES_MAX = 20_000_000
PART = 250
"""Agents that are made in one transaction: some 50 ms, for which others wait."""
CHECKED_AT_ONCE = 10
"""Bodies that are checked before others run: a few milliseconds."""


class CreateAgents(Body, frozen=True, kw_only=True):
    """The body of POST /api/agents/bulk."""

    agents: Annotated[list[Any], Meta(min_length=1, max_length=ITEMS_MAX)]


class DescribedAgents(Body, frozen=True, kw_only=True):
    """The same for the documentation: each is checked for itself, as a body of one."""

    agents: Annotated[list[CreateAgent], Meta(min_length=1, max_length=ITEMS_MAX)]


class AgentOfMany(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one: 201 with the agent, or a status with the refusal that it has alone."""

    index: int
    status: int
    agent: AgentAnswer | None = None
    problem: ProblemAnswer | None = None


class BulkAnswer(msgspec.Struct, frozen=True):
    """In the order of the request."""

    created: int
    refused: int
    results: list[AgentOfMany]


class _Made(msgspec.Struct, frozen=True):
    index: int
    agent: msgspec.Raw
    status: int = 201


class _Seen(msgspec.Struct, frozen=True):
    """What of a result is read again."""

    status: int
    agent: "_SeenAgent | None" = None


class _SeenAgent(msgspec.Struct, frozen=True):
    id: UUID


async def create_agents(request: Request) -> Response:
    """POST /api/agents/bulk: 200 with what became of each.

    With an Idempotency-Key what was made is not made again for 24 hours: a request that broke off
    is finished by its repetition.
    """
    hub, caller = hub_of(request), caller_of(request)
    key = idempotency_key(request)
    async with hub.turns.of(caller.user_id):
        given = await read_json(request, bytes_max=BULK_BYTES_MAX)
        bodies = check_fields(given, CreateAgents).agents
        hashed = b"" if key is None else await asyncio.to_thread(_hash, given)
        once = RequestKey(caller.user_id, key or "", hashed)
        results: list[bytes] = []
        for number, first in enumerate(range(0, len(bodies), PART)):
            part = _Part(hub, once, number, first, bodies[first : first + PART])
            results += await part.results(request)
    return encoded_answer(_joined(results))


def _hash(body: object) -> bytes:
    return sha256(json.dumps(body, sort_keys=True).encode()).digest()


def _joined(results: Sequence[bytes]) -> bytes:
    created = sum(msgspec.json.decode(each, type=_Seen).status == 201 for each in results)
    head = b'{"created":%d,"refused":%d,"results":[' % (created, len(results) - created)
    return head + b",".join(results) + b"]}"


def _refused(index: int, problem: Problem) -> bytes:
    told = AgentOfMany(index, problem.status, problem=told_problem(problem))
    return msgspec.json.encode(told)


class _Part:
    """Some of the bodies of a request; first is the place of the first of them."""

    def __init__(
        self, hub: Hub, once: RequestKey, number: int, first: int, bodies: Sequence[object]
    ) -> None:
        self._hub = hub
        self._once = once
        self._number = number
        self._places = range(first, first + len(bodies))
        self._bodies = bodies
        self._new: dict[int, NewAgent] = {}
        self._plans: dict[int, Plan] = {}
        self._refused: dict[int, bytes] = {}

    async def results(self, request: Request) -> list[bytes]:
        """What became of each, as JSON.

        Raises:
            Problem: 422 where the key stands for another request, 401 where the account is gone.
        """
        try:
            return await self._make()
        except OtherBody as error:
            raise other_body() from error
        except NoSuchUser as error:
            raise unauthorized("the account is gone") from error
        except Exception as error:
            # What was made before stands, and is told; who repeats the request makes the rest.
            problem = problem_of(request, error)
            return [self._refused.get(place) or _refused(place, problem) for place in self._places]

    async def _make(self) -> list[bytes]:
        hub, user_id = self._hub, self._once.user_id
        await self._read()
        await commands.publish(hub, self._plans.values())
        async with away_as_error():
            for symbol in {new.symbol for new in self._new.values()}:
                await hub.prices.follow(symbol)
        answered = await repeatable.create_part_once(
            hub.database,
            self._once,
            self._number,
            list(self._new.values()),
            self._answer,
            hub.settings.agents_per_user,
        )
        told = [bytes(each) for each in msgspec.json.decode(answered.answer, type=list[Raw])]
        made = answered.made
        if made is None:
            # The first one may have got no further than its commit.
            seen = [msgspec.json.decode(each, type=_Seen).agent for each in told]
            ids = [each.id for each in seen if each is not None]
            made = await agents.unapplied_of(hub.database, user_id, ids)
        await send_commands(hub, made)
        return told

    async def _read(self) -> None:
        """Sorts the bodies into new agents and refusals."""
        hub, user_id = self._hub, self._once.user_id
        for count, (place, body) in enumerate(zip(self._places, self._bodies, strict=True)):
            if count % CHECKED_AT_ONCE == CHECKED_AT_ONCE - 1:
                await asyncio.sleep(0)
            try:
                wanted = read_configuration(body, hub.symbols, hub.no_live_mode)
                self._new[place], plan = await commands.planned_agent(hub, user_id, wanted)
                self._plans[plan.id] = plan
            except Problem as problem:
                if problem.status >= SERVER_ERRORS:
                    raise
                self._refused[place] = _refused(place, problem)

    def _answer(self, made: Sequence[Agent], quota: int) -> bytes:
        """The first of the new ones were made; the others are beyond the quota."""
        places = list(self._new)
        results = dict(self._refused)
        for place, agent in zip(places, made, strict=False):
            encoded = msgspec.Raw(tell(agent, NO_STATE).encoded)
            results[place] = msgspec.json.encode(_Made(place, encoded))
        for place in places[len(made) :]:
            results[place] = _refused(place, commands.too_many_agents(quota))
        return b"[" + b",".join(results[place] for place in self._places) + b"]"
