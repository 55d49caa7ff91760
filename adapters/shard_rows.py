"""Heads and rows of shards for readers: read once for each commit, by as many as ask.

Every commit is announced by the script that makes it, so what was read stands until the next
announcement. Whoever must see everything up to now waits for Broadcasts.caught_up() before.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from adapters import redis_keys as keys
from adapters.broadcasts import Broadcasts
from adapters.redis_client import away_as_error
from adapters.shard_records import Head, decode_ticked
from adapters.shard_store import ShardStore
from engine.rows import Rows

ROWS_KEPT_MAX = 50_000
TABLES_KEPT_MAX = 32
"""Whole tables; one of 4,096 rows takes 0.7 MB."""
ROWS_AT_ONCE = 1_000
"""Rows that are asked for together."""

Found = tuple[Head, np.void | None]
"""The head, and the record unless the shard has none yet for this row."""
Place = tuple[int, int]
"""(shard, row)."""
Asked = asyncio.Future[Found | None]


@dataclass(slots=True, eq=False)
class _Known:
    """What was read of a shard since its last announcement."""

    head: Head
    rows: dict[int, Found] = field(default_factory=dict)
    table: Rows | None = None


class ShardRows:
    """What one process has read. Safe for concurrent use."""

    def __init__(self, store: ShardStore, broadcasts: Broadcasts) -> None:
        self._store = store
        self._known: OrderedDict[int, _Known] = OrderedDict()
        self._rows_kept = 0
        self._tables_kept = 0
        self._asked: dict[Place, list[Asked]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._subscriptions = 0
        self._announced: dict[int, int] = {}
        """How often each shard was announced."""
        broadcasts.listen(keys.ticked_channel(), self._on_ticked, self._on_subscribed)

    async def row(self, shard: int, row: int) -> Found | None:
        """Head and record of a row; None where the shard has no head.

        While nothing is announced the answer is the same object. Raises RedisAway.
        """
        known = self._known.get(shard)
        if known is not None and (found := known.rows.get(row)) is not None:
            return found
        return await self._ask(shard, row)

    async def some(self, wanted: Mapping[int, Sequence[int]]) -> dict[Place, Found | None]:
        """The same for some rows of each of some shards, in as few round trips as can be."""
        found: dict[Place, Found | None] = {}
        asked: dict[Place, Asked] = {}
        for shard, rows in wanted.items():
            known = self._known.get(shard)
            there = {} if known is None else known.rows
            for row in rows:
                each = there.get(row)
                if each is None:
                    asked[shard, row] = self._ask(shard, row)
                else:
                    found[shard, row] = each
        if asked:
            found.update(zip(asked, await asyncio.gather(*asked.values()), strict=True))
        return found

    async def table(self, shard: int) -> tuple[Head, Rows] | None:
        """The head and all rows; None where the shard has no head. Raises RedisAway."""
        known = self._known.get(shard)
        if known is not None and known.table is not None:
            return known.head, known.table
        mark = self._mark(shard)
        async with away_as_error():
            state = await self._store.read(shard)
        if state is None:
            return None
        if self._mark(shard) == mark:
            known = self._keep(shard, state.head)
            self._tables_kept += known.table is None
            known.table = state.rows
            self._forget_oldest()
        return state.head, state.rows

    async def tables(self, shards: Sequence[int]) -> list[tuple[Head, Rows] | None]:
        """The same for some shards."""
        there = [self._known.get(shard) for shard in shards]
        if all(known is not None and known.table is not None for known in there):
            return [await self.table(shard) for shard in shards]
        return await asyncio.gather(*(self.table(shard) for shard in shards))

    def _ask(self, shard: int, row: int) -> Asked:
        asked: Asked = asyncio.get_running_loop().create_future()
        self._asked.setdefault((shard, row), []).append(asked)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_asked())
        return asked

    async def _read_asked(self) -> None:
        """Reads what was asked for, again and again until nothing more is."""
        try:
            while self._asked:
                by_shard: dict[int, list[int]] = {}
                waiting: dict[Place, list[Asked]] = {}
                for place in list(self._asked)[:ROWS_AT_ONCE]:
                    by_shard.setdefault(place[0], []).append(place[1])
                    waiting[place] = self._asked.pop(place)
                await asyncio.gather(
                    *(self._read_some(shard, rows, waiting) for shard, rows in by_shard.items())
                )
        finally:
            self._reading = None

    async def _read_some(
        self, shard: int, rows: Sequence[int], waiting: dict[Place, list[Asked]]
    ) -> None:
        """These rows of a shard in one round trip, for those who wait for them."""
        mark = self._mark(shard)
        try:
            async with away_as_error():
                some = await self._store.read_some(shard, rows)
        except Exception as error:
            for row in rows:
                for asked in waiting[shard, row]:
                    if not asked.done():
                        asked.set_exception(error)
            return
        known = None
        if some is not None and self._mark(shard) == mark:
            known = self._keep(shard, some[0])
        for row in rows:
            found = None if some is None else (some[0], some[1].get(row))
            if known is not None and found is not None:
                self._rows_kept += row not in known.rows
                known.rows[row] = found
            for asked in waiting[shard, row]:
                if not asked.done():
                    asked.set_result(found)
        self._forget_oldest()

    def _mark(self, shard: int) -> tuple[int, int]:
        """Stays the same while what is read of the shard may be kept."""
        return self._subscriptions, self._announced.get(shard, 0)

    def _keep(self, shard: int, head: Head) -> _Known:
        known = self._known.get(shard)
        if known is None or known.head != head:
            self._forget(shard)
            known = self._known[shard] = _Known(head)
        self._known.move_to_end(shard)
        return known

    def _forget(self, shard: int) -> None:
        known = self._known.pop(shard, None)
        if known is not None:
            self._rows_kept -= len(known.rows)
            self._tables_kept -= known.table is not None

    def _forget_oldest(self) -> None:
        while self._rows_kept > ROWS_KEPT_MAX or self._tables_kept > TABLES_KEPT_MAX:
            self._forget(next(iter(self._known)))

    def _on_ticked(self, channel: str, data: bytes) -> None:
        shard, _, _ = decode_ticked(data)
        self._announced[shard] = self._announced.get(shard, 0) + 1
        self._forget(shard)

    def _on_subscribed(self, channel: str) -> None:
        # What was announced before is lost.
        self._subscriptions += 1
        for shard in list(self._known):
            self._forget(shard)
