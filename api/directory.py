"""Agents that this hub has read before, for the time when PostgreSQL is away.

Only reads use it, and only then: what an agent does right now is in Redis, and its owner shall see
it all the same. Wanted states can't change while PostgreSQL is away, so what is kept is hardly old.
"""

from collections import OrderedDict
from collections.abc import Iterable
from uuid import UUID

from adapters.db import agents
from adapters.db.agents import Agent
from adapters.db.connection import Database
from adapters.db.errors import DatabaseAway

KEPT_MAX = 100_000


class AgentDirectory:
    """The agents that were read last, bounded."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[UUID, Agent] = OrderedDict()

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
        try:
            agent = await agents.get_agent(self._database, user_id, agent_id)
        except DatabaseAway:
            kept = self._kept.get(agent_id)
            if kept is None or kept.user_id != user_id:
                raise
            return kept
        if agent is None:
            self.forget(agent_id)
        else:
            self.keep([agent])
        return agent
