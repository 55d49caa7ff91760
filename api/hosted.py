"""Agents of other hubs: each stands for a container that such a hub has started, and is run here.

That container holds our endpoint and nothing else. It says which agent of which hub it is, and how
that hub is to be told what the agent does; the pool's secret lets it in, and the operator has named
the hubs that may be told anything.
"""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from adapters.db import callbacks
from adapters.db.agents import Agent
from adapters.db.errors import TooManyAgents
from adapters.db.records import LogLine
from adapters.db.reported import store_note
from adapters.redis_client import away_as_error
from adapters.settings_values import http_url
from adapters.user_messages import publish_messages
from api import commands
from api.agent_bodies import SYMBOL_CHARACTERS_MAX, read_configuration
from api.agent_endpoint import Configure, Start
from api.answers import answer
from api.bodies import Body, read_body, usual_uuid
from api.errors import FieldError, Problem, bad_input, not_found
from api.hub import Hub, hub_of
from api.times import moment

STRATEGY = "momentum_breakout"
"""What such an agent trades until its plan says otherwise: the field's start names no strategy."""


class Host(Body, frozen=True, kw_only=True):
    """The body of PUT /internal/hosted/{id}: how the agent's own hub is told of it."""

    hub_url: Annotated[str, Meta(min_length=1, max_length=2000)]
    internal_secret: Annotated[str, Meta(min_length=1, max_length=1000)]
    symbol: Annotated[str, Meta(min_length=1, max_length=SYMBOL_CHARACTERS_MAX)]


class HostedAnswer(msgspec.Struct, frozen=True):
    """Its answer: the agent's id here."""

    agent_id: UUID


async def host(request: Request) -> Response:
    """PUT hosted: the agent here that stands for one of another hub, made where there is none."""
    hub = hub_of(request)
    outside_id = usual_uuid(request.scope["path_params"]["outside_id"])
    if outside_id is None:
        raise not_found("agent")
    body = await read_body(request, Host)
    hub_url = _allowed(hub, body.hub_url)
    if not (body.internal_secret.isascii() and body.internal_secret.isprintable()):
        raise bad_input([FieldError("internal_secret", "expected printable ASCII")])
    owner = await hub.hosted.owner()
    if owner is None:
        raise Problem(409, "there is no account with the address of ARTIC_SHIM_OWNER yet")
    agent_id = await callbacks.hosted_agent(hub.database, owner, outside_id, hub_url)
    if agent_id is None:
        agent_id = await _make(hub, owner, outside_id, hub_url, body)
    sealed = hub.hosted.seal(body.internal_secret, agent_id)
    await callbacks.put_secret(hub.database, agent_id, sealed)
    return answer(HostedAnswer(agent_id))


def _allowed(hub: Hub, text: str) -> str:
    if not hub.hosted.are_taken:
        raise Problem(
            409, "agents of other hubs are not taken: set ARTIC_SHIM_OWNER and ARTIC_CALLBACK_HUBS"
        )
    try:
        hub_url = http_url(text)
    except ValueError as error:
        raise bad_input([FieldError("hub_url", str(error))]) from None
    if not hub.hosted.may_tell(hub_url):
        raise bad_input([FieldError("hub_url", "is none of ARTIC_CALLBACK_HUBS")])
    return hub_url


async def _make(hub: Hub, owner: UUID, outside_id: UUID, hub_url: str, body: Host) -> UUID:
    """Makes the agent, standing still until its hub starts it."""
    given = {"symbol": body.symbol, "strategy_name": STRATEGY, "auto_start": False}
    wanted = read_configuration(given, hub.symbols, hub.no_live_mode)
    async with away_as_error():
        await hub.prices.follow(wanted.symbol)
    new = await commands.new_agent(hub, owner, wanted)
    sealed = hub.hosted.seal(body.internal_secret, new.id)
    quota = hub.settings.agents_per_user
    try:
        agent = await callbacks.host_agent(hub.database, new, outside_id, hub_url, sealed, quota)
    except TooManyAgents as error:
        raise commands.too_many_agents(error.quota) from error
    if agent is None:  # somebody else was faster
        found = await callbacks.hosted_agent(hub.database, owner, outside_id, hub_url)
        if found is None:
            raise Problem(409, "the agent is being changed by others at the same time, try again")
        return found
    await commands.send_command(hub, agent)
    return agent.id


async def served_part(
    hub: Hub, agent: Agent, given: object, body: type[Start | Configure]
) -> object:
    """What another hub asks for, without the fields that are not served: it knows only containers,
    and would not start at all. The agent's log says what was left out.
    """
    if not isinstance(given, dict):
        return given
    left_out = sorted(body.not_built & given.keys())
    if left_out:
        text = f"not served here and left out: {', '.join(left_out)}"
        line = LogLine(0, moment(hub.clock.now()), "warn", text)
        messages = await store_note(hub.database, agent.id, line)
        async with away_as_error():
            await publish_messages(hub.state_redis, messages)
    return {name: value for name, value in given.items() if name not in left_out}
