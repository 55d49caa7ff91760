"""GET /api/agents/{id}/metrics and /api/fleet/metrics: trades as numbers."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from adapters.db.metrics import read_traded
from api.agents import own_agent
from api.answers import answer
from api.auth import caller_of
from api.hub import hub_of
from engine.metrics import Metrics, metrics_of


class FleetMetrics(msgspec.Struct, frozen=True):
    """All agents of the caller as one; capital_usd is the sum of their max_position_usd.

    Trades of agents that were deleted are not counted.
    """

    agents: int
    capital_usd: float
    metrics: Metrics


async def get_metrics(request: Request) -> Response:
    """GET /api/agents/{id}/metrics."""
    hub = hub_of(request)
    agent = await own_agent(request)
    now_s = hub.clock.now()
    traded = await read_traded(hub.database, agent.user_id, now_s, agent.id)
    return answer(metrics_of(traded, now_s))


async def get_fleet_metrics(request: Request) -> Response:
    """GET /api/fleet/metrics."""
    hub = hub_of(request)
    now_s = hub.clock.now()
    traded = await read_traded(hub.database, caller_of(request).user_id, now_s)
    return answer(FleetMetrics(traded.agents, traded.capital_usd, metrics_of(traded, now_s)))
