"""Logins that have ended: their access tokens are refused and their sockets closed, in all hubs.

PostgreSQL is the record. A hub that ends a login says so over Redis; what is lost on the way is
read from the record: whenever the subscription begins anew, and every few seconds. Access tokens
die by themselves after a while, so that only logins that ended lately need to be remembered.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import msgspec

from adapters import redis_keys as keys
from adapters.broadcasts import Broadcasts
from adapters.db.connection import Database
from adapters.db.errors import DatabaseError
from adapters.db.logins import families_revoked_within, revoked_among
from adapters.errors import RedisAway
from adapters.redis_client import Redis, away_as_error, command
from adapters.tokens import ACCESS_TOKEN_LIFETIME_S
from api.api_keys import ApiKeys

log = logging.getLogger(__name__)

READ_EVERY_S = 10.0
RETRY_S = 1.0
REMEMBERED_S = ACCESS_TOKEN_LIFETIME_S + 60.0
"""Longer than any access token lives, with room for a slow transaction and for clocks."""


class Logins:
    """What one process knows of ended logins. run() keeps it up to date."""

    def __init__(
        self, broadcasts: Broadcasts, redis: Redis, database: Database, api_keys: ApiKeys
    ) -> None:
        self._redis = redis
        self._database = database
        self._api_keys = api_keys
        self._ended: dict[UUID, float] = {}
        self._open: dict[UUID, set[asyncio.Event]] = {}
        self._read_due = asyncio.Event()
        broadcasts.listen(keys.ended_channel(), self._on_message, self._on_subscribed)

    def has_ended(self, family_id: UUID) -> bool:
        """Whether the login was revoked while its access tokens may still be about."""
        return family_id in self._ended

    @property
    def open_logins(self) -> int:
        """How many logins have a socket open in this process."""
        return len(self._open)

    @contextmanager
    def following(self, family_id: UUID | None) -> Iterator[asyncio.Event]:
        """An event for the time inside: it is set once the login has ended."""
        ended = asyncio.Event()
        if family_id is None:
            yield ended
            return
        if family_id in self._ended:
            ended.set()
        followers = self._open.setdefault(family_id, set())
        followers.add(ended)
        try:
            yield ended
        finally:
            followers.discard(ended)
            if not followers and self._open.get(family_id) is followers:
                del self._open[family_id]

    async def end(self, family_id: UUID) -> None:
        """Tells every hub of a login that the record has as revoked."""
        self._take([family_id])
        await self._tell("login", family_id)

    async def key_replaced(self, user_id: UUID) -> None:
        """Tells every hub that the user's former API key is no good."""
        self._api_keys.forget(user_id)
        await self._tell("key", user_id)

    async def run(self) -> None:
        """Follows the record until it is canceled."""
        while True:
            self._read_due.clear()
            try:
                lately = timedelta(seconds=REMEMBERED_S)
                self._take(await families_revoked_within(self._database, lately))
                # However long the record was out of reach, no open socket is overlooked.
                self._take(await revoked_among(self._database, list(self._open)))
            except DatabaseError as error:
                log.warning("ended logins can't be read: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
            try:
                async with asyncio.timeout(READ_EVERY_S):
                    await self._read_due.wait()
            except TimeoutError:
                continue

    async def _tell(self, kind: str, subject: UUID) -> None:
        message = msgspec.msgpack.encode([kind, subject.hex])
        try:
            async with away_as_error():
                await command(self._redis, "PUBLISH", keys.ended_channel(), message)
        except RedisAway as error:
            log.warning("other hubs hear of an ended %s from the record: %s", kind, error)

    def _on_message(self, channel: str, data: bytes) -> None:
        kind, subject = msgspec.msgpack.decode(data, type=tuple[str, UUID])
        if kind == "login":
            self._take([subject])
        else:
            self._api_keys.forget(subject)

    def _on_subscribed(self, channel: str) -> None:
        # What was said before is lost.
        self._api_keys.forget_all()
        self._read_due.set()

    def _take(self, families: Iterable[UUID]) -> None:
        now = time.monotonic()
        for family_id in families:
            self._ended[family_id] = now + REMEMBERED_S
            for ended in self._open.get(family_id, ()):
                ended.set()
        for family_id in [each for each, until in self._ended.items() if until < now]:
            del self._ended[family_id]
