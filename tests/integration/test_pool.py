"""The pool on real servers: an agent that was created ticks, trades, and is in the record."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapters import redis_keys as keys
from adapters.db import agents
from adapters.redis_client import command
from adapters.settings import Settings
from adapters.shard_records import ShardState
from adapters.wanted import payload_of
from engine.rows import RowStatus
from engine.schedule import counts
from tests.conftest import wait_for
from tests.integration.pool import TestPool, open_test_pool
from workers import chores, tick_job
from workers.context import KnownShards
from workers.settings import TICKS_AT_ONCE


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[TestPool]:
    async with open_test_pool(settings) as test_pool:
        test_pool.start()
        await wait_for(test_pool.pool.market.newest, seconds=5, what="the first frame")
        yield test_pool


async def test_a_created_agent_ticks_every_second(pool: TestPool) -> None:
    agent = await pool.create()

    async def ticks() -> int:
        found = await pool.pool.shards.read_row(agent.shard, agent.row)
        if found is None:
            return 0
        head, row = found
        return counts(row, head.slot, head.skipped, head.folded_slot)[0]

    await wait_for(ticks, seconds=5)
    before = await ticks()
    await pool.ticked(agent)
    assert await ticks() > before


async def test_a_steady_shard_is_not_read_again_until_a_command_comes(
    pool: TestPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await pool.create()
    await pool.ticked(agent)
    await pool.ticked(agent)
    read, readings = pool.pool.shards.read, []

    async def noted(shard: int, known: ShardState | None = None) -> ShardState | None:
        readings.append(shard)
        return await read(shard, known)

    monkeypatch.setattr(pool.pool.shards, "read", noted)
    await pool.ticked(agent)
    await pool.ticked(agent)
    assert readings == []
    await pool.want(agent, "stopped")

    async def stopped() -> bool:
        row = await pool.row(agent)
        return row is not None and row["status"] == RowStatus.STOPPED

    await wait_for(stopped, seconds=3)
    assert readings


async def test_a_shard_without_room_in_memory_ticks_all_the_same(pool: TestPool) -> None:
    agent = await pool.create()
    await pool.ticked(agent)
    pool.pool.known = KnownShards(0)
    await pool.ticked(agent)
    await pool.ticked(agent)
    assert pool.pool.known.get(agent.shard) is None
    await pool.want(agent, "stopped")

    async def stopped() -> bool:
        row = await pool.row(agent)
        return row is not None and row["status"] == RowStatus.STOPPED

    await wait_for(stopped, seconds=3)


async def test_the_record_follows_the_row(pool: TestPool) -> None:
    agent = await pool.create()

    async def on_record() -> bool:
        found = await agents.get_agent(pool.pool.database, pool.owner, agent.id)
        return found is not None and found.status == "running" and found.applied_epoch == 1

    await wait_for(on_record, seconds=5)


async def test_a_stop_is_applied_and_a_delete_frees_the_row(pool: TestPool) -> None:
    agent = await pool.create()
    await pool.ticked(agent)
    stopped = await pool.want(agent, "stopped")

    async def standing() -> bool:
        row = await pool.row(agent)
        return row is not None and row["status"] == RowStatus.STOPPED

    await wait_for(standing, seconds=3)
    await pool.want(stopped, "deleted")

    async def freed() -> bool:
        row = await pool.row(agent)
        on_record = await agents.agents_of_shard(pool.pool.database, agent.shard)
        return row is not None and row["status"] == RowStatus.FREE and not on_record

    await wait_for(freed, seconds=5)
    second = await pool.create()
    assert (second.shard, second.row) == (agent.shard, agent.row)
    assert second.epoch > stopped.epoch


async def test_an_agent_of_a_new_shard_has_missed_nothing(pool: TestPool) -> None:
    agent = await pool.create()
    await pool.ticked(agent)
    found = await pool.pool.shards.read_row(agent.shard, agent.row)
    assert found is not None
    head, row = found
    assert counts(row, head.slot, head.skipped, head.folded_slot)[1] == 0


async def test_everything_in_redis_may_be_lost(pool: TestPool) -> None:
    running, stopped = await pool.create(), await pool.create()
    await pool.ticked(running)
    await pool.want(stopped, "stopped")

    async def stored() -> bool:
        records = await agents.agents_of_shard(pool.pool.database, running.shard)
        return [record.applied_epoch for record in records] == [1, 2]

    await wait_for(stored, seconds=5)
    await pool.stop()
    await command(pool.pool.state_redis, "FLUSHALL")
    pool.start()

    async def back() -> bool:
        rows = await pool.row(running), await pool.row(stopped)
        states = [None if row is None else int(row["status"]) for row in rows]
        return states == [RowStatus.RUNNING, RowStatus.STOPPED]

    await wait_for(back, seconds=15)
    await pool.ticked(running, seconds=10)


async def test_many_may_ask_for_the_same_new_shards_at_once(pool: TestPool) -> None:
    created = await asyncio.gather(*(pool.create() for _ in range(30)))

    async def all_run() -> bool:
        rows = [await pool.row(agent) for agent in created]
        return all(row is not None and row["status"] == RowStatus.RUNNING for row in rows)

    await wait_for(all_run, seconds=5)


async def test_a_command_that_got_lost_is_pushed_again(pool: TestPool) -> None:
    agent = await pool.create()
    await pool.ticked(agent)
    await agents.set_wanted(pool.pool.database, pool.owner, agent.id, "stopped", True)

    async def stopped() -> bool:
        row = await pool.row(agent)
        return row is not None and row["status"] == RowStatus.STOPPED

    await wait_for(stopped, seconds=10)


async def test_a_clock_of_redis_that_was_set_back_is_said_and_runs_no_slot_twice(
    pool: TestPool, caplog: pytest.LogCaptureFixture
) -> None:
    agent = await pool.create()
    await pool.ticked(agent)
    ahead = pool.pool.clock.slot() + 6
    head = keys.shard_head(agent.shard)
    await command(pool.pool.state_redis, "HSET", head, "slot", ahead)
    await command(pool.pool.state_redis, "HINCRBY", head, "version", 1)

    def said() -> bool:
        return "stands still" in caplog.text

    await wait_for(said, what="the shard to be told of")
    read = await pool.pool.shards.read_head(agent.shard)
    assert read is not None and read.slot == ahead
    await pool.ticked(agent, seconds=10)
    assert pool.pool.clock.slot() > ahead
    assert caplog.text.count("stands still") == 1


async def test_a_job_that_gets_no_turn_leaves_it_and_nothing_is_missed(
    pool: TestPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await pool.create()
    await pool.ticked(agent)
    monkeypatch.setattr(tick_job, "TURN_S", 0.01)
    turns = pool.pool.turns
    for _ in range(TICKS_AT_ONCE):
        await turns.acquire()
    before = await pool.pool.shards.read_head(agent.shard)
    assert before is not None

    def two_slots_later() -> bool:
        return pool.pool.clock.slot() > before.slot + 2

    await wait_for(two_slots_later)
    assert await pool.pool.shards.read_head(agent.shard) == before
    for _ in range(TICKS_AT_ONCE):
        turns.release()
    await pool.ticked(agent)
    found = await pool.pool.shards.read_row(agent.shard, agent.row)
    assert found is not None
    head, row = found
    ticks, missed = counts(row, head.slot, head.skipped, head.folded_slot)
    assert (ticks, missed) == (head.slot - int(row["start_slot"]) + 1, 0)


async def test_nothing_is_pushed_again_into_an_inbox_that_waits(
    pool: TestPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await pool.create()
    await pool.ticked(agent)
    await pool.stop()
    monkeypatch.setattr(chores, "UNAPPLIED_AFTER_S", 0.0)
    wanted = await agents.set_wanted(pool.pool.database, pool.owner, agent.id, "stopped", True)
    assert wanted is not None
    inbox = keys.shard_inbox(agent.shard)
    payload = payload_of(wanted)
    await pool.pool.shards.push_all([(agent.shard, payload)] * (chores.INBOX_SHORT + 1))
    for waiting in (chores.INBOX_SHORT + 1, chores.INBOX_SHORT + 1):
        await chores.push_unapplied({"pool": pool.pool})
        assert await command(pool.pool.state_redis, "LLEN", inbox) == waiting
    await command(pool.pool.state_redis, "LTRIM", inbox, 0, 9)
    await chores.push_unapplied({"pool": pool.pool})
    assert await command(pool.pool.state_redis, "LLEN", inbox) == 11
