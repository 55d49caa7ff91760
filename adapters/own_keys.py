"""Keys of outside services that users have put in for themselves, as hubs use them.

The record is asked at most once in KEPT_S for each user, and every hub tells the others of a
change. While PostgreSQL is away what was known is used on. A key is in memory in plain text, and
nowhere else: not in Redis, logs, errors or answers.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from uuid import UUID

from adapters import redis_keys as keys
from adapters.broadcasts import Broadcasts
from adapters.db.connection import Database
from adapters.db.errors import DatabaseError
from adapters.db.user_secrets import find_secret
from adapters.errors import RedisAway
from adapters.redis_client import Redis, away_as_error, command
from adapters.vault import SealBroken, Vault

TWELVE_DATA: Final = "TWELVE_DATA_API_KEY"
KEPT_S: Final = 60.0
"""In case that a hub died between a change and telling of it."""
REMEMBERED_MAX: Final = 20_000

log = logging.getLogger(__name__)


class UserKeys:
    """The keys of users, for one hub process. clock: seconds that only grow."""

    def __init__(
        self,
        database: Database,
        redis: Redis,
        broadcasts: Broadcasts,
        vault: Vault,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._redis = redis
        self._vault = vault
        self._clock = clock
        self._known: OrderedDict[UUID, tuple[str | None, float]] = OrderedDict()
        self._reading: dict[UUID, asyncio.Task[str | None]] = {}
        self._changes = 0
        """What was read before a change is not remembered after it."""
        broadcasts.listen(keys.secrets_channel(), self._on_message, self._on_subscribed)

    async def twelve_data_key(self, user_id: UUID) -> str | None:
        """A user's own key of TwelveData, None without one, or while it can't be had."""
        known = self._known.get(user_id)
        if known is not None and self._clock() - known[1] < KEPT_S:
            return known[0]
        reading = self._reading.get(user_id)
        if reading is None:  # those who ask meanwhile share the answer
            reading = asyncio.create_task(self._ask(user_id))
            self._reading[user_id] = reading
            reading.add_done_callback(lambda task: self._read_is_over(user_id, task))
        return await asyncio.shield(reading)

    def _read_is_over(self, user_id: UUID, task: "asyncio.Task[str | None]") -> None:
        if self._reading.get(user_id) is task:
            del self._reading[user_id]

    async def _ask(self, user_id: UUID) -> str | None:
        known, changes = self._known.get(user_id), self._changes
        try:
            key = await self._read(user_id)
        except DatabaseError as error:
            log.warning("keys of users are not read anew: %s", error)
            return None if known is None else known[0]
        if changes == self._changes:
            self._known[user_id] = key, self._clock()
            self._known.move_to_end(user_id)
            while len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
        return key

    async def changed(self, user_id: UUID) -> None:
        """Tells every hub that the record has other secrets of this user now."""
        self._forget(user_id)
        try:
            async with away_as_error():
                await command(self._redis, "PUBLISH", keys.secrets_channel(), user_id.bytes)
        except RedisAway as error:
            log.warning("other hubs hear of a changed secret within a minute: %s", error)

    async def _read(self, user_id: UUID) -> str | None:
        sealed = await find_secret(self._database, user_id, TWELVE_DATA)
        if sealed is None:
            return None
        try:
            return self._vault.open(user_id, TWELVE_DATA, sealed)
        except SealBroken as error:
            log.error("a key of user %s is left out: %s", user_id, error)
            return None

    def _forget(self, user_id: UUID) -> None:
        self._changes += 1
        self._known.pop(user_id, None)
        self._reading.pop(user_id, None)

    def _on_message(self, channel: str, data: bytes) -> None:
        self._forget(UUID(bytes=data))

    def _on_subscribed(self, channel: str) -> None:
        # What was said before is lost. What is known is read anew, and used until then.
        self._changes += 1
        self._known = OrderedDict((user, (key, -KEPT_S)) for user, (key, _) in self._known.items())
