"""GET /health (the process lives) and /ready (it can serve), without a credential."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from adapters.db.connection import ping
from adapters.db.errors import DatabaseAway
from adapters.db.shards import frozen_shards
from adapters.errors import AdapterError
from adapters.redis_client import away_as_error, command
from api.answers import Done, answer
from api.errors import RETRY_AFTER_S
from api.hub import Checks, Hub, hub_of
from api.sources import SourceHealth, sources_of

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
    sources: list[SourceHealth]
    """Of prices and candles; GET /api/market/sources says more. Empty while Redis is away."""
    frozen_shards: list[int]
    """Whose events contradict the record: nothing of them is stored until `artic thaw`."""


async def health(request: Request) -> Response:
    """200 as long as the process answers at all."""
    return answer(Done(ok=True))


async def ready(request: Request) -> Response:
    """200 when every dependency answers, else 503 naming those that do not."""
    hub = hub_of(request)
    database, redis = await asyncio.gather(
        _state("database", partial(ping, hub.database), hub.checks),
        _state("redis", partial(_ping_redis, hub), hub.checks),
    )
    is_ready = database == redis == "ok"
    frozen = await _frozen(hub) if database == "ok" else []
    sources = await _sources(hub) if redis == "ok" else []
    told = ReadyAnswer(is_ready, Dependencies(database, redis), hub.prices.says, sources, frozen)
    if is_ready:
        return answer(told)
    return answer(told, 503, {"Retry-After": str(RETRY_AFTER_S)})


async def _frozen(hub: Hub) -> list[int]:
    """For whoever watches this answer. The hub serves on, and so do the other shards."""
    try:
        return await frozen_shards(hub.database)
    except DatabaseAway:
        return []


async def _sources(hub: Hub) -> list[SourceHealth]:
    try:
        async with away_as_error(), asyncio.timeout(CHECK_S):
            return [each.in_short() for each in await sources_of(hub)]
    except (AdapterError, TimeoutError):
        return []


async def _ping_redis(hub: Hub) -> None:
    async with away_as_error():
        await command(hub.state_redis, "PING")


async def _state(name: str, check: Callable[[], Awaitable[None]], checks: Checks) -> State:
    """A dependency that hangs is away. The question to it ends by itself in bounded time, which
    nobody waits for; until then no other is asked.
    """
    asked = checks.get(name)
    if asked is None or asked.done():
        asked = checks[name] = asyncio.ensure_future(check())
        asked.add_done_callback(_heard)
    await asyncio.wait({asked}, timeout=CHECK_S)
    if not asked.done() or asked.cancelled():
        return "away"
    error = asked.exception()
    if error is not None and not isinstance(error, AdapterError):
        raise error
    return "ok" if error is None else "away"


def _heard(asked: "asyncio.Future[None]") -> None:
    """What nobody waited for was no mistake."""
    if not asked.cancelled():
        asked.exception()
