"""GET /api/strategies: the catalogue, as the strategies declare it."""

from starlette.requests import Request
from starlette.responses import Response

from api.answers import answer
from api.auth import caller_of
from strategies import catalog


async def list_strategies(request: Request) -> Response:
    """Every strategy that an agent may be created with."""
    caller_of(request)
    return answer(catalog.describe())
