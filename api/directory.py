"""Agents that this hub has read before, for the time when PostgreSQL is away.

Only reads use it, and only then: what an agent does right now is in Redis, and its owner shall see
it all the same. Wanted states can't change while PostgreSQL is away, so what is kept is hardly old.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable
from uuid import UUID

from adapters.db import agents
from adapters.db.agents import Agent
from adapters.db.connection import Database
from adapters.db.errors import DatabaseAway

KEPT_MAX = 100_000
PATIENCE_S = 0.5
"""How long a read waits for PostgreSQL where an answer is at hand."""
SILENCE_S = 2.0
"""How long nobody asks a PostgreSQL that has not answered in time."""

log = logging.getLogger(__name__)


class AgentDirectory:
    """The agents that were read last, bounded."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[UUID, Agent] = OrderedDict()
        self._asked: set[asyncio.Task[Agent | None]] = set()
        self._silent_until = 0.0

    def keep(self, found: Iterable[Agent]) -> None:
        """Remembers agents as PostgreSQL has them."""
        for agent in found:
            self._kept[agent.id] = agent
            self._kept.move_to_end(agent.id)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    def forget(self, agent_id: UUID) -> None:
        """Drops an agent that is being deleted."""
        self._kept.pop(agent_id, None)

    async def get(self, user_id: UUID, agent_id: UUID) -> Agent | None:
        """One agent of an owner; None when it is missing or somebody else's.

        Raises:
            DatabaseAway: PostgreSQL is away, and this agent was never read here.
        """
        kept = self._kept.get(agent_id)
        if kept is not None and kept.user_id != user_id:  # not forgotten for a stranger
            return await agents.get_agent(self._database, user_id, agent_id)
        if kept is None:
            return self._read(await agents.get_agent(self._database, user_id, agent_id), agent_id)
        if time.monotonic() < self._silent_until:
            return kept
        asked = asyncio.create_task(agents.get_agent(self._database, user_id, agent_id))
        self._asked.add(asked)
        asked.add_done_callback(self._heard)
        await asyncio.wait({asked}, timeout=PATIENCE_S)
        if not asked.done():
            # A server that hangs is away, too; the question ends by itself in bounded time.
            self._silent_until = time.monotonic() + SILENCE_S
            return kept
        try:
            return self._read(asked.result(), agent_id)
        except DatabaseAway:
            return kept

    def _read(self, agent: Agent | None, agent_id: UUID) -> Agent | None:
        if agent is None:
            self.forget(agent_id)
        else:
            self.keep([agent])
        return agent

    def _heard(self, asked: "asyncio.Task[Agent | None]") -> None:
        self._asked.discard(asked)
        if not asked.cancelled() and isinstance(error := asked.exception(), DatabaseAway):
            log.debug("an agent was answered from memory: %s", error)
