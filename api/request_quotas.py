"""The accounts whose requests an operator has given a limit of their own, as one hub knows them.

Read from the record when the hub starts, when an operator changes one, and once in a while in case
that nobody told. While PostgreSQL is away what was read last holds.
"""

import asyncio
import logging

from adapters import redis_keys as keys
from adapters.broadcasts import Broadcasts
from adapters.db import quotas
from adapters.db.connection import Database
from adapters.db.errors import DatabaseError
from api.request_limit import RequestLimit

log = logging.getLogger("artic.hub")

READ_EVERY_S = 60.0
AGAIN_S = 1.0


class RequestQuotas:
    """Keeps a limit's exceptions true."""

    def __init__(self, database: Database, broadcasts: Broadcasts) -> None:
        self._database = database
        self._due = asyncio.Event()
        broadcasts.listen(keys.quotas_channel(), self._on_news, self._on_subscribed)

    async def keep(self, limit: RequestLimit) -> None:
        """Reads until it is canceled."""
        while True:
            self._due.clear()
            try:
                limit.own = await quotas.request_quotas(self._database)
                wait_s = READ_EVERY_S
            except DatabaseError as error:
                log.warning("the limits of accounts are as they were: %s", error)
                wait_s = AGAIN_S
            try:
                async with asyncio.timeout(wait_s):
                    await self._due.wait()
            except TimeoutError:
                continue

    def _on_news(self, channel: str, data: bytes) -> None:
        self._due.set()

    def _on_subscribed(self, channel: str) -> None:
        self._due.set()
