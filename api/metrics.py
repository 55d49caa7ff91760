"""GET /api/agents/{id}/metrics: an agent's trades as numbers."""

from starlette.requests import Request
from starlette.responses import Response

from adapters.db.metrics import trade_columns
from api.agents import own_agent
from api.answers import answer
from api.hub import hub_of
from engine.metrics import metrics_of


async def get_metrics(request: Request) -> Response:
    """GET /api/agents/{id}/metrics."""
    hub = hub_of(request)
    agent = await own_agent(request)
    now_s = hub.clock.now()
    trades = await trade_columns(hub.database, agent.user_id, agent.id)
    max_position_usd = float(agent.risk_params["max_position_usd"])
    return answer(metrics_of(trades, max_position_usd, agent.created_at.timestamp(), now_s))
