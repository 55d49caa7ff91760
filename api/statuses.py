"""What agents do right now, encoded once for each commit of their shard and each frame."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from adapters.db.agents import Agent
from adapters.redis_client import Redis, away_as_error
from adapters.reported_statuses import read_statuses
from adapters.shard_rows import Found, ShardRows
from api.directory import AgentDirectory
from api.sights import Sights
from api.status import AgentStatus, Sight, agent_status
from api.status_words import is_unsettled, state_of

STATUSES_KEPT_MAX = 20_000
"""Each takes about two kilobytes."""


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """A status with what it was made of."""

    agent: Agent
    found: Found | None
    sight: Sight
    encoded: bytes


class Statuses:
    """The statuses of one process, for whoever has caught up with the subscription."""

    def __init__(
        self, redis: Redis, directory: AgentDirectory, rows: ShardRows, sights: Sights
    ) -> None:
        self._redis = redis
        self._directory = directory
        self._rows = rows
        self._sights = sights
        self._shown: OrderedDict[UUID, _Shown] = OrderedDict()

    async def encoded(self, agent: Agent) -> bytes | None:
        """The JSON of an agent's status by its row and the newest frame, or as it is reported.

        None where the agent turns out to be gone. Raises RedisAway.
        """
        if agent.wanted == "stopped":  # the pool's own are not asked for
            reported = (await self.reported([agent])).get(agent.id)
            if reported is not None:
                return msgspec.json.encode(reported)
        found = await self._rows.row(agent.shard, agent.row)
        sight = await self._sights.now(agent)
        shown = self._shown.get(agent.id)
        if (
            shown is not None
            and shown.agent is agent
            and shown.found is found
            and shown.sight is sight
        ):
            return shown.encoded
        if is_unsettled(agent, state_of(agent, None if found is None else found[1])):
            again = await self._directory.again(agent)
            if again is None:
                return None
            agent = again
            found = await self._rows.row(agent.shard, agent.row)
            sight = await self._sights.now(agent)
        head, row = (None, None) if found is None else found
        encoded = msgspec.json.encode(agent_status(agent, row, head, sight))
        self._shown[agent.id] = _Shown(agent, found, sight, encoded)
        if len(self._shown) > STATUSES_KEPT_MAX:
            self._shown.popitem(last=False)
        return encoded

    async def reported(self, found: Sequence[Agent]) -> dict[UUID, AgentStatus]:
        """What agents outside of the pool say of themselves. Raises RedisAway."""
        outside = [agent.id for agent in found if agent.wanted == "stopped"]
        if not outside:
            return {}
        async with away_as_error():
            reports = await read_statuses(self._redis, outside)
        return {
            agent_id: msgspec.json.decode(data, type=AgentStatus)
            for agent_id, data in reports.items()
        }

    async def running_elsewhere(self, found: Sequence[Agent]) -> set[UUID]:
        """Those of the agents that report themselves running outside of the pool."""
        reports = await self.reported(found)
        return {agent_id for agent_id, status in reports.items() if status.status == "running"}
