"""What happens, told to whoever watches: one subscription to Redis for a process, fanned out here.

Statuses come from the shards (live_shards.py), trades and logs from the ledger in the order of
their seq; whatever Redis lost on the way is read from PostgreSQL.
"""

import asyncio
import logging
from collections.abc import Iterable
from uuid import UUID

from adapters import redis_keys as keys
from adapters.agent_news import read_news
from adapters.broadcasts import Broadcasts
from adapters.db import agents, history, users
from adapters.db.agents import Agent
from adapters.db.connection import Database
from adapters.db.errors import DatabaseError
from adapters.shard_records import decode_ticked
from adapters.shard_store import ShardStore
from api.directory import AgentDirectory
from api.live_agents import WatchedAgent
from api.live_shards import LiveShards
from api.shims import ShimNotes
from api.sights import Sights
from api.watcher import Watcher
from api.websocket_protocol import (
    Fact,
    FactOrder,
    fact_of,
    read_fact,
    read_reported_status,
)

log = logging.getLogger(__name__)

PAGE = 1_000
REPLAY_PAGE = 500
CHECK_EVERY_S = 15.0
"""The record is asked so often whether a message was missed (a ledger may die before it tells)."""
RETRY_S = 1.0
PATIENCE_S = 0.5
"""How long a client waits for the record before it is connected."""
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
        self._database = database
        self._directory = directory
        self._followed = LiveShards(shards, sights, shims or ShimNotes(None))
        self.topics: dict[UUID, Topic] = {}
        self._channels: dict[str, Topic] = {}
        self._record_news = asyncio.Event()
        broadcasts.listen(keys.ticked_channel(), self._on_ticked, self._on_shards_subscribed)
        broadcasts.listen(keys.agents_channel(), self._on_agents, self._on_agents_subscribed)

    async def run(self) -> None:
        """Follows shards and users until it is canceled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._followed.run())
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
            self._followed.look_at(watched.agent.shard)
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
        if after != topic.order.last:
            page = await history.messages_since(self._database, user_id, after, REPLAY_PAGE)
            if page.gap is not None:
                watcher.put_gap(*page.gap)
            for message in page.messages:
                watcher.put_fact(fact_of(message.as_json()))
            after = (watcher.after or 0) if page.messages else page.newest
        # Nothing is awaited between this comparison and going live: no fact falls in between. The
        # record may be ahead of what this process has heard: what is put now does not come again.
        if after >= topic.order.last:
            watcher.after, watcher.replaying = after, False
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
        self._followed.look_at(shard)

    def _on_shards_subscribed(self, channel: str) -> None:
        # What was published before is lost.
        self._followed.look_at_all()

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

    def _deliver(self, topic: Topic, facts: Iterable[Fact]) -> None:
        for fact in facts:
            for watcher in topic.watchers:
                if not watcher.replaying:
                    watcher.put_fact(fact)

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
        topic.agents = self._followed.follow(topic.watchers, topic.agents, found)
