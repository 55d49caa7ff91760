"""GET /internal/load: how much the pool has to do, for what adds workers and takes them away."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from adapters.queue import tick_queue_lag_s
from adapters.redis_client import away_as_error
from api.answers import answer
from api.hub import hub_of


class LoadAnswer(msgspec.Struct, frozen=True):
    """tick_queue_lag_s: how long the oldest tick waits beyond its moment; 0: all are on time."""

    tick_queue_lag_s: float


async def load(request: Request) -> Response:
    """GET load: the lag of the tick queues in seconds, over all partitions."""
    hub = hub_of(request)
    async with away_as_error():
        lag_s = await tick_queue_lag_s(hub.queue.redis)
    return answer(LoadAnswer(round(lag_s, 3)))
