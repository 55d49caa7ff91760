"""Rows for readers: never older than what was announced, and read once by all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from adapters import redis_keys as keys
from adapters import shard_rows
from adapters.broadcasts import Broadcasts
from adapters.redis_client import Redis, command, open_redis
from adapters.shard_records import Commit, Head, ShardState
from adapters.shard_rows import ShardRows
from adapters.shard_store import ShardStore
from engine.rows import ROW_SCHEMA, ROWS_PER_SHARD, empty_rows

SHARD = 3


@dataclass
class Reader:
    """A process that reads, and one that writes."""

    redis: Redis
    store: ShardStore
    broadcasts: Broadcasts
    rows: ShardRows

    async def open(self, shard: int = SHARD, rows: int = 4) -> None:
        """Opens a shard some slots before now."""
        slot = int((await command(self.redis, "TIME"))[0]) - 100
        run_id = await self.store.run_id()
        head = Head(1, slot, None, ROW_SCHEMA, run_id, (), 0, paused=False)
        table = empty_rows(rows)
        assert await self.store.open(shard, run_id, None, ShardState(head, table, ()), [])

    async def commit(self, seq: int, shard: int = SHARD, row: int = 2) -> None:
        """One commit that gives a row this seq."""
        state = await self.store.read(shard)
        assert state is not None
        rows = state.rows.copy()
        rows["seq"][row] = seq
        commit = Commit(state.head.slot + 1, None, rows, np.array([row]), [], applied=0)
        assert (await self.store.commit(shard, state, commit)).refused is None

    async def seq(self, shard: int = SHARD, row: int = 2) -> int:
        """The row's seq as a request sees it."""
        await self.broadcasts.caught_up()
        found = await self.rows.row(shard, row)
        assert found is not None and found[1] is not None
        return int(found[1]["seq"])

    async def readings(self) -> int:
        """GETRANGEs since the statistics were reset."""
        stats = await self.redis.info("commandstats")
        return int(stats.get("cmdstat_getrange", {"calls": 0})["calls"])


@pytest.fixture
async def reader(redis_url: str) -> AsyncIterator[Reader]:
    redis, hearing = open_redis(redis_url), open_redis(redis_url, retries=False)
    store, broadcasts = ShardStore(redis), Broadcasts(hearing)
    reader = Reader(redis, store, broadcasts, ShardRows(store, broadcasts))
    listening = asyncio.create_task(broadcasts.run())
    await broadcasts.caught_up()
    yield reader
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await redis.aclose()
    await hearing.aclose()


async def test_every_commit_is_seen_by_whoever_asks_after_it(reader: Reader) -> None:
    await reader.open()
    for seq in range(1, 30):
        await reader.commit(seq)
        assert await reader.seq() == seq
        table = await reader.rows.table(SHARD)
        assert table is not None
        assert table[1]["seq"].tolist() == [0, 0, seq, 0]


async def test_between_commits_everybody_shares_one_reading(reader: Reader) -> None:
    await reader.open()
    await reader.commit(1)
    await reader.broadcasts.caught_up()
    await command(reader.redis, "CONFIG", "RESETSTAT")
    first = await asyncio.gather(*(reader.rows.row(SHARD, 2) for _ in range(100)))
    assert await reader.readings() == 1
    again = await reader.rows.row(SHARD, 2)
    assert all(found is again for found in first)
    assert await reader.readings() == 1


async def test_many_rows_are_read_in_one_round_trip(reader: Reader) -> None:
    for shard in (1, 2):
        await reader.open(shard)
    places = [(shard, row) for shard in (1, 2) for row in range(4)]
    found = await asyncio.gather(*(reader.rows.row(*place) for place in places))
    assert all(each is not None and each[0].version == 1 for each in found)


async def test_what_was_read_across_an_announcement_is_not_kept(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    await reader.open()
    read_some = reader.store.read_some

    async def overtaken(shard: int, wanted: Sequence[int]) -> object:
        found = await read_some(shard, wanted)
        monkeypatch.undo()
        await reader.commit(7)
        await reader.broadcasts.caught_up()
        return found

    monkeypatch.setattr(reader.store, "read_some", overtaken)
    found = await reader.rows.row(SHARD, 2)
    assert found is not None and found[1] is not None
    assert found[1]["seq"] == 0
    assert await reader.seq() == 7


async def test_after_a_lost_subscription_nothing_is_believed(reader: Reader) -> None:
    await reader.open()
    before = await reader.rows.row(SHARD, 2)
    # A change that nobody tells of: the announcement is lost.
    await command(reader.redis, "SETRANGE", keys.shard_rows(SHARD), 0, b"x" * 16)
    assert await reader.rows.row(SHARD, 2) is before
    reader.rows._on_subscribed(keys.ticked_channel())
    assert await reader.rows.row(SHARD, 2) is not before


async def test_shards_and_rows_that_are_not_there(reader: Reader) -> None:
    assert await reader.rows.row(SHARD, 0) is None
    assert await reader.rows.table(SHARD) is None
    await reader.open(rows=2)
    found = await reader.rows.row(SHARD, 2)
    assert found is not None
    assert found[1] is None


async def test_what_is_kept_is_bounded(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_rows, "ROWS_KEPT_MAX", 3)
    monkeypatch.setattr(shard_rows, "TABLES_KEPT_MAX", 1)
    for shard in range(4):
        await reader.open(shard)
        await reader.rows.row(shard, 0)
        await reader.rows.table(shard)
    await reader.broadcasts.caught_up()
    await command(reader.redis, "CONFIG", "RESETSTAT")
    await reader.rows.row(3, 0)
    assert await reader.readings() == 0
    await reader.rows.row(0, 0)
    assert await reader.readings() == 1


async def test_an_error_reaches_everybody_who_waits(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(shard: int, wanted: Sequence[int]) -> object:
        raise ValueError("not a head")

    monkeypatch.setattr(reader.store, "read_some", broken)
    asked = [reader.rows.row(SHARD, row) for row in (1, 1, 2)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in answers] == [ValueError] * 3
    monkeypatch.undo()
    await reader.open(rows=ROWS_PER_SHARD)
    assert await reader.rows.row(SHARD, 1) is not None


async def test_a_recovered_shard_is_read_again(reader: Reader) -> None:
    await reader.open()
    assert await reader.seq() == 0
    state = await reader.store.read(SHARD)
    assert state is not None
    rows = state.rows.copy()
    rows["seq"][2] = 5
    head = replace(state.head, version=9)
    assert await reader.store.open(SHARD, head.run_id, state.head, ShardState(head, rows, ()), [])
    assert await reader.seq() == 5
