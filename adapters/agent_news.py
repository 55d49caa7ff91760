"""What hubs tell each other about agents: whose wanted state PostgreSQL has under a new epoch.

Told after the transaction and before the caller hears of success, so that a hub which has caught
up with its subscription knows of every change that anybody was told of.
"""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from adapters import redis_keys as keys
from adapters.redis_client import Redis

AGENTS_AT_ONCE = 1_000


class ChangedAgent(Protocol):
    """What of an agent is told."""

    @property
    def id(self) -> UUID: ...
    @property
    def user_id(self) -> UUID: ...
    @property
    def epoch(self) -> int: ...


class AgentNews(msgspec.Struct, frozen=True, array_like=True):
    """Agents of one owner with their new epochs; owner None: any agent may have changed."""

    owner: UUID | None
    epochs: list[tuple[UUID, int]] = []


async def tell_changed(redis: Redis, agents: Sequence[ChangedAgent]) -> None:
    """Tells every hub of these agents."""
    by_owner: dict[UUID, list[tuple[UUID, int]]] = {}
    for agent in agents:
        by_owner.setdefault(agent.user_id, []).append((agent.id, agent.epoch))
    await _tell(
        redis,
        [
            AgentNews(owner, epochs[begin : begin + AGENTS_AT_ONCE])
            for owner, epochs in by_owner.items()
            for begin in range(0, len(epochs), AGENTS_AT_ONCE)
        ],
    )


async def tell_moved(redis: Redis) -> None:
    """Tells every hub to believe nothing that it has read of agents: they have new places."""
    await _tell(redis, [AgentNews(None)])


def read_news(message: bytes) -> AgentNews:
    """What was told."""
    return msgspec.msgpack.decode(message, type=AgentNews)


async def _tell(redis: Redis, told: Sequence[AgentNews]) -> None:
    async with redis.pipeline(transaction=False) as pipe:
        for news in told:
            pipe.publish(keys.agents_channel(), msgspec.msgpack.encode(news))
        await pipe.execute()
