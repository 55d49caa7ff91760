"""What the hub is measured against: the same answers from a Starlette application that does
nothing for them. Served as `uvicorn bench.bare_app:app`.
"""

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.call_examples import AGENT, STATUS

LISTED = 100


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def get_agent(request: Request) -> Response:
    """One agent."""
    return _json(AGENT)


async def get_status(request: Request) -> Response:
    """One status."""
    return _json(STATUS)


async def list_agents(request: Request) -> Response:
    """A hundred agents."""
    return _json([AGENT] * LISTED)


async def create_agent(request: Request) -> Response:
    """An agent, after the body was read."""
    msgspec.json.decode(await request.body())
    return _json(AGENT, 201)


app = Starlette(
    routes=[
        Route("/api/agents", list_agents),
        Route("/api/agents", create_agent, methods=["POST"]),
        Route("/api/agents/{agent_id}", get_agent),
        Route("/api/agents/{agent_id}/status", get_status),
    ]
)
