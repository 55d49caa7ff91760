"""What happens, told to whoever watches: one subscription to Redis for a process, fanned out here.

Workers know no watchers; they only say "shard ticked". Statuses are made from rows and frames for
the agents that somebody watches. Trades and logs come from the ledger in the order of their seq;
whatever Redis lost on the way is read from PostgreSQL.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from uuid import UUID

import numpy as np

from adapters import redis_keys as keys
from adapters.agent_news import read_news
from adapters.broadcasts import Broadcasts
from adapters.db import agents, history, users
from adapters.db.agents import Agent
from adapters.db.connection import Database
from adapters.db.errors import DatabaseError
from adapters.errors import AdapterError
from adapters.redis_client import away_as_error
from adapters.shard_records import Head, decode_ticked
from adapters.shard_store import ShardStore
from api.directory import AgentDirectory
from api.live_agents import ShardLook, WatchedAgent
from api.shims import ShimNotes
from api.sights import Sights
from api.status import Sight
from api.status_words import StatusWord
from api.watcher import Watcher
from api.websocket_protocol import (
    Fact,
    FactOrder,
    fact_of,
    read_fact,
    read_reported_status,
)
from engine.rows import Rows, empty_rows, rows_at

log = logging.getLogger(__name__)

ROWS_ONE_BY_ONE_MAX = 64
SHARDS_AT_ONCE = 16
PAGE = 1_000
REPLAY_PAGE = 500
CHECK_EVERY_S = 15.0
"""The record is asked so often whether a message was missed (a ledger may die before it tells)."""
RETRY_S = 1.0
PATIENCE_S = 0.5
"""How long a client waits for the record before it is connected."""
AGENTS_AT_ONCE = 500
"""Whose messages are made before others run: a few milliseconds."""
COALESCE_S = 0.1
"""Before the record is read: many changes at once cost one reading."""


class Topic:
    """One user with at least one client."""

    def __init__(self, user_id: UUID) -> None:
        self.user_id = user_id
        self.channel = keys.user_channel(str(user_id))
        self.watchers: set[Watcher] = set()
        self.agents: dict[UUID, WatchedAgent] = {}
        self.order = FactOrder()
        self.agents_known = False
        self.record_due = True
        self.checked_at = 0.0


Followed = tuple[Topic, WatchedAgent]


class LiveFeed:
    """The watchers of one process. run() keeps it going; join and leave may come at any time."""

    def __init__(
        self,
        broadcasts: Broadcasts,
        shards: ShardStore,
        sights: Sights,
        database: Database,
        directory: AgentDirectory,
        shims: ShimNotes | None = None,
    ) -> None:
        self._broadcasts = broadcasts
        self._shards = shards
        self._sights = sights
        self._database = database
        self._directory = directory
        self._shims = shims or ShimNotes(None)
        self.topics: dict[UUID, Topic] = {}
        self._channels: dict[str, Topic] = {}
        self._by_shard: dict[int, dict[UUID, Followed]] = {}
        self._ticked: set[int] = set()
        self._shard_news = asyncio.Event()
        self._record_news = asyncio.Event()
        broadcasts.listen(keys.ticked_channel(), self._on_ticked, self._on_shards_subscribed)
        broadcasts.listen(keys.agents_channel(), self._on_agents, self._on_agents_subscribed)

    async def run(self) -> None:
        """Follows shards and users until it is canceled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_shards())
            tasks.create_task(self._follow_record())

    async def join(self, user_id: UUID, watcher: Watcher) -> None:
        """From now on the watcher gets what happens to the user's agents."""
        topic = self.topics.get(user_id)
        is_new = topic is None
        if topic is None:
            topic = self.topics[user_id] = Topic(user_id)
            self._channels[topic.channel] = topic
        if watcher.wishes.since is not None:
            watcher.after, watcher.replaying = watcher.wishes.since, True
        topic.watchers.add(watcher)  # before anything is awaited: others leave meanwhile
        if is_new:
            await self._broadcasts.subscribe(topic.channel, self._on_message, self._on_subscribed)
        if watcher.wishes.since is None and topic.order.last is None:
            # Nobody knows yet where the record begins for this process: by replay, from now on.
            watcher.replaying = True
            watcher.after = await self._newest_seq(user_id)
            watcher.replaying = watcher.after is not None
        # A status of everything to begin with; the others get one more, which does no harm.
        for watched in topic.agents.values():
            watched.shown = None
            self._look_at(watched.agent.shard)
        if topic.record_due:
            self._record_news.set()

    def watching(self, user_id: UUID) -> int:
        """How many clients of a user this process has."""
        topic = self.topics.get(user_id)
        return 0 if topic is None else len(topic.watchers)

    async def _newest_seq(self, user_id: UUID) -> int | None:
        """seq of the user's newest message; None where PostgreSQL does not say so in time."""
        asked = asyncio.create_task(self._message_seq(user_id))
        # Not canceled when it takes too long: a server that hangs answers no cancel either.
        await asyncio.wait({asked}, timeout=PATIENCE_S)
        return asked.result() if asked.done() else None

    async def _message_seq(self, user_id: UUID) -> int | None:
        try:
            user = await users.get(self._database, user_id)
        except DatabaseError as error:
            log.warning("a stream begins without the record: %s", error)
            return None
        return 0 if user is None else user.message_seq

    async def leave(self, user_id: UUID, watcher: Watcher) -> None:
        """The watcher has gone."""
        topic = self.topics.get(user_id)
        if topic is None:
            return
        topic.watchers.discard(watcher)
        if topic.watchers:
            return
        del self.topics[user_id], self._channels[topic.channel]
        self._set_agents(topic, [])
        await self._broadcasts.unsubscribe(topic.channel)

    async def replay(self, user_id: UUID, watcher: Watcher) -> bool:
        """Puts one page of what came after the client's seq; at its end the client is live.

        Called whenever the client has been sent everything, so that its own pace is kept. False
        when there is nothing to do yet: its news rings when there is. Raises DatabaseError.
        """
        topic = self.topics[user_id]
        if topic.order.last is None:
            return False
        before = after = watcher.after or 0
        if after < topic.order.last:
            page = await history.messages_since(self._database, user_id, after, REPLAY_PAGE)
            if page.gap is not None:
                watcher.put_gap(*page.gap)
            for message in page.messages:
                watcher.put_fact(fact_of(message.as_json()))
            after = max(watcher.after or 0, 0 if page.messages else page.newest)
        # Nothing is awaited between this comparison and going live: no fact falls in between.
        if after >= topic.order.last:
            watcher.after, watcher.replaying = topic.order.last, False
        return after > before or not watcher.replaying

    def agents_changed(self, user_id: UUID) -> None:
        """An agent of the user was made, changed or deleted."""
        topic = self.topics.get(user_id)
        if topic is not None:
            topic.agents_known = False
            topic.record_due = True
            self._record_news.set()

    def _on_ticked(self, channel: str, data: bytes) -> None:
        shard, _, _ = decode_ticked(data)
        if shard in self._by_shard:
            self._look_at(shard)

    def _on_shards_subscribed(self, channel: str) -> None:
        # What was published before is lost.
        for shard in self._by_shard:
            self._look_at(shard)

    def _on_agents(self, channel: str, data: bytes) -> None:
        owner = read_news(data).owner
        for user_id in list(self.topics) if owner is None else [owner]:
            self.agents_changed(user_id)

    def _on_agents_subscribed(self, channel: str) -> None:
        for user_id in list(self.topics):
            self.agents_changed(user_id)

    def _on_message(self, channel: str, data: bytes) -> None:
        topic = self._channels.get(channel)
        fact = read_fact(data)
        if topic is None or fact is None:
            reported = None if topic is None else read_reported_status(data)
            if topic is not None and reported is not None:
                for watcher in topic.watchers:
                    watcher.put_status(reported, data)
            return
        self._deliver(topic, topic.order.add([fact]))
        if fact.changes_agent or fact.agent_id not in topic.agents:
            self.agents_changed(topic.user_id)
        if topic.order.waits:
            topic.record_due = True
            self._record_news.set()

    def _on_subscribed(self, channel: str) -> None:
        # What was published before is lost: the record is read.
        topic = self._channels.get(channel)
        if topic is not None:
            topic.record_due = True
            self._record_news.set()

    def _look_at(self, shard: int) -> None:
        self._ticked.add(shard)
        self._shard_news.set()

    def _deliver(self, topic: Topic, facts: Iterable[Fact]) -> None:
        for fact in facts:
            for watcher in topic.watchers:
                if not watcher.replaying:
                    watcher.put_fact(fact)

    async def _follow_shards(self) -> None:
        while True:
            await self._shard_news.wait()
            self._shard_news.clear()
            ticked, self._ticked = sorted(self._ticked), set()
            for begin in range(0, len(ticked), SHARDS_AT_ONCE):
                some = ticked[begin : begin + SHARDS_AT_ONCE]
                await asyncio.gather(*(self._tell_shard(shard) for shard in some))

    async def _tell_shard(self, shard: int) -> None:
        watched = list(self._by_shard.get(shard, {}).values())
        if not watched:
            return
        try:
            async with away_as_error():
                found = await self._read(shard, [each.agent.row for _, each in watched])
                if found is not None:
                    await self._tell_agents(watched, *found)
        except AdapterError as error:
            log.warning("shard %d is not streamed: %s", shard, error)
        except Exception as error:
            # One bad shard must not end the stream of all others; the next tick tries again.
            log.exception("shard %d could not be streamed: %s", shard, error)

    async def _read(self, shard: int, wanted: list[int]) -> tuple[Head, Rows] | None:
        """The head, and the records of these rows in their order, free ones where there are none"""
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

    async def _tell_agents(self, watched: Sequence[Followed], head: Head, rows: Rows) -> None:
        """Statuses and tick lines of some agents of one shard."""
        words = [self._word(each.agent.id) for _, each in watched]
        topics = {each.agent.id: topic for topic, each in watched}
        look = ShardLook(head, [each for _, each in watched], rows, words)
        if not look.is_needed:
            return
        sights: dict[int, dict[int, Sight]] = {}
        now: dict[int, Sight] = {}
        for slot, of_plans in look.wanted().items():
            frame = await self._sights.frame(slot)
            if frame is not None:
                sights[slot] = await self._sights.of_plans(of_plans, frame)
            elif slot == head.slot:
                now = {agent.plan_id: await self._sights.now(agent) for agent in of_plans}
        for number, told in enumerate(look.told(sights, sights.get(head.slot, now)), start=1):
            agent_id = told.watched.agent.id
            for watcher in topics[agent_id].watchers:
                watcher.put_status(agent_id, told.status)
                if told.lines is not None:
                    watcher.put_lines(agent_id, told.lines)
            if number % AGENTS_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _word(self, agent_id: UUID) -> StatusWord | None:
        said = self._shims.word(agent_id)
        return None if said is None else said[0]

    async def _follow_record(self) -> None:
        """Reads from PostgreSQL what Redis did not bring, and which agents there are."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(COALESCE_S)
            self._record_news.clear()
            try:
                for topic in list(self.topics.values()):
                    if topic.record_due or loop.time() - topic.checked_at > CHECK_EVERY_S:
                        topic.checked_at = loop.time()
                        await self._read_record(topic)
            except DatabaseError as error:
                log.warning("the record can't be read, trades wait for it: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
            try:
                async with asyncio.timeout(CHECK_EVERY_S / 3):
                    await self._record_news.wait()
            except TimeoutError:
                continue

    async def _read_record(self, topic: Topic) -> None:
        # Down before the questions: what comes up meanwhile asks again.
        topic.record_due = False
        try:
            if not topic.agents_known:
                topic.agents_known = True
                found = await agents.list_agents(self._database, topic.user_id)
                self._directory.keep(found)
                if self.topics.get(topic.user_id) is topic:
                    self._set_agents(topic, found)
            if topic.order.last is None:
                user = await users.get(self._database, topic.user_id)
                self._deliver(topic, topic.order.begin(0 if user is None else user.message_seq))
                for watcher in topic.watchers:
                    watcher.news.set()
            else:
                await self._catch_up(topic)
        except DatabaseError:
            topic.record_due, topic.agents_known = True, False
            raise

    async def _catch_up(self, topic: Topic) -> None:
        """Everything the record has after the last fact that went out."""
        while topic.order.last is not None:
            page = await history.messages_since(
                self._database, topic.user_id, topic.order.last, PAGE
            )
            if page.gap is not None:
                for watcher in topic.watchers:
                    if not watcher.replaying:
                        watcher.put_gap(*page.gap)
                self._deliver(topic, topic.order.skip_to(page.gap[1] + 1))
            facts = [fact_of(message.as_json()) for message in page.messages]
            self._deliver(topic, topic.order.add(facts))
            if len(page.messages) < PAGE:
                return

    def _set_agents(self, topic: Topic, found: list[Agent]) -> None:
        for watched in topic.agents.values():
            self._by_shard.get(watched.agent.shard, {}).pop(watched.agent.id, None)
            if not self._by_shard.get(watched.agent.shard, True):
                del self._by_shard[watched.agent.shard]
        known = topic.agents
        topic.agents = {}
        for agent in found:
            watched = known.get(agent.id) or WatchedAgent(agent)
            if watched.agent != agent:  # what was made of the same record still holds
                watched.agent = agent
            topic.agents[agent.id] = watched
            self._by_shard.setdefault(agent.shard, {})[agent.id] = (topic, watched)
            self._look_at(agent.shard)
