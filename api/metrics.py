"""GET /api/agents/{id}/metrics and /api/fleet/metrics: trades as numbers."""

from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.agents import own_agent
from api.answers import answer
from api.auth import caller_of
from api.errors import Problem
from api.hub import hub_of
from api.times import IsoTime, iso_seconds
from api.trade_sums import StillSumming, Summed
from engine.metrics import Metrics

RETRY_AFTER_S = 5


class FleetMetrics(msgspec.Struct, frozen=True):
    """All agents of the caller as one; capital_usd is the sum of their max_position_usd.

    Trades of agents that were deleted are not counted. as_of is the moment the trades were added
    up: that of the question, or a few minutes ago where they are very many.
    """

    agents: int
    capital_usd: float
    as_of: IsoTime
    metrics: Metrics


async def get_metrics(request: Request) -> Response:
    """GET /api/agents/{id}/metrics."""
    agent = await own_agent(request)
    summed = await _summed(request, agent.user_id, agent.id)
    return answer(summed.metrics)


async def get_fleet_metrics(request: Request) -> Response:
    """GET /api/fleet/metrics."""
    summed = await _summed(request, caller_of(request).user_id)
    traded = summed.traded
    as_of = iso_seconds(summed.as_of)
    return answer(FleetMetrics(traded.agents, traded.capital_usd, as_of, summed.metrics))


async def _summed(request: Request, user_id: UUID, agent_id: UUID | None = None) -> Summed:
    try:
        return await hub_of(request).trade_sums.read(user_id, agent_id)
    except StillSumming as error:
        detail = "there are very many trades, and they are still being added up: ask again"
        raise Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)}) from error
