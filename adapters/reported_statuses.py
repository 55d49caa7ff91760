"""The newest status of each agent that runs outside of the pool: in Redis, and soon forgotten.

An agent that says nothing more for a few of its ticks is no longer thought to run.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from adapters import redis_keys as keys
from adapters.redis_client import Redis, command

KEPT_MIN_S: Final = 60
KEPT_MAX_S: Final = 86_400
TICKS_KEPT: Final = 3


def kept_s(interval_seconds: int) -> int:
    """How long a status is believed: three ticks, a minute at least, a day at most."""
    return min(max(TICKS_KEPT * interval_seconds, KEPT_MIN_S), KEPT_MAX_S)


async def keep_status(redis: Redis, agent_id: UUID, status: bytes, seconds: int) -> None:
    """Takes the place of the one before."""
    await command(redis, "SET", keys.reported_status(str(agent_id)), status, "EX", seconds)


async def read_statuses(redis: Redis, agents: Sequence[UUID]) -> dict[UUID, bytes]:
    """Those that are still believed, in one round trip."""
    if not agents:
        return {}
    names = [keys.reported_status(str(agent_id)) for agent_id in agents]
    found: list[Any] = await command(redis, "MGET", *names)
    return {agent: data for agent, data in zip(agents, found, strict=True) if data is not None}
