"""Whose API key is this? PostgreSQL knows, and is asked each time: a replaced key ends at once.

Keys that were good lately are remembered for the time when PostgreSQL is away, as long as an
access token would last; keys can't be replaced then.
"""

import time
from collections import OrderedDict
from uuid import UUID

from adapters.db import logins
from adapters.db.connection import Database
from adapters.db.errors import DatabaseAway
from adapters.tokens import ACCESS_TOKEN_LIFETIME_S, api_key_hash

REMEMBERED_MAX = 100_000


class ApiKeys:
    """Looks keys up by their hash."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: OrderedDict[str, tuple[UUID, float]] = OrderedDict()
        self._hash_of: dict[UUID, str] = {}

    async def user_of(self, key: str) -> UUID | None:
        """The user whose key this is; None for any other text.

        Raises:
            DatabaseAway: PostgreSQL is away, and the key was not seen lately.
        """
        key_hash = api_key_hash(key)
        if key_hash is None:
            return None
        try:
            user_id = await logins.user_of_api_key(self._database, key_hash)
        except DatabaseAway:
            seen = self._seen.get(key_hash)
            if seen is None or seen[1] < time.monotonic() - ACCESS_TOKEN_LIFETIME_S:
                raise
            return seen[0]
        if user_id is not None:
            self._remember(user_id, key_hash)
        return user_id

    def forget(self, user_id: UUID) -> None:
        """The user's key was replaced."""
        key_hash = self._hash_of.pop(user_id, None)
        if key_hash is not None:
            del self._seen[key_hash]

    def forget_all(self) -> None:
        """Any key may have been replaced."""
        self._seen.clear()
        self._hash_of.clear()

    def __len__(self) -> int:
        return len(self._seen)

    def _remember(self, user_id: UUID, key_hash: str) -> None:
        self.forget(user_id)
        self._seen[key_hash] = (user_id, time.monotonic())
        self._hash_of[user_id] = key_hash
        if len(self._seen) > REMEMBERED_MAX:
            _, (oldest, _) = self._seen.popitem(last=False)
            del self._hash_of[oldest]
