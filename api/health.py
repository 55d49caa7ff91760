"""GET /health (the process lives) and /ready (it can serve), without a credential."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from adapters.db.connection import ping
from adapters.errors import AdapterError
from adapters.redis_client import away_as_error, command
from api.answers import answer
from api.hub import Hub, hub_of

CHECK_S = 2.0


async def health(request: Request) -> Response:
    """200 as long as the process answers at all."""
    return answer({"ok": True})


async def ready(request: Request) -> Response:
    """200 when every dependency answers, else 503 naming those that do not."""
    hub = hub_of(request)
    database, redis = await asyncio.gather(_check_database(hub), _check_redis(hub))
    checks = {"database": database, "redis": redis}
    is_ready = all(state == "ok" for state in checks.values())
    return answer({"ready": is_ready, "dependencies": checks}, 200 if is_ready else 503)


async def _check_database(hub: Hub) -> str:
    try:
        async with asyncio.timeout(CHECK_S):
            await ping(hub.database)
    except (AdapterError, TimeoutError):
        return "away"
    return "ok"


async def _check_redis(hub: Hub) -> str:
    try:
        async with asyncio.timeout(CHECK_S), away_as_error():
            await command(hub.state_redis, "PING")
    except (AdapterError, TimeoutError):
        return "away"
    return "ok"
