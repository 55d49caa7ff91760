"""Agents: create, get, start, stop, delete, status."""

import json
import re
from hashlib import sha256
from typing import NoReturn
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from adapters.db import agents
from adapters.db.agents import Agent
from adapters.db.repeatable import OtherBody, RequestKey
from adapters.redis_client import away_as_error
from api import commands
from api.agent_answers import encode_elsewhere, tell
from api.agent_bodies import read_configuration
from api.answers import encoded_answer, no_content
from api.auth import agent_id_of, caller_of
from api.bodies import Body, Nothing, read_body, read_json
from api.errors import FieldError, Problem, bad_input, not_found
from api.hub import Hub, hub_of
from api.status_words import NO_STATE, is_unsettled, state_of

IDEMPOTENCY_HEADER = "Idempotency-Key"


class StopAgent(Body, frozen=True, kw_only=True):
    """The body of POST /api/agents/{id}/stop."""

    close_position: bool = True


async def create_agent(request: Request) -> Response:
    """POST /api/agents: 201 with the agent, once its command is in the inbox.

    With an Idempotency-Key the same request has the same answer for 24 hours.
    """
    hub, caller = hub_of(request), caller_of(request)
    key = idempotency_key(request)
    body = await read_json(request)
    wanted = read_configuration(body, hub.symbols, hub.no_live_mode)
    async with away_as_error():
        await hub.prices.follow(wanted.symbol)
    if key is None:
        agent = await commands.create_agent(hub, caller.user_id, wanted)
        return _created(agent.id, _first_answer(agent))
    body_hash = sha256(json.dumps(body, sort_keys=True).encode()).digest()
    once = RequestKey(caller.user_id, key, body_hash)
    try:
        answered = await commands.create_agent_once(hub, once, wanted, _first_answer)
    except OtherBody as error:
        raise other_body() from error
    return _created(answered.agent_id, answered.answer)


def other_body() -> Problem:
    """422: a key stands for one request."""
    message = "was used with another body in the last 24 hours"
    return bad_input([FieldError(IDEMPOTENCY_HEADER, message)])


def idempotency_key(request: Request) -> str | None:
    """What the caller calls its request, or None; Problem 422 for what is no key."""
    keys = request.headers.getlist(IDEMPOTENCY_HEADER)
    if not keys:
        return None
    if len(keys) > 1 or not re.fullmatch(r"[!-~]{1,255}", keys[0]):
        message = "expected one value of 1 to 255 visible ASCII characters"
        raise bad_input([FieldError(IDEMPOTENCY_HEADER, message)])
    return keys[0]


async def get_agent(request: Request) -> Response:
    """GET /api/agents/{id}."""
    hub = hub_of(request)
    agent = await known_agent(request)
    found = await hub.rows.row(agent.shard, agent.row)
    told = hub.answers.find(agent, found)
    if told is None:
        if is_unsettled(agent, state_of(agent, None if found is None else found[1])):
            agent = await hub.directory.again(agent) or _gone()
            found = await hub.rows.row(agent.shard, agent.row)
        told = hub.answers.make(agent, found)
    if await hub.statuses.running_elsewhere([agent]):
        return encoded_answer(encode_elsewhere(agent))
    return encoded_answer(hub.shims.shown(agent, told).encoded)


async def start_agent(request: Request) -> Response:
    """POST /api/agents/{id}/start."""
    hub = hub_of(request)
    agent = await own_agent(request)
    await read_body(request, Nothing, may_be_empty=True)
    agent = await commands.start_agent(hub, agent)
    return await row_answer(hub, agent)


async def stop_agent(request: Request) -> Response:
    """POST /api/agents/{id}/stop."""
    hub = hub_of(request)
    agent = await own_agent(request)
    body = await read_body(request, StopAgent, may_be_empty=True)
    agent = await commands.stop_agent(hub, agent, body.close_position)
    return await row_answer(hub, agent)


async def delete_agent(request: Request) -> Response:
    """DELETE /api/agents/{id}."""
    caller = caller_of(request)
    hub, agent_id = hub_of(request), agent_id_of(request)
    await commands.delete_agent(hub, caller.user_id, agent_id)
    return no_content()


async def get_status(request: Request) -> Response:
    """GET /api/agents/{id}/status."""
    hub, agent = hub_of(request), await known_agent(request)
    encoded = await hub.statuses.encoded(agent) or _gone()
    return encoded_answer(hub.shims.in_status(agent.id, encoded))


async def known_agent(request: Request) -> Agent:
    """The agent of the path if it is the caller's, else 404; without PostgreSQL where it can be.

    For reads: it is as the newest change has left it that anybody was told of.
    """
    hub = hub_of(request)
    user_id, agent_id = caller_of(request).user_id, agent_id_of(request)
    await hub.broadcasts.caught_up()
    return await hub.directory.get(user_id, agent_id) or _gone()


async def own_agent(request: Request) -> Agent:
    """The agent of the path if it is the caller's, else 404; as PostgreSQL has it now."""
    hub, caller = hub_of(request), caller_of(request)
    agent = await agents.get_agent(hub.database, caller.user_id, agent_id_of(request)) or _gone()
    hub.directory.keep([agent])
    return agent


async def row_answer(hub: Hub, agent: Agent) -> Response:
    """An agent that was just changed, with its status by its row."""
    told = tell(agent, state_of(agent, await commands.read_row(hub, agent)))
    return encoded_answer(hub.shims.shown(agent, told).encoded)


def _gone() -> NoReturn:
    raise not_found("agent")


def _first_answer(agent: Agent) -> bytes:
    return tell(agent, NO_STATE).encoded


def _created(agent_id: UUID, encoded: bytes) -> Response:
    headers = {"Location": f"/api/agents/{agent_id}"}
    return Response(encoded, 201, headers, "application/json")
