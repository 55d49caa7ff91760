"""Agents: create, list, get, start, stop, delete, status."""

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import numpy as np
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from adapters.db import agents
from adapters.db.agents import Agent
from adapters.db.errors import BadCursor
from adapters.db.records import iso
from adapters.db.repeatable import OtherBody, RequestKey
from adapters.redis_client import away_as_error
from adapters.reported_statuses import read_statuses
from api import commands
from api.agent_bodies import RiskParams, read_configuration
from api.answers import answer, no_content
from api.auth import agent_id_of, caller_of
from api.bodies import Body, Nothing, read_body, read_json, read_query
from api.errors import FieldError, bad_input, not_found
from api.hub import Hub, hub_of
from api.status import AgentStatus, ShardHead, StatusWord, agent_status, status_word
from api.times import IsoTime
from strategies import catalog

ROWS_ONE_BY_ONE_MAX = 64
"""Above so many agents of one shard its whole table is read: 4,096 rows are one GET of 0.7 MB."""
PAGE_MAX = 1_000
SCAN_PAGE = 1_000
"""Agents that are read at once to fill a page of those with one status."""
IDEMPOTENCY_HEADER = "Idempotency-Key"
RISK_FIELDS = tuple(field.name for field in msgspec.structs.fields(RiskParams))


class AgentAnswer(msgspec.Struct, frozen=True):
    """An agent as callers see it."""

    id: UUID
    name: str
    symbol: str
    timeframe: str
    strategy_name: str
    strategy_params: Mapping[str, catalog.ParamValue]
    interval_seconds: int
    live_mode: bool
    risk_params: RiskParams
    status: StatusWord
    status_detail: str | None
    created_at: IsoTime
    updated_at: IsoTime


class StopAgent(Body, frozen=True, kw_only=True):
    """The body of POST /api/agents/{id}/stop."""

    close_position: bool = True


class ListAgents(Body, frozen=True, kw_only=True):
    """The query of GET /api/agents."""

    status: Literal["creating", "running", "stopped", "error"] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] | None = None
    cursor: Annotated[str, Meta(max_length=100)] | None = None


async def list_agents(request: Request) -> Response:
    """GET /api/agents: all the caller's agents, or with ?limit= a page of them."""
    hub, caller = hub_of(request), caller_of(request)
    query = read_query(request, ListAgents)
    try:
        found, next_cursor = await _page(hub, caller.user_id, query)
    except BadCursor as error:
        raise bad_input([FieldError("cursor", "not a cursor of this list")], "query") from error
    headers = {}
    if next_cursor is not None:
        link = request.url.include_query_params(cursor=next_cursor)
        headers["Link"] = f'<{link.path}?{link.query}>; rel="next"'
    return answer(found, headers=headers)


async def create_agent(request: Request) -> Response:
    """POST /api/agents: 201 with the agent, once its command is in the inbox.

    With an Idempotency-Key the same request has the same answer for 24 hours.
    """
    hub, caller = hub_of(request), caller_of(request)
    key = idempotency_key(request)
    body = await read_json(request)
    wanted = read_configuration(body, hub.symbols)
    async with away_as_error():
        await hub.prices.follow(wanted.symbol)
    if key is None:
        agent = await commands.create_agent(hub, caller.user_id, wanted)
        hub.directory.keep([agent])
        return _created(agent.id, _first_answer(agent))
    body_hash = sha256(json.dumps(body, sort_keys=True).encode()).digest()
    once = RequestKey(caller.user_id, key, body_hash)
    try:
        answered = await commands.create_agent_once(hub, once, wanted, _first_answer)
    except OtherBody as error:
        message = "was used with another body in the last 24 hours"
        raise bad_input([FieldError(IDEMPOTENCY_HEADER, message)]) from error
    return _created(answered.agent_id, answered.answer)


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
    agent = await own_agent(request)
    row = await commands.read_row(hub, agent)
    elsewhere = await _running_elsewhere(hub, [agent])
    return answer(agent_answer(agent, row, runs_elsewhere=agent.id in elsewhere))


async def start_agent(request: Request) -> Response:
    """POST /api/agents/{id}/start."""
    hub = hub_of(request)
    agent = await own_agent(request)
    await read_body(request, Nothing, may_be_empty=True)
    agent = await commands.start_agent(hub, agent)
    return answer(agent_answer(agent, await commands.read_row(hub, agent)))


async def stop_agent(request: Request) -> Response:
    """POST /api/agents/{id}/stop."""
    hub = hub_of(request)
    agent = await own_agent(request)
    body = await read_body(request, StopAgent, may_be_empty=True)
    agent = await commands.stop_agent(hub, agent, body.close_position)
    return answer(agent_answer(agent, await commands.read_row(hub, agent)))


async def delete_agent(request: Request) -> Response:
    """DELETE /api/agents/{id}."""
    caller = caller_of(request)
    hub, agent_id = hub_of(request), agent_id_of(request)
    await commands.delete_agent(hub, caller.user_id, agent_id)
    hub.directory.forget(agent_id)
    return no_content()


async def get_status(request: Request) -> Response:
    """GET /api/agents/{id}/status."""
    hub = hub_of(request)
    # The one read that goes on without PostgreSQL.
    agent = await hub.directory.get(caller_of(request).user_id, agent_id_of(request))
    if agent is None:
        raise not_found("agent")
    return answer(await status_of(hub, agent))


