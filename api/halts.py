"""Holding back: an agent, all agents of an account, the whole fleet; and who has done so, and why.

Owners hold back what is theirs, operators whatever there is. What an operator has set only an
operator lifts; of all that holds for an agent the strictest counts.
"""

import logging
from collections.abc import Mapping
from typing import Annotated, ClassVar
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from adapters.agent_news import tell_moved
from adapters.db import agent_edits, agents, halts, shards
from adapters.db.halts import HaltChange, HaltOrder, Scope
from adapters.db.records import iso
from adapters.recovery import recover_shard
from adapters.redis_client import away_as_error
from api import commands
from api.agent_bodies import readable
from api.agents import row_answer
from api.answers import answer
from api.auth import agent_id_of, caller_of, check_operator, is_operator, user_id_of
from api.bodies import Body, Check, read_body, read_query
from api.errors import Problem, not_found
from api.groups import send_commands
from api.hub import hub_of
from api.status_words import HALT_WORDS, HaltWord
from api.times import IsoTime
from engine.rows import Halt

log = logging.getLogger("artic.hub")

HALTS: Mapping[HaltWord, Halt] = {word: Halt(halt) for halt, word in HALT_WORDS.items()}
WHY_CHARACTERS_MAX = 500
CHANGES_MAX = 1_000
HALT_SCHEMA = 2
"""Rows of an older schema have no place for a halt."""


class SetHalt(Body, frozen=True, kw_only=True):
    """The body of PUT .../halt."""

    checks: ClassVar[Mapping[str, Check]] = {"why": readable}

    state: HaltWord
    why: Annotated[str, Meta(min_length=1, max_length=WHY_CHARACTERS_MAX)] | None = None


class AccountHalt(msgspec.Struct, frozen=True):
    """What holds for an account, by itself and by operators, and how many agents were told."""

    state: HaltWord
    agents: int


class FleetHalt(msgspec.Struct, frozen=True):
    """How far everybody is held back."""

    state: HaltWord


class HaltChangeAnswer(msgspec.Struct, frozen=True):
    """One change: what was set to what, when, by whom and why."""

    at: IsoTime
    scope: Scope
    agent_id: UUID | None
    user_id: UUID | None
    state: HaltWord
    made_by: UUID
    as_operator: bool
    why: str | None


class HaltsAnswer(msgspec.Struct, frozen=True):
    """Changes, newest first."""

    changes: list[HaltChangeAnswer]


class ReadHalts(Body, frozen=True, kw_only=True):
    """The query of GET /api/halt/changes."""

    limit: Annotated[int, Meta(ge=1, le=CHANGES_MAX)] = 100


async def halt_agent(request: Request) -> Response:
    """PUT /api/agents/{id}/halt: 200 with the agent; by its owner or an operator, else 404.

    200 means that no later slot decides otherwise; so it does in the other calls.
    """
    hub, caller = hub_of(request), caller_of(request)
    agent_id = agent_id_of(request)
    found = await agents.get_agent(hub.database, caller.user_id, agent_id)
    is_own = found is not None
    if not is_own and await is_operator(request):
        found = await agent_edits.find_agent(hub.database, agent_id)
    if found is None:
        raise not_found("agent")
    order = await _order(request, as_operator=not is_own)
    agent = await halts.halt_agent(hub.database, found.id, order)
    if agent is None:
        raise not_found("agent")
    _log(f"agent {agent.id}", order)
    await commands.send_command(hub, agent)
    return await row_answer(hub, agent)


async def halt_me(request: Request) -> Response:
    """PUT /api/me/halt: all agents of the caller, those to come, too."""
    order = await _order(request, as_operator=False)
    return await _halt_account(request, caller_of(request).user_id, order)


async def halt_user(request: Request) -> Response:
    """PUT /api/users/{id}/halt: all agents of an account, by an operator."""
    await check_operator(request)
    order = await _order(request, as_operator=True)
    return await _halt_account(request, user_id_of(request), order)


async def halt_fleet(request: Request) -> Response:
    """PUT /api/halt: every agent of everybody, by an operator.

    Shards are told, not agents, so it takes no longer where there are many of them.
    """
    hub = hub_of(request)
    await check_operator(request)
    order = await _order(request, as_operator=True)
    fleet = await halts.halt_fleet(hub.database, order)
    _log("the fleet", order)
    every = [each.shard for each in await shards.all_shards(hub.database)]
    async with away_as_error():
        told = await hub.shards.halt(every, fleet.halt, fleet.epoch)
        for shard in (shard for shard, halt in told.items() if halt is None):
            # Its recovery asks the record; what was open already by then is told once more.
            await recover_shard(hub.database, hub.shards, shard)
            await hub.shards.halt([shard], fleet.halt, fleet.epoch)
        await tell_moved(hub.state_redis)
    return answer(FleetHalt(HALT_WORDS[fleet.halt]))


async def get_fleet_halt(request: Request) -> Response:
    """GET /api/halt: for everybody, since it concerns everybody."""
    fleet = await halts.fleet(hub_of(request).database)
    return answer(FleetHalt(HALT_WORDS[fleet.halt]))


async def list_halts(request: Request) -> Response:
    """GET /api/halt/changes: what concerns the caller; operators see all changes."""
    hub, caller = hub_of(request), caller_of(request)
    query = read_query(request, ReadHalts)
    user_id = None if await is_operator(request) else caller.user_id
    found = await halts.changes(hub.database, user_id, query.limit)
    return answer(HaltsAnswer([_told(change) for change in found]))


async def _halt_account(request: Request, user_id: UUID, order: HaltOrder) -> Response:
    hub = hub_of(request)
    async with hub.turns.of(user_id):
        told = await halts.halt_account(hub.database, user_id, order)
        if told is None:
            raise not_found("user")
        _log(f"all agents of user {user_id}", order)
        await send_commands(hub, told)
    state = await halts.halt_of_account(hub.database, user_id)
    return answer(AccountHalt(HALT_WORDS[state], len(told)))


async def _order(request: Request, *, as_operator: bool) -> HaltOrder:
    body = await read_body(request, SetHalt)
    if body.state != "active" and hub_of(request).settings.row_schema < HALT_SCHEMA:
        raise Problem(409, "the pool is being upgraded: until then nothing can be held back")
    return HaltOrder(HALTS[body.state], caller_of(request).user_id, as_operator, body.why)


def _log(what: str, order: HaltOrder) -> None:
    """The reason is the caller's text, so it is said as a literal that breaks no line."""
    by = "operator" if order.as_operator else "user"
    state = HALT_WORDS[order.state]
    log.warning("%s set to %s by %s %s: %r", what, state, by, order.made_by, order.why)


def _told(change: HaltChange) -> HaltChangeAnswer:
    return HaltChangeAnswer(
        at=iso(change.at),
        scope=change.scope,
        agent_id=change.agent_id,
        user_id=change.user_id,
        state=HALT_WORDS[change.state],
        made_by=change.made_by,
        as_operator=change.as_operator,
        why=change.why,
    )
