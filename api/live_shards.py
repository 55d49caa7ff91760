"""The shards whose agents somebody watches: each is looked at when it has ticked.

Workers know no watchers; they only say "shard ticked". Statuses and tick lines are made here, from
rows and frames, for all watched agents of a shard together.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import numpy as np

from adapters.db.agents import Agent
from adapters.errors import AdapterError
from adapters.redis_client import away_as_error
from adapters.shard_records import Head
from adapters.shard_store import ShardStore
from api.live_agents import ShardLook, WatchedAgent
from api.shims import ShimNotes
from api.sights import Sights
from api.status import Sight
from api.status_words import StatusWord
from api.watcher import Watcher
from engine.rows import Rows, empty_rows, rows_at

log = logging.getLogger(__name__)

ROWS_ONE_BY_ONE_MAX = 64
SHARDS_AT_ONCE = 16
AGENTS_AT_ONCE = 500
"""Whose messages are made before others run: a few milliseconds."""

Followed = tuple[set[Watcher], WatchedAgent]
"""An agent with whoever watches it; the set is that of its owner, who changes it."""


class FollowedShard:
    """The watched agents of one shard."""

    def __init__(self) -> None:
        self.agents: dict[UUID, Followed] = {}
        self._ordered: list[Followed] = []
        self.rows: Rows | None = None
        """As they were when everybody was told last, in the order of `ordered`."""

    def ordered(self) -> list[Followed]:
        """The agents, those of one owner together: what they say goes out in few pieces."""
        if len(self._ordered) != len(self.agents):
            found = list(self.agents.values())
            self._ordered = sorted(found, key=lambda each: each[1].agent.user_id.int)
            self.rows = None
        return self._ordered

    def changed(self) -> None:
        """Agents have come or gone."""
        self._ordered = []
        self.rows = None


class LiveShards:
    """The followed shards of one process. run() keeps it going."""

    def __init__(self, shards: ShardStore, sights: Sights, shims: ShimNotes) -> None:
        self._shards = shards
        self._sights = sights
        self._shims = shims
        self._followed: dict[int, FollowedShard] = {}
        self._due: set[int] = set()
        self._news = asyncio.Event()

    def follow(
        self, watchers: set[Watcher], known: Mapping[UUID, WatchedAgent], found: Sequence[Agent]
    ) -> dict[UUID, WatchedAgent]:
        """From now on the watchers hear of the agents that were found, and of no others of those
        they knew; answers what they know then.
        """
        gone = dict(known)
        now: dict[UUID, WatchedAgent] = {}
        for agent in found:
            watched = gone.pop(agent.id, None)
            if watched is None or watched.agent.shard != agent.shard:
                if watched is not None:
                    self._leave(watched.agent)
                watched = watched or WatchedAgent(agent)
                self._join(agent, (watchers, watched))
            if watched.agent != agent:  # what was made of the same record still holds
                watched.agent = agent
            now[agent.id] = watched
            self.look_at(agent.shard)
        for watched in gone.values():
            self._leave(watched.agent)
        return now

    def look_at(self, shard: int) -> None:
        """Something may be new there; nothing happens where nobody watches."""
        if shard in self._followed:
            self._due.add(shard)
            self._news.set()

    def look_at_all(self) -> None:
        """The same of every shard."""
        for shard in self._followed:
            self.look_at(shard)

    async def run(self) -> None:
        """Looks at shards as they come up, until it is canceled."""
        while True:
            await self._news.wait()
            self._news.clear()
            due, self._due = sorted(self._due), set()
            for begin in range(0, len(due), SHARDS_AT_ONCE):
                some = due[begin : begin + SHARDS_AT_ONCE]
                await asyncio.gather(*(self._tell_shard(shard) for shard in some))

    def _join(self, agent: Agent, followed: Followed) -> None:
        shard = self._followed.setdefault(agent.shard, FollowedShard())
        shard.agents[agent.id] = followed
        shard.changed()

    def _leave(self, agent: Agent) -> None:
        shard = self._followed[agent.shard]
        del shard.agents[agent.id]
        shard.changed()
        if not shard.agents:
            del self._followed[agent.shard]

    async def _tell_shard(self, number: int) -> None:
        shard = self._followed.get(number)
        if shard is None:
            return
        try:
            async with away_as_error():
                await self._tell_agents(number, shard)
        except AdapterError as error:
            log.warning("shard %d is not streamed: %s", number, error)
        except Exception as error:
            # One bad shard must not end the stream of all others; the next tick tries again.
            log.exception("shard %d could not be streamed: %s", number, error)

    async def _tell_agents(self, number: int, shard: FollowedShard) -> None:
        """Statuses and tick lines of the agents of one shard that have news."""
        ordered = shard.ordered()
        watched = [each for _, each in ordered]
        found = await self._read(number, [each.agent.row for each in watched])
        if found is None:
            return
        head, rows = found
        words = self._words(watched)
        before = shard.rows if shard.ordered() is ordered else None
        look = ShardLook(head, watched, rows, words, before)
        shard.rows = None  # until everybody was told
        if look.is_needed:
            sights, now = await self._sights_for(look.wanted(), head.slot)
            for place, told in enumerate(look.told(sights, now), start=1):
                agent_id = told.watched.agent.id
                for watcher in ordered[told.place][0]:
                    watcher.put_status(agent_id, told.status)
                    if told.lines is not None:
                        watcher.put_lines(agent_id, told.lines)
                if place % AGENTS_AT_ONCE == 0:
                    await asyncio.sleep(0)
        if shard.ordered() is ordered:
            shard.rows = rows

    async def _sights_for(
        self, wanted: Mapping[int, Iterable[Agent]], newest: int
    ) -> tuple[dict[int, dict[int, Sight]], dict[int, Sight]]:
        """What agents saw in slots, without those whose frames are gone; and what they see now."""
        sights: dict[int, dict[int, Sight]] = {}
        now: dict[int, Sight] = {}
        for slot, of_plans in wanted.items():
            frame = await self._sights.frame(slot)
            if frame is not None:
                sights[slot] = await self._sights.of_plans(of_plans, frame)
            elif slot == newest:
                now = {agent.plan_id: await self._sights.now(agent) for agent in of_plans}
        return sights, sights.get(newest, now)

    async def _read(self, shard: int, wanted: list[int]) -> tuple[Head, Rows] | None:
        """The head, and the records of these rows in their order, free ones where there are none.

        None where the shard has no head.
        """
        rows = empty_rows(len(wanted))
        if len(wanted) <= ROWS_ONE_BY_ONE_MAX:
            some = await self._shards.read_some(shard, wanted)
            if some is None:
                return None
            head, found = some
            for place, row in enumerate(wanted):
                if row in found:
                    rows[place] = found[row]
            return head, rows
        state = await self._shards.read(shard)
        if state is None:
            return None
        index = np.array(wanted)
        there = np.flatnonzero(index < len(state.rows))
        rows[there] = rows_at(state.rows, index[there])
        return state.head, rows

    def _words(self, watched: Sequence[WatchedAgent]) -> list[StatusWord | None]:
        """What their containers say of agents, where there are any."""
        if not self._shims.are_kept:
            return [None] * len(watched)
        said = [self._shims.word(each.agent.id) for each in watched]
        return [None if each is None else each[0] for each in said]
