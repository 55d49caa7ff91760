"""Tells other hubs of the agents that stand for containers of theirs, as those would themselves.

One hub process at a time does it, by a lease. It is one more watcher of the account that owns the
agents: statuses and tick lines come from the live feed, trades and other lines from the record,
where a cursor says how far each hub was told.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from uuid import UUID

import msgspec

from adapters import redis_keys as keys
from adapters.broadcasts import Broadcasts
from adapters.db import callbacks, users
from adapters.db.callbacks import Callback
from adapters.db.connection import Database
from adapters.db.errors import DatabaseError
from adapters.other_hub import OtherHub
from adapters.redis_client import Redis, away_as_error, script
from adapters.settings import Settings
from adapters.vault import SealBroken, Vault
from api.callback_lines import AgentNews, HubLine
from api.callback_payloads import LinesMessage, StatusMessage, status_report
from api.live import LiveFeed
from api.watcher import Watcher
from api.websocket_protocol import Fact, Wishes

log = logging.getLogger("artic.callbacks")

LEASE_MS = 5_000
RENEW_S = 1.5
LOOK_S = 10.0
"""The record is asked so often which hubs have not been told everything."""
RETRY_S = 1.0
KEPT_AS = "INTERNAL_SECRET"

_statuses = msgspec.json.Decoder(StatusMessage)
_lines = msgspec.json.Decoder(LinesMessage)


class HostedAgents:
    """What a hub process knows of agents of other hubs: who owns them, whom it may speak to."""

    def __init__(self, settings: Settings, database: Database, vault: Vault) -> None:
        self._settings = settings
        self._database = database
        self._vault = vault
        self._owner: UUID | None = None

    @property
    def are_taken(self) -> bool:
        """Whether this pool runs agents of other hubs at all."""
        return bool(self._settings.shim_owner and self._settings.callback_hubs)

    def may_tell(self, hub_url: str) -> bool:
        """Whether the operator has named this hub."""
        return hub_url in self._settings.callback_hubs.split(",")

    async def owner(self) -> UUID | None:
        """The account that owns them; None while there is none. Raises DatabaseError."""
        if self._owner is None and self._settings.shim_owner:
            user = await users.find_by_email(self._database, self._settings.shim_owner)
            self._owner = None if user is None else user.id
        return self._owner

    def seal(self, secret: str, agent_id: UUID) -> bytes:
        """Another hub's secret as it may be stored."""
        return self._vault.seal(agent_id, KEPT_AS, secret)

    def unseal(self, sealed: bytes, agent_id: UUID) -> str:
        """The same back again. Raises SealBroken."""
        return self._vault.open(agent_id, KEPT_AS, sealed)


class _Ear(Watcher):
    """What the live feed says, passed on; it keeps nothing and is never too far behind."""

    def __init__(self, callbacks: "Callbacks") -> None:
        super().__init__(Wishes())
        self._callbacks = callbacks

    def put_status(self, agent_id: UUID, message: bytes) -> None:
        self._callbacks.status(agent_id, message)

    def put_lines(self, agent_id: UUID, message: bytes) -> None:
        self._callbacks.lines(agent_id, message)

    def put_fact(self, fact: Fact) -> None:
        self._callbacks.fact(fact.agent_id)

    def put_gap(self, first: int, last: int) -> None:
        self._callbacks.look()


