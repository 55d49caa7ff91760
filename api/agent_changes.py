"""Changes of agents: one while it runs, and start and stop of all of them at once."""

from functools import partial
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from adapters.db.agents import Agent
from api import commands, groups
from api.agent_bodies import AgentConfiguration, patched, read_configuration
from api.agent_plans import planned_configuration
from api.agents import StopAgent, own_agent, row_answer
from api.answers import answer
from api.auth import caller_of
from api.bodies import Body, Nothing, read_body, read_json
from api.hub import Hub, hub_of


class KillAll(Body, frozen=True, kw_only=True):
    """The body of POST /api/agents/kill-all."""

    confirm: Literal["KILL_ALL"]


class StoppedAgents(msgspec.Struct, frozen=True):
    """How many agents this call has told to stop."""

    stopped: int


class StartedAgents(msgspec.Struct, frozen=True):
    """How many agents this call has told to run."""

    started: int


async def edit_agent(request: Request) -> Response:
    """PATCH /api/agents/{id}: a merge patch of what create takes; 200 with the agent."""
    hub = hub_of(request)
    agent = await own_agent(request)
    patch = await read_json(request)
    agent = await commands.edit_agent(hub, agent, partial(_configuration, hub, patch), None)
    return await row_answer(hub, agent)


async def apply_plan(request: Request) -> Response:
    """PUT /api/agents/{id}/plan: an edit in the four fields of a plan; 200 with the agent."""
    hub = hub_of(request)
    agent = await own_agent(request)
    plan = await read_json(request)
    agent = await commands.edit_agent(hub, agent, partial(_planned, hub, plan), None)
    return await row_answer(hub, agent)


async def kill_all(request: Request) -> Response:
    """POST /api/agents/kill-all: {stopped}, how many agents this call has told to stop."""
    hub, caller = hub_of(request), caller_of(request)
    await read_body(request, KillAll)
    stopped = await groups.want_all(hub, caller.user_id, "stopped", close_position=True)
    return answer(StoppedAgents(stopped))


async def stop_all(request: Request) -> Response:
    """POST /api/agents/stop-all: {stopped}, how many agents this call has told to stop."""
    hub, caller = hub_of(request), caller_of(request)
    body = await read_body(request, StopAgent, may_be_empty=True)
    close = body.close_position
    stopped = await groups.want_all(hub, caller.user_id, "stopped", close_position=close)
    return answer(StoppedAgents(stopped))


async def start_all(request: Request) -> Response:
    """POST /api/agents/start-all: {started}, how many agents this call has told to run."""
    hub, caller = hub_of(request), caller_of(request)
    await read_body(request, Nothing, may_be_empty=True)
    started = await groups.want_all(hub, caller.user_id, "running", close_position=True)
    return answer(StartedAgents(started))


def create_body(agent: Agent) -> dict[str, Any]:
    """The body that would create an agent as this one is now."""
    return {
        "name": agent.name,
        "symbol": agent.symbol,
        "timeframe": agent.timeframe,
        "strategy_name": agent.strategy_name,
        "strategy_params": dict(agent.strategy_params),
        "interval_seconds": agent.interval_seconds,
        "risk_params": dict(agent.risk_params),
    }


def _configuration(hub: Hub, patch: object, agent: Agent) -> AgentConfiguration:
    return read_configuration(patched(create_body(agent), patch), hub.symbols, hub.no_live_mode)


def _planned(hub: Hub, plan: object, agent: Agent) -> AgentConfiguration:
    return planned_configuration(create_body(agent), plan, hub.symbols)
