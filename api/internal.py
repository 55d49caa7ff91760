"""/internal: what only processes of the installation may call, with the internal secret.

Here is the hub's side of the agent endpoint, /internal/agents/{id}/endpoint/...; the gateway on
its own port passes calls on and hands the answers back. Errors keep the field's shape.
"""

from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from adapters.db.agent_edits import find_agent
from adapters.db.agents import Agent
from api import commands
from api.agent_bodies import AgentConfiguration, read_configuration
from api.agent_endpoint import (
    Configure,
    Start,
    changed_body,
    endpoint_status,
    in_endpoint_words,
    is_running,
)
from api.agent_logs import LOGS_MAX, log_entries
from api.answers import answer
from api.auth import agent_id_of, came_by_pool_secret
from api.bodies import (
    Body,
    Nothing,
    check_fields,
    read_body,
    read_json,
    read_query,
    without_nulls,
)
from api.errors import Problem, not_found
from api.hosted import served_part
from api.hub import Hub, hub_of
from api.status import AgentStatus
from api.status_words import status_word
from api.tick_lines import LogEntry


class StopQuery(Body, frozen=True, kw_only=True):
    """The query of POST /stop."""

    closePosition: bool = True


class LogsQuery(Body, frozen=True, kw_only=True):
    """The query of GET /logs."""

    limit: Annotated[int, Meta(ge=1, le=LOGS_MAX)] = 100


class RunningAnswer(msgspec.Struct, frozen=True):
    """The answer of GET /health."""

    ok: bool
    running: bool


class StartedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of POST /start."""

    started: bool
    symbol: str
    live_mode: bool
    tp_sl_mode: str
    supervisor_interval_seconds: int | None = None


class StoppedAnswer(msgspec.Struct, frozen=True):
    """The answer of POST /stop; closed says that a position closes at the next price."""

    stopped: bool
    closed: bool


class EndpointLogs(msgspec.Struct, frozen=True):
    """The answer of GET /logs, newest last."""

    logs: list[LogEntry]
    running: bool


class ConfiguredAnswer(msgspec.Struct, frozen=True):
    """The answer of POST /config: the fields that were given."""

    status: str
    updated: dict[str, Any]


async def _agent(request: Request) -> tuple[Hub, Agent]:
    hub = hub_of(request)
    agent = await find_agent(hub.database, agent_id_of(request))
    if agent is None:
        raise not_found("agent")
    if came_by_pool_secret(request) and agent.user_id != await hub.hosted.owner():
        raise not_found("agent")
    return hub, agent


async def health(request: Request) -> Response:
    """GET health: {ok, running}."""
    hub, agent = await _agent(request)
    return answer(RunningAnswer(True, await _is_running(hub, agent)))


async def start(request: Request) -> Response:
    """POST start: at once, also when it runs already; a body changes what it is to do."""
    hub, agent = await _agent(request)
    given = without_nulls(await read_json(request, may_be_empty=True), Start)
    if came_by_pool_secret(request):
        given = await served_part(hub, agent, given, Start)
    if given == {}:
        agent = await commands.start_agent(hub, agent)
    else:
        call = check_fields(given, Start)
        agent = await commands.edit_agent(hub, agent, partial(_configuration, hub, call), "running")
    return answer(
        StartedAnswer(
            started=True,
            symbol=agent.symbol,
            live_mode=agent.live_mode,
            tp_sl_mode=agent.risk_params.get("tp_sl_mode", "fixed"),
        )
    )


async def stop(request: Request) -> Response:
    """POST stop: {stopped, closed}; closed says that a position closes at the next price."""
    hub, agent = await _agent(request)
    query = read_query(request, StopQuery)
    await read_body(request, Nothing, may_be_empty=True)
    row = await commands.read_row(hub, agent)
    await commands.stop_agent(hub, agent, query.closePosition)
    is_open = row is not None and bool(row["side"])
    return answer(StoppedAnswer(True, is_open and query.closePosition))


async def status(request: Request) -> Response:
    """GET status."""
    hub, agent = await _agent(request)
    await hub.broadcasts.caught_up()
    encoded = await hub.statuses.encoded(agent)
    if encoded is None:
        raise not_found("agent")
    return answer(endpoint_status(agent, msgspec.json.decode(encoded, type=AgentStatus)))


async def logs(request: Request) -> Response:
    """GET logs: {logs, running}, newest last."""
    hub, agent = await _agent(request)
    query = read_query(request, LogsQuery)
    entries = await log_entries(hub, agent, None, query.limit, None)
    return answer(EndpointLogs(entries, await _is_running(hub, agent)))


async def plan(request: Request) -> Response:
    """POST plan: nobody plans yet."""
    _, _ = await _agent(request)
    raise Problem(503, "LLM not configured")


async def config(request: Request) -> Response:
    """POST config: {status, updated}; 400 unless the agent runs."""
    hub, agent = await _agent(request)
    asked = given = without_nulls(await read_json(request), Configure)
    if came_by_pool_secret(request):
        given = await served_part(hub, agent, given, Configure)
    call = check_fields(given, Configure)
    if not await _is_ticked(hub, agent):
        raise Problem(400, "Engine not running")
    if given != {}:
        await commands.edit_agent(hub, agent, partial(_configuration, hub, call), None)
    return answer(ConfiguredAnswer("ok", _fields(asked)))


def _fields(given: object) -> dict[str, Any]:
    return given if isinstance(given, dict) else {}


def _configuration(hub: Hub, call: Start | Configure, agent: Agent) -> AgentConfiguration:
    try:
        return read_configuration(changed_body(agent, call), hub.symbols, hub.no_live_mode)
    except Problem as problem:
        raise in_endpoint_words(problem) from problem


async def _is_running(hub: Hub, agent: Agent) -> bool:
    """Here or elsewhere, as `running` of GET status says it."""
    return await _is_ticked(hub, agent) or agent.id in await hub.statuses.running_elsewhere([agent])


async def _is_ticked(hub: Hub, agent: Agent) -> bool:
    """Whether the pool runs it."""
    word, _ = status_word(agent, await commands.read_row(hub, agent))
    return is_running(agent, word)