async def own_agent(request: Request) -> Agent:
    """The agent of the path if it is the caller's, else 404; 401 comes before it."""
    hub, caller = hub_of(request), caller_of(request)
    agent = await agents.get_agent(hub.database, caller.user_id, agent_id_of(request))
    if agent is None:
        raise not_found("agent")
    hub.directory.keep([agent])
    return agent


async def status_of(hub: Hub, agent: Agent) -> AgentStatus:
    """The status of one agent by its row and the newest frame, or as it is reported."""
    async with away_as_error():
        reported = (await _reports(hub, [agent])).get(agent.id)
        if reported is not None:
            return reported
        found = await hub.shards.read_row(agent.shard, agent.row)
        sight = await hub.sights.now(agent)
    head: ShardHead | None
    head, row = (None, None) if found is None else found
    return agent_status(agent, row, head, sight)


def agent_answer(agent: Agent, row: np.void | None, *, runs_elsewhere: bool = False) -> AgentAnswer:
    """An agent with its status by its row, unless it runs outside of the pool."""
    word, detail = status_word(agent, row)
    if runs_elsewhere:
        word, detail = "running", "outside of the pool, as it reports itself"
    return AgentAnswer(
        id=agent.id,
        name=agent.name,
        symbol=agent.symbol,
        timeframe=agent.timeframe,
        strategy_name=agent.strategy_name,
        strategy_params=agent.strategy_params,
        interval_seconds=agent.interval_seconds,
        live_mode=agent.live_mode,
        risk_params=_in_order(agent.risk_params),
        status=word,
        status_detail=detail,
        created_at=iso(agent.created_at),
        updated_at=iso(agent.updated_at),
    )


def _first_answer(agent: Agent) -> bytes:
    return msgspec.json.encode(agent_answer(agent, None))


def _created(agent_id: UUID, encoded: bytes) -> Response:
    headers = {"Location": f"/api/agents/{agent_id}"}
    return Response(encoded, 201, headers, "application/json")


async def _page(hub: Hub, user_id: UUID, query: ListAgents) -> tuple[list[AgentAnswer], str | None]:
    """The answers of one page, and the cursor of the next where there is one.

    A status comes from the rows, not from PostgreSQL, so agents are read until the page is full.
    """
    chosen: list[tuple[Agent, AgentAnswer]] = []
    after = query.cursor
    # One more than asked for tells whether there is a next page.
    wanted = None if query.limit is None else query.limit + 1
    size = wanted if query.status is None else SCAN_PAGE
    while True:
        limit = None if wanted is None else size
        found = await agents.list_agents(hub.database, user_id, limit=limit, after=after)
        elsewhere = await _running_elsewhere(hub, found)
        for agent, row in await _with_rows(hub, found):
            told = agent_answer(agent, row, runs_elsewhere=agent.id in elsewhere)
            if query.status in (None, told.status):
                chosen.append((agent, told))
        if wanted is None or len(found) < (limit or 0):
            break
        if len(chosen) >= wanted:
            break
        after = found[-1].cursor
    if query.limit is None or len(chosen) <= query.limit:
        return [told for _, told in chosen], None
    chosen = chosen[: query.limit]
    return [told for _, told in chosen], chosen[-1][0].cursor


def _in_order(risk: Mapping[str, Any]) -> RiskParams:
    """In the contract's order; JSONB has one of its own."""
    return RiskParams(**{name: risk[name] for name in RISK_FIELDS if name in risk})


async def _with_rows(hub: Hub, found: Sequence[Agent]) -> list[tuple[Agent, np.void | None]]:
    """Each agent with its row; one round trip for each shard."""
    by_shard: dict[int, list[int]] = {}
    for agent in found:
        by_shard.setdefault(agent.shard, []).append(agent.row)
    rows: dict[tuple[int, int], np.void] = {}
    async with away_as_error():
        for shard, wanted in by_shard.items():
            if len(wanted) <= ROWS_ONE_BY_ONE_MAX:
                some = await hub.shards.read_some(shard, wanted)
                if some is not None:
                    rows.update(((shard, row), record) for row, record in some[1].items())
                continue
            state = await hub.shards.read(shard)
            if state is not None:
                table = state.rows
                rows.update(((shard, row), table[row]) for row in wanted if row < len(table))
    return [(agent, rows.get((agent.shard, agent.row))) for agent in found]


async def _running_elsewhere(hub: Hub, found: Sequence[Agent]) -> set[UUID]:
    """Those of the agents that report themselves running outside of the pool."""
    async with away_as_error():
        reports = await _reports(hub, found)
    return {agent_id for agent_id, status in reports.items() if status.status == "running"}


async def _reports(hub: Hub, found: Sequence[Agent]) -> dict[UUID, AgentStatus]:
    """What agents outside of the pool say of themselves; the pool's own are not asked for."""
    outside = [agent.id for agent in found if agent.wanted == "stopped"]
    reports = await read_statuses(hub.state_redis, outside)
    return {
        agent_id: msgspec.json.decode(data, type=AgentStatus) for agent_id, data in reports.items()
    }
