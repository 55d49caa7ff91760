"""New agents and commands on their way to the pool: those of one moment go together.

What is told, pushed and waked for one of them is a round trip for all. The order is that of each
single command: PostgreSQL first, then the news to other hubs, the inbox, and the wake.
"""

import logging
from collections.abc import Sequence
from uuid import UUID

from adapters import queue as jobs
from adapters.db import creation
from adapters.db.agents import Agent, NewAgent
from adapters.db.connection import Database
from adapters.db.errors import (
    DatabaseAway,
    DatabaseBusy,
    DatabaseRefused,
    NoSuchPlan,
    NoSuchUser,
    TooManyAgents,
)
from adapters.db.plans import Plan
from adapters.errors import RedisAway, ShardFull
from adapters.plan_directory import publish_plans
from adapters.queue import JobQueue
from adapters.redis_client import Redis, away_as_error
from adapters.shard_records import Pushed
from adapters.shard_store import ShardStore
from adapters.wanted import payload_of
from api.directory import AgentDirectory
from api.gathered import Gathered

log = logging.getLogger(__name__)

Made = Agent | NoSuchPlan | NoSuchUser | TooManyAgents


def is_away(error: Exception) -> bool:
    """Whether nothing can be made or handed over for now; a lock that others hold is not that."""
    gone = isinstance(error, RedisAway | DatabaseAway | DatabaseRefused)
    return gone and not isinstance(error, DatabaseBusy)


class CommandDesk:
    """The desk of one hub process."""

    def __init__(
        self,
        database: Database,
        redis: Redis,
        shards: ShardStore,
        directory: AgentDirectory,
        queue: JobQueue,
        agents_per_user: int = 0,
    ) -> None:
        self._database = database
        self._redis = redis
        self._shards = shards
        self._directory = directory
        self._queue = queue
        self._agents_per_user = agents_per_user
        self._creations = Gathered("the record", self._create_some, is_away=is_away)
        self._commands = Gathered("the pool", self._hand_over_some, is_away=is_away)

    async def create(self, new: NewAgent, plan: Plan) -> Agent:
        """Makes an agent; its plan is where workers find it before PostgreSQL is written.

        Raises:
            RedisAway, DatabaseError; NoSuchPlan, NoSuchUser: it names one that does not exist;
            TooManyAgents: its owner may have no more.
        """
        made = await self._creations.ask((new, plan), new.user_id)
        if isinstance(made, Agent):
            return made
        raise made

    async def hand_over(self, agent: Agent) -> Pushed | None:
        """Tells other hubs, pushes the wanted state and wakes the shard.

        None where the inbox did not take it: the shard has no head, or too many wait in it.
        Raises RedisAway.
        """
        return await self._commands.ask(agent, agent.user_id)

    async def wake(self, pushed: Sequence[tuple[int, Pushed]]) -> None:
        """Wakes shards for what was pushed, each once for all of one slot."""
        newest = {(shard, each.stamp): each.number for shard, each in pushed}
        wakes = [jobs.wake(shard, number, stamp) for (shard, stamp), number in newest.items()]
        try:
            async with away_as_error():
                await self._queue.enqueue(*wakes)
        except RedisAway as error:
            # The commands are in the inboxes; the sentinel finds them half a second later.
            shards = sorted({shard for shard, _ in newest})
            log.warning("shards %s were not woken: %s", shards, error)

    async def _create_some(self, asked: Sequence[tuple[NewAgent, Plan]]) -> Sequence[Made]:
        async with away_as_error():
            await publish_plans(self._redis, {plan.id: plan for _, plan in asked}.values())
        made = await self._make([new for new, _ in asked])
        return [made[new.id] for new, _ in asked]

    async def _make(self, new: Sequence[NewAgent]) -> dict[UUID, Made]:
        """Each of them, made or refused. Where one is refused, its owner's are made one by one and
        those of each other owner together: who has too many holds up nobody else for long.
        """
        try:
            agents = await creation.create_agents(self._database, new, self._agents_per_user)
        except (NoSuchPlan, NoSuchUser, TooManyAgents) as error:
            if len(new) == 1:
                return {new[0].id: error}
        else:
            return {agent.id: agent for agent in agents}
        by_owner: dict[UUID, list[NewAgent]] = {}
        for each in new:
            by_owner.setdefault(each.user_id, []).append(each)
        parts = list(by_owner.values()) if len(by_owner) > 1 else [[each] for each in new]
        made: dict[UUID, Made] = {}
        for part in parts:
            made |= await self._make(part)
        return made

    async def _hand_over_some(self, told: Sequence[Agent]) -> Sequence[Pushed | None]:
        await self._directory.changed(told)
        try:
            async with away_as_error():
                pushed = await self._shards.push_all([(a.shard, payload_of(a)) for a in told])
        except ShardFull:
            # Which of them is full its own push will say; to push others twice does no harm.
            return [None] * len(told)
        taken = [(a.shard, each) for a, each in zip(told, pushed, strict=True) if each is not None]
        await self.wake(taken)
        return pushed
