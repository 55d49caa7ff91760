"""Whose API key is this? PostgreSQL knows, and every hub tells of a key that was replaced before
its owner hears of the new one: a replaced key ends at once.

So a key that was good is good for KEPT_S, for whoever has caught up with what was told. Keys that
were good lately are remembered for the time when PostgreSQL is away, too, as long as an access
token would last; keys can't be replaced then.
"""

import time
from collections import OrderedDict
from uuid import UUID

from adapters.broadcasts import Broadcasts
from adapters.db import logins
from adapters.db.connection import Database
from adapters.db.errors import DatabaseAway
from adapters.errors import RedisAway
from adapters.tokens import ACCESS_TOKEN_LIFETIME_S, api_key_hash

REMEMBERED_MAX = 100_000
KEPT_S = 60.0
"""In case that a hub died between replacing a key and telling of it."""


class ApiKeys:
    """Looks keys up by their hash."""

    def __init__(self, database: Database, broadcasts: Broadcasts) -> None:
        self._database = database
        self._broadcasts = broadcasts
        self._seen: OrderedDict[str, tuple[UUID, float]] = OrderedDict()
        self._hash_of: dict[UUID, str] = {}
        self._forgotten = 0
        """How often a key was forgotten: what was asked before is not remembered."""

    async def user_of(self, key: str) -> UUID | None:
        """The user whose key this is; None for any other text.

        Raises:
            DatabaseAway: PostgreSQL is away, and the key was not seen lately.
        """
        key_hash = api_key_hash(key)
        if key_hash is None:
            return None
        user_id = await self._kept(key_hash)
        if user_id is not None:
            return user_id
        forgotten = self._forgotten
        try:
            user_id = await logins.user_of_api_key(self._database, key_hash)
        except DatabaseAway:
            seen = self._seen.get(key_hash)
            if seen is None or seen[1] < time.monotonic() - ACCESS_TOKEN_LIFETIME_S:
                raise
            return seen[0]
        if user_id is not None and forgotten == self._forgotten:
            self._remember(user_id, key_hash)
        return user_id

    def is_guess(self, key: str) -> bool:
        """Whether only PostgreSQL can say that it is nobody's."""
        key_hash = api_key_hash(key)
        return key_hash is not None and key_hash not in self._seen

    async def _kept(self, key_hash: str) -> UUID | None:
        """Whose key it is by memory, if it was good lately and nobody has told otherwise."""
        seen = self._seen.get(key_hash)
        if seen is None or seen[1] < time.monotonic() - KEPT_S:
            return None
        try:
            await self._broadcasts.caught_up()
        except RedisAway:
            return None  # PostgreSQL is asked instead
        return seen[0] if self._seen.get(key_hash) is seen else None

    def forget(self, user_id: UUID) -> None:
        """The user's key was replaced."""
        self._forgotten += 1
        self._drop(user_id)

    def _drop(self, user_id: UUID) -> None:
        key_hash = self._hash_of.pop(user_id, None)
        if key_hash is not None:
            del self._seen[key_hash]

    def forget_all(self) -> None:
        """Any key may have been replaced."""
        self._forgotten += 1
        self._seen.clear()
        self._hash_of.clear()

    def __len__(self) -> int:
        return len(self._seen)

    def _remember(self, user_id: UUID, key_hash: str) -> None:
        self._drop(user_id)
        self._seen[key_hash] = (user_id, time.monotonic())
        self._hash_of[user_id] = key_hash
        if len(self._seen) > REMEMBERED_MAX:
            _, (oldest, _) = self._seen.popitem(last=False)
            del self._hash_of[oldest]
