"""GET /api/agents/{id}/metrics and /api/fleet/metrics: trades as numbers."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.agents import own_agent
from api.answers import answer
from api.auth import caller_of
from api.hub import hub_of
from engine.metrics import Metrics


class FleetMetrics(msgspec.Struct, frozen=True):
    """All agents of the caller as one; capital_usd is the sum of their max_position_usd.

    Trades of agents that were deleted are not counted.
    """

    agents: int
    capital_usd: float
    metrics: Metrics


async def get_metrics(request: Request) -> Response:
    """GET /api/agents/{id}/metrics."""
    agent = await own_agent(request)
    _, metrics = await hub_of(request).trade_sums.read(agent.user_id, agent.id)
    return answer(metrics)


async def get_fleet_metrics(request: Request) -> Response:
    """GET /api/fleet/metrics."""
    traded, metrics = await hub_of(request).trade_sums.read(caller_of(request).user_id)
    return answer(FleetMetrics(traded.agents, traded.capital_usd, metrics))
