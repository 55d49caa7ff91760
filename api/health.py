"""GET /health (the process lives) and /ready (it can serve), without a credential."""

import asyncio
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from adapters.db.connection import ping
from adapters.errors import AdapterError
from adapters.redis_client import away_as_error, command
from api.answers import Done, answer
from api.errors import RETRY_AFTER_S
from api.hub import Hub, hub_of

CHECK_S = 2.0
State = Literal["ok", "away"]


class Dependencies(msgspec.Struct, frozen=True):
    """What the hub needs, and whether it answers."""

    database: State
    redis: State


class ReadyAnswer(msgspec.Struct, frozen=True):
    """Whether the hub can serve, and what is missing."""

    ready: bool
    dependencies: Dependencies
    prices: str | None
    """Where they come from, in one plain line; null while that is not settled."""


async def health(request: Request) -> Response:
    """200 as long as the process answers at all."""
    return answer(Done(ok=True))


async def ready(request: Request) -> Response:
    """200 when every dependency answers, else 503 naming those that do not."""
    hub = hub_of(request)
    database, redis = await asyncio.gather(_check_database(hub), _check_redis(hub))
    is_ready = database == redis == "ok"
    told = ReadyAnswer(is_ready, Dependencies(database, redis), hub.prices.says)
    if is_ready:
        return answer(told)
    return answer(told, 503, {"Retry-After": str(RETRY_AFTER_S)})


async def _check_database(hub: Hub) -> State:
    try:
        async with asyncio.timeout(CHECK_S):
            await ping(hub.database)
    except (AdapterError, TimeoutError):
        return "away"
    return "ok"


async def _check_redis(hub: Hub) -> State:
    try:
        async with asyncio.timeout(CHECK_S), away_as_error():
            await command(hub.state_redis, "PING")
    except (AdapterError, TimeoutError):
        return "away"
    return "ok"