class Callbacks:
    """The lines to all other hubs, while this process holds the lease."""

    def __init__(
        self,
        hosted: HostedAgents,
        database: Database,
        redis: Redis,
        live: LiveFeed,
        broadcasts: Broadcasts,
        open_hub: Callable[[str], OtherHub] = OtherHub,
    ) -> None:
        self._hosted = hosted
        self._database = database
        self._live = live
        self._open_hub = open_hub
        self._lease = script(redis, "feeder")
        self._name = secrets.token_hex(8)
        self._news: dict[UUID, tuple[AgentNews, str]] = {}
        self._lines: dict[str, tuple[HubLine, asyncio.Task[None]]] = {}
        self._look = asyncio.Event()
        broadcasts.listen(keys.agents_channel(), self._on_agents, self._on_agents)

    async def run(self) -> None:
        """Until it is cancelled. Raises DatabaseError, RedisAway: then it is to be run again."""
        try:
            while True:
                owner = await self._hosted.owner()
                if owner is None or not await self._take(LEASE_MS):
                    await asyncio.sleep(RENEW_S)
                    continue
                await self._serve(owner)
        finally:
            await self._take(0)

    def status(self, agent_id: UUID, message: bytes) -> None:
        """The agent has ticked."""
        found = self._news.get(agent_id)
        if found is None:
            return
        status = _statuses.decode(message).data
        if status.status != "creating":  # not yet what was asked for, and its hub was told that
            found[0].status = status_report(status)
            self._put(agent_id)

    def lines(self, agent_id: UUID, message: bytes) -> None:
        """Ten of its ticks, or more."""
        found = self._news.get(agent_id)
        if found is not None:
            found[0].ticks.extend(_lines.decode(message).data.entries)
            self._put(agent_id)

    def fact(self, agent_id: UUID) -> None:
        """The record has a new trade or line of it."""
        found = self._news.get(agent_id)
        if found is not None:
            found[0].record_due = True
            self._put(agent_id)

    def look(self) -> None:
        """Something was missed, or agents were made or deleted."""
        self._look.set()

    def _on_agents(self, *_: object) -> None:
        self._look.set()

    async def _take(self, lease_ms: int) -> bool:
        async with away_as_error():
            taken = await self._lease(keys=[keys.callback_keeper()], args=[self._name, lease_ms])
        return bool(taken)

    async def _serve(self, owner: UUID) -> None:
        """Until another process holds the lease."""
        log.info("this process tells other hubs of their agents")
        ear = _Ear(self)
        looking = asyncio.create_task(self._keep_looking(owner))
        try:
            await self._live.join(owner, ear)
            ear.replaying = False  # the cursors of the record say what was missed
            while await self._take(LEASE_MS):
                at_work = [looking, *(task for _, task in self._lines.values())]
                ended, _ = await asyncio.wait(
                    at_work, timeout=RENEW_S, return_when=asyncio.FIRST_COMPLETED
                )
                for task in ended:
                    if not task.cancelled():
                        task.result()  # none of them ends but by a mistake
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            await self._live.leave(owner, ear)
            await self._end_lines(list(self._lines))
            self._news.clear()

    async def _keep_looking(self, owner: UUID) -> None:
        while True:
            self._look.clear()
            try:
                await self._read(owner)
            except DatabaseError as error:
                log.warning("other hubs hear of trades later: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def _read(self, owner: UUID) -> None:
        """Which agents there are, and of which something is to be told."""
        found = {each.agent_id: each for each in await callbacks.list_callbacks(
            self._database, owner
        ) if self._hosted.may_tell(each.hub_url)}  # fmt: skip
        for agent_id in [each for each in self._news if each not in found]:
            _, hub_url = self._news.pop(agent_id)
            self._lines[hub_url][0].forget(agent_id)
        for each in found.values():
            if each.is_over and not each.is_due:
                await callbacks.forget_callback(self._database, each.agent_id)
        self._take_in(found)
        used = {hub_url for _, hub_url in self._news.values()}
        await self._end_lines([url for url in self._lines if url not in used])

    def _take_in(self, found: Mapping[UUID, Callback]) -> None:
        for agent_id, each in found.items():
            try:
                secret = self._hosted.unseal(each.secret, agent_id)
            except SealBroken:
                log.error("agent %s: its hub's secret does not open; restart its shim", agent_id)
                continue
            if agent_id not in self._news:
                self._news[agent_id] = (AgentNews(agent_id, each.outside_id, secret), each.hub_url)
            news, hub_url = self._news[agent_id]
            news.secret = secret
            if hub_url not in self._lines:
                line = HubLine(self._open_hub(hub_url), self._database)
                self._lines[hub_url] = (line, asyncio.create_task(line.run()))
            if each.is_due:
                news.record_due = True
                self._put(agent_id)

    def _put(self, agent_id: UUID) -> None:
        news, hub_url = self._news[agent_id]
        if hub_url in self._lines:
            self._lines[hub_url][0].put(news)

    async def _end_lines(self, urls: list[str]) -> None:
        ended = [self._lines.pop(url)[1] for url in urls]
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
