"""Plans in Redis: what a worker reads when it meets a plan id. PostgreSQL is the record."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from adapters import redis_keys as keys
from adapters.redis_client import Redis, command


class PlanOnRecord(Protocol):
    """A plan as PostgreSQL has it."""

    @property
    def id(self) -> int: ...
    @property
    def symbol(self) -> str: ...
    @property
    def timeframe(self) -> str: ...
    @property
    def strategy(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def params(self) -> Mapping[str, Any]: ...


async def publish_plans(redis: Redis, plans: Iterable[PlanOnRecord]) -> None:
    """Writes plans where the workers find them. Plans never change, so this may be repeated."""
    fields: list[Any] = []
    for plan in plans:
        definition = {
            "symbol": plan.symbol,
            "timeframe": plan.timeframe,
            "strategy": plan.strategy,
            "version": plan.version,
            "params": dict(plan.params),
        }
        fields += (plan.id, msgspec.json.encode(definition))
    if fields:
        await command(redis, "HSET", keys.plans(), *fields)
