"""Agents as this hub has read them from PostgreSQL, good until somebody changes them.

Every hub tells of each change before its caller hears of success, so what is kept here is what
PostgreSQL has for whoever has caught up with the subscription (Broadcasts.caught_up()). Kept for
KEPT_S at most, in case that somebody died before telling; and beyond that for the time when
PostgreSQL is away: what an agent does right now is in Redis, and its owner shall see it then, too.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from adapters import redis_keys as keys
from adapters.agent_news import read_news, tell_changed
from adapters.broadcasts import Broadcasts
from adapters.db import agents
from adapters.db.agents import Agent
from adapters.db.connection import Database
from adapters.db.errors import DatabaseAway
from adapters.redis_client import Redis, away_as_error

KEPT_MAX = 100_000
LISTED_MAX = 100_000
"""Agents in all the lists that are kept."""
KEPT_AT_ONCE = 1_000
"""Before others run."""
KEPT_S = 60.0
PATIENCE_S = 0.5
"""How long a read waits for PostgreSQL where an answer is at hand."""
SILENCE_S = 2.0
"""How long nobody asks a PostgreSQL that has not answered in time."""

log = logging.getLogger(__name__)

AgentTask = asyncio.Task[Agent | None]
ListTask = asyncio.Task[list[Agent]]


@dataclass(slots=True)
class _Kept:
    agent: Agent
    read_at: float


@dataclass(slots=True)
class _Listed:
    agents: Sequence[Agent]
    read_at: float


class AgentDirectory:
    """The agents and lists that were read last, bounded."""

    def __init__(self, database: Database, redis: Redis, broadcasts: Broadcasts) -> None:
        self._database = database
        self._redis = redis
        self._kept: OrderedDict[UUID, _Kept] = OrderedDict()
        self._told: OrderedDict[UUID, int] = OrderedDict()
        """The newest epochs that any hub has told of: a reading from before is not kept."""
        self._lists: OrderedDict[UUID, _Listed] = OrderedDict()
        self._listed = 0
        self._asked: dict[tuple[UUID, UUID], AgentTask] = {}
        self._listing: dict[UUID, ListTask] = {}
        self._subscribed_at = time.monotonic()
        self._silent_until = 0.0
        broadcasts.listen(keys.agents_channel(), self._on_news, self._on_subscribed)

    async def changed(self, told: Sequence[Agent]) -> None:
        """Agents have these wanted states now: all hubs are told. Raises RedisAway."""
        for agent in told:
            self._asked.pop((agent.user_id, agent.id), None)
            if agent.wanted == "deleted":
                self._kept.pop(agent.id, None)
        self.keep(agent for agent in told if agent.wanted != "deleted")
        for owner in {agent.user_id for agent in told}:
            self._forget_list(owner)
        async with away_as_error():
            await tell_changed(self._redis, told)

    def keep(self, found: Iterable[Agent]) -> None:
        """Remembers agents as PostgreSQL has them; a newer state that is known already stays."""
        now = time.monotonic()
        for agent in found:
            kept = self._kept.get(agent.id)
            if kept is not None and kept.agent == agent:
                kept.read_at = now  # what was made of this very record still holds
                continue
            known = self._told.get(agent.id, 0)
            if kept is not None and self._is_sound(kept.read_at):
                known = kept.agent.epoch
            if known <= agent.epoch:
                self._kept[agent.id] = _Kept(agent, now)
                self._kept.move_to_end(agent.id)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    async def get(self, user_id: UUID, agent_id: UUID) -> Agent | None:
        """One agent of an owner; None when it is missing or somebody else's.

        Whether somebody else has it makes no difference: PostgreSQL is asked for both alike.

        Raises:
            DatabaseAway: PostgreSQL is away, and this agent was never read here.
        """
        kept = self._kept.get(agent_id)
        if kept is None or kept.agent.user_id != user_id:
            return await asyncio.shield(self._ask(user_id, agent_id))
        if self._is_sound(kept.read_at):
            return kept.agent
        return await self._read_again(kept.agent)

    async def again(self, agent: Agent) -> Agent | None:
        """The agent as PostgreSQL has it now, for whoever sees that what is kept may be old."""
        kept = self._kept.get(agent.id)
        if kept is not None and kept.agent is not agent:
            return kept.agent
        return await self._read_again(agent)

    async def list_all(self, user_id: UUID) -> Sequence[Agent]:
        """An owner's agents, oldest first. Raises DatabaseAway."""
        listed = self._lists.get(user_id)
        if listed is not None and self._is_sound(listed.read_at):
            return listed.agents
        listing = self._listing.get(user_id)
        if listing is None:
            listing = self._listing[user_id] = asyncio.create_task(self._list(user_id))
            listing.add_done_callback(_heard)
        return await asyncio.shield(listing)

    async def list_again(self, user_id: UUID, before: Sequence[Agent]) -> Sequence[Agent]:
        """The list as PostgreSQL has it now; the one of before, while PostgreSQL is away."""
        listed = self._lists.get(user_id)
        if listed is not None and listed.agents is before:
            self._forget_list(user_id)
        try:
            return await self.list_all(user_id)
        except DatabaseAway:
            return before

    @property
    def kept(self) -> int:
        """How many agents are kept for questions about one."""
        return len(self._kept)

    @property
    def listed(self) -> int:
        """How many agents are in the lists that are kept."""
        return self._listed

    def _is_sound(self, read_at: float) -> bool:
        return read_at > max(time.monotonic() - KEPT_S, self._subscribed_at)

    async def _read_again(self, agent: Agent) -> Agent | None:
        """The agent as it is now; as it was, while PostgreSQL is away."""
        if time.monotonic() < self._silent_until:
            return agent
        asked = self._ask(agent.user_id, agent.id)
        await asyncio.wait({asked}, timeout=PATIENCE_S)
        if not asked.done():
            # A server that hangs is away, too; the question ends by itself in bounded time.
            self._silent_until = time.monotonic() + SILENCE_S
            return agent
        try:
            return asked.result()
        except DatabaseAway:
            return agent

    def _ask(self, user_id: UUID, agent_id: UUID) -> AgentTask:
        """One question to PostgreSQL for all who ask for an agent at the same time."""
        key = (user_id, agent_id)
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.create_task(self._read(user_id, agent_id))
            asked.add_done_callback(_heard)
        return asked

    async def _read(self, user_id: UUID, agent_id: UUID) -> Agent | None:
        key = (user_id, agent_id)
        try:
            agent = await agents.get_agent(self._database, user_id, agent_id)
        finally:
            # Not ours any more if there was news of the agent: then it is not kept.
            is_newest = self._asked.get(key) is asyncio.current_task()
            if is_newest:
                del self._asked[key]
        if is_newest and agent is not None:
            self.keep([agent])
            kept = self._kept.get(agent_id)
            return agent if kept is None else kept.agent
        if is_newest and (kept := self._kept.get(agent_id)) and kept.agent.user_id == user_id:
            del self._kept[agent_id]
        return agent

    async def _list(self, user_id: UUID) -> list[Agent]:
        began = time.monotonic()
        # Not ours any more once there is news of the owner: then nothing more of it is kept.
        is_newest = partial(self._is_listing, user_id)
        try:
            found = await agents.list_agents(self._database, user_id)
            for begin in range(0, min(len(found), LISTED_MAX), KEPT_AT_ONCE):
                if is_newest():
                    self.keep(found[begin : begin + KEPT_AT_ONCE])
                await asyncio.sleep(0)
            if is_newest() and len(found) <= LISTED_MAX:
                self._forget_list(user_id)
                self._lists[user_id] = _Listed(found, began)
                self._listed += len(found)
            while self._listed > LISTED_MAX:
                self._forget_list(next(iter(self._lists)))
        finally:
            if is_newest():
                del self._listing[user_id]
        return found

    def _is_listing(self, user_id: UUID) -> bool:
        return self._listing.get(user_id) is asyncio.current_task()

    def _forget_list(self, user_id: UUID) -> None:
        self._listing.pop(user_id, None)
        listed = self._lists.pop(user_id, None)
        if listed is not None:
            self._listed -= len(listed.agents)

    def _on_news(self, channel: str, data: bytes) -> None:
        news = read_news(data)
        if news.owner is None:
            self._on_subscribed(channel)
            return
        self._forget_list(news.owner)
        for agent_id, epoch in news.epochs:
            self._asked.pop((news.owner, agent_id), None)
            self._told[agent_id] = max(epoch, self._told.get(agent_id, 0))
            self._told.move_to_end(agent_id)
            kept = self._kept.get(agent_id)
            if kept is not None and kept.agent.epoch < epoch:
                del self._kept[agent_id]
        while len(self._told) > KEPT_MAX:
            self._told.popitem(last=False)

    def _on_subscribed(self, channel: str) -> None:
        # What was told before is lost; what is kept serves only while PostgreSQL is away.
        self._subscribed_at = time.monotonic()
        self._told.clear()
        self._asked.clear()
        self._listing.clear()


def _heard(asked: "AgentTask | ListTask") -> None:
    if not asked.cancelled() and isinstance(error := asked.exception(), DatabaseAway):
        log.debug("PostgreSQL was asked for agents in vain: %s", error)
