"""What is known of the containers of agents, shared by all hub processes through Redis.

The holder of the lease writes, the others read. Only what is not well is kept, so that the usual
state of ten thousand healthy containers is a few bytes. A container that nobody has seen yet is
not well: who follows an agent's creation hears `creating` first.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import msgspec

from adapters import redis_keys as keys
from adapters.redis_client import Redis, command, script

LEASE_MS = 20_000
STARTING = "starting"


Health = Literal["starting", "healthy", "failed", "ended"]


@dataclass(frozen=True, slots=True)
class FoundContainer:
    """A container of this installation.

    is_current: it was made with the image, hub and secret that one would be made with now.
    """

    name: str
    agent_id: UUID | None
    health: Health
    detail: str
    is_current: bool


def container_name(agent_id: UUID) -> str:
    """The name of an agent's container, which its network knows it by."""
    return f"artic-agent-{agent_id}"


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """The agents that were looked at, and what is wrong with some of them."""

    seen: list[UUID]
    notes: dict[UUID, str]


class ShimStates:
    """One hub process's way to what the keeper of containers has seen."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._lease = script(redis, "feeder")
        self._raw: bytes | None = None
        self._seen: frozenset[UUID] = frozenset()
        self._notes: Mapping[UUID, str] = {}
        self._changed = asyncio.Event()

    async def take(self, name: str) -> bool:
        """Takes or renews the lease; whether it is ours."""
        return bool(await self._lease(keys=[keys.shim_keeper()], args=[name, LEASE_MS]))

    async def give_back(self, name: str) -> None:
        """Lets another process take it at once."""
        await self._lease(keys=[keys.shim_keeper()], args=[name, 0])

    def wake(self) -> None:
        """Agents were made or deleted: the keeper looks now."""
        self._changed.set()

    async def changed(self, seconds: float) -> None:
        """Returns when somebody wakes it, or after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
        finally:
            self._changed.clear()

    async def put(self, seen: Sequence[UUID], notes: Mapping[UUID, str]) -> None:
        """What the keeper has seen of every agent on record."""
        kept = msgspec.msgpack.encode(_Kept(list(seen), dict(notes)))
        if kept != self._raw:
            await command(self._redis, "SET", keys.shim_states(), kept)
            self._take(kept)

    async def read(self) -> None:
        """Takes what the keeper has put last."""
        raw: bytes | None = await command(self._redis, "GET", keys.shim_states())
        if raw is not None and raw != self._raw:
            self._take(raw)

    def note(self, agent_id: UUID) -> str | None:
        """None for a container that is well; STARTING; or what is wrong."""
        return self._notes.get(agent_id) or (None if agent_id in self._seen else STARTING)

    def _take(self, raw: bytes) -> None:
        kept = msgspec.msgpack.decode(raw, type=_Kept)
        self._raw, self._seen, self._notes = raw, frozenset(kept.seen), kept.notes
