"""An operator's work on shards, beside a pool that trades: nothing is lost, nothing twice."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters import redis_keys as keys
from adapters.db import agents, history, shards
from adapters.db.agent_edits import AgentMoved
from adapters.db.agents import PLACES_LOCK, Agent
from adapters.db.connection import connection, transaction
from adapters.recovery import recover_shard
from adapters.redis_client import command
from adapters.settings import Settings
from adapters.shard_store import ShardStore
from adapters.upkeep import Frozen, close_shard, rebuild_shard, reshard
from adapters.wanted import payload_of
from engine.applying import NOT_STORED
from engine.rows import ROW, RowStatus
from engine.schedule import counts
from tests.conftest import wait_for
from tests.integration.pool import TestPool, open_test_pool
from workers.chores import sweep_streams
from workers.ledger_job import store_events
from workers.upkeep import main

TIGHT: dict[str, Any] = {"stop_loss_pct": 0.002, "take_profit_pct": 0.002}


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[TestPool]:
    async with open_test_pool(settings) as test_pool:
        test_pool.start()
        await wait_for(test_pool.pool.market.newest, seconds=5, what="the first frame")
        yield test_pool


async def found(pool: TestPool, agent: Agent) -> Agent:
    """The agent as it is on record."""
    again = await agents.get_agent(pool.pool.database, pool.owner, agent.id)
    assert again is not None
    return again


async def trades(pool: TestPool, agent: Agent) -> list[Any]:
    """All of its trades, oldest first."""
    page = await history.trades_of(pool.pool.database, pool.owner, agent.id, 500)
    return list(page.trades)[::-1]


async def traded(pool: TestPool, agent: Agent, more_than: int) -> None:
    async def enough() -> bool:
        return len(await trades(pool, agent)) > more_than

    await wait_for(enough, seconds=20, what=f"more than {more_than} trades")


async def tick_counts(pool: TestPool, agent: Agent) -> tuple[int, int]:
    """(ticks, missed) of an agent."""
    read = await pool.pool.shards.read_row(agent.shard, agent.row)
    assert read is not None
    head, row = read
    return counts(row, head.slot, head.skipped, head.folded_slot)


async def test_agents_go_on_in_their_new_places(pool: TestPool) -> None:
    made = [await pool.create(strategy_params={"threshold": 0.01}, **TIGHT) for _ in range(5)]
    await traded(pool, made[0], 1)
    first = made[0].created_at.timestamp()
    done = await reshard(pool.pool.database, pool.pool.shards, 2)
    assert (done.agents, len(done.after)) == (5, 2)
    assert not set(done.before) & set(done.after)
    moved = [await found(pool, agent) for agent in made]
    assert {agent.shard for agent in moved} == set(done.after)
    assert await pool.pool.shards.open_shards() == list(done.after)

    before = len(await trades(pool, moved[0]))
    await traded(pool, moved[0], before + 1)
    for agent in moved:
        ticks, missed = await tick_counts(pool, agent)
        assert missed == 0
        assert 0 < ticks <= pool.pool.clock.now() - first + 1
    numbers = [trade.seq for trade in await trades(pool, moved[0])]
    assert numbers == sorted(set(numbers))

    stopped = await pool.want(moved[0], "stopped")

    async def standing() -> bool:
        row = await pool.row(stopped)
        return row is not None and row["status"] == RowStatus.STOPPED and row["side"] == 0

    await wait_for(standing, seconds=5)


async def _stored(pool: TestPool, agent: Agent) -> bool:
    """Whether nothing of the agent's shard waits for the ledger."""
    return not (await pool.pool.shards.events_waiting([agent.shard]))[agent.shard]


async def waits(pool: TestPool, *events: str) -> bool:
    """Whether somebody waits in PostgreSQL for such a lock that another one holds."""
    async with connection(pool.pool.database) as con:
        return bool(
            await con.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND wait_event_type = 'Lock' AND wait_event = ANY($1)",
                events,
            )
        )


async def test_a_wish_that_comes_during_a_resharding_keeps_its_epoch(pool: TestPool) -> None:
    """Otherwise the next wish would have the same epoch as this one, and be ignored."""
    agent = await pool.create()
    await pool.ticked(agent)
    await wait_for(lambda: _stored(pool, agent))
    database, store = pool.pool.database, pool.pool.shards
    changing = "UPDATE shard_rows SET epoch = epoch + 1 WHERE shard = $1 AND row = $2"
    async with transaction(database) as con:
        await con.execute(changing, agent.shard, agent.row)
        await con.execute(
            "UPDATE agents SET wanted = 'stopped', epoch = 2, asked_epoch = 2,"
            " updated_at = clock_timestamp() WHERE id = $1",
            agent.id,
        )
        moving = asyncio.create_task(reshard(database, store))

        async def moving_waits() -> bool:
            return await waits(pool, "relation", "transactionid", "tuple")

        await wait_for(moving_waits, seconds=10)
    await moving
    moved = await found(pool, agent)
    (place,) = await shards.newest_rows(database, moved.shard)
    assert (moved.epoch, place.epoch) == (2, 2)
    assert (await pool.want(moved, "running")).epoch == 3

    async def running() -> bool:
        row = await pool.row(moved)
        return row is not None and (row["epoch"], row["status"]) == (3, RowStatus.RUNNING)

    await wait_for(running)


async def test_an_edit_that_was_read_before_a_resharding_is_read_again(pool: TestPool) -> None:
    agent = await pool.create()
    await pool.ticked(agent)
    await reshard(pool.pool.database, pool.pool.shards)
    with pytest.raises(AgentMoved):
        await pool.edit(agent, stop_loss_pct=1.0)
    edited = await pool.edit(await found(pool, agent), stop_loss_pct=1.0)
    assert edited.epoch == agent.epoch + 1


async def test_an_agent_that_is_placed_while_a_resharding_begins_is_moved_with_the_others(
    pool: TestPool,
) -> None:
    database, store = pool.pool.database, pool.pool.shards
    first = await pool.create()
    await pool.ticked(first)
    async with transaction(database) as con:
        # a creator holds the places when the resharding begins, and opens a shard of its own
        await con.execute("SELECT pg_advisory_xact_lock($1)", PLACES_LOCK)
        moving = asyncio.create_task(reshard(database, store))

        async def moving_waits() -> bool:
            return await waits(pool, "advisory")

        await wait_for(moving_waits)
        await con.execute("INSERT INTO shards (id, symbol) VALUES (7, 'BTC/USDT')")
    done = await moving
    assert list(done.before) == [first.shard, 7]
    assert done.after == [8]


async def test_a_resharding_takes_the_record_where_redis_is_behind_it(pool: TestPool) -> None:
    """As after a crash that has lost a second, before anybody has recovered from it."""
    agent = await pool.create(strategy_params={"threshold": 0.01}, **TIGHT)
    await pool.ticked(agent)
    young = await pool.row(agent)
    await traded(pool, agent, 1)
    await pool.stop()
    database, store = pool.pool.database, pool.pool.shards
    await store_rest(pool, agent)
    (newest,) = await shards.newest_rows(database, agent.shard)
    await _put_back(store, agent, young.tobytes())
    await reshard(database, store)
    moved = await found(pool, agent)
    found_row = await store.read_row(moved.shard, moved.row)
    assert found_row is not None and newest.record is not None
    assert found_row[1]["seq"] == newest.seq > young["seq"]
    pool.start()
    await traded(pool, moved, len(await trades(pool, moved)))
    assert await shards.frozen_shards(database) == []


async def store_rest(pool: TestPool, agent: Agent) -> None:
    """Until nothing of the agent's shard waits for the ledger."""

    async def stored() -> bool:
        await store_events({"pool": pool.pool})
        await sweep_streams({"pool": pool.pool})
        return await _stored(pool, agent)

    await wait_for(stored)


async def test_a_late_command_for_an_old_place_finds_nothing(pool: TestPool) -> None:
    agent = await pool.create()
    await pool.ticked(agent)
    await reshard(pool.pool.database, pool.pool.shards)
    assert await pool.pool.shards.push(agent.shard, payload_of(agent)) is None
    assert not await command(pool.pool.state_redis, "EXISTS", keys.shard_inbox(agent.shard))


async def test_a_closed_shard_whose_upkeep_died_is_recovered_by_the_pool(pool: TestPool) -> None:
    agent = await pool.create()
    await pool.ticked(agent)
    assert await close_shard(pool.pool.shards, agent.shard)
    await pool.ticked(agent)
    assert await tick_counts(pool, agent) > (0, 0)


async def test_a_shard_is_rebuilt_from_the_record(pool: TestPool) -> None:
    agent = await pool.create(strategy_params={"threshold": 0.01}, **TIGHT)
    await traded(pool, agent, 1)
    before = await trades(pool, agent)
    assert await rebuild_shard(pool.pool.database, pool.pool.shards, agent.shard) == 0
    await traded(pool, agent, len(before) + 1)
    after = await trades(pool, agent)
    assert [trade.id for trade in after[: len(before)]] == [trade.id for trade in before]


async def test_a_frozen_shard_goes_on_from_the_record_when_thawed(pool: TestPool) -> None:
    agent = await pool.create(strategy_params={"threshold": 0.01}, **TIGHT)
    await pool.ticked(agent)
    young = await pool.row(agent)
    await traded(pool, agent, 1)
    # as if an old copy of the table had been put back: numbers come again with other content
    await _put_back(pool.pool.shards, agent, young.tobytes())
    pool.pool.known.clear()

    async def frozen() -> bool:
        cursor = await shards.progress(pool.pool.database, agent.shard)
        return cursor is not None and cursor.frozen is not None

    await wait_for(frozen, seconds=20, what="the shard to be frozen")
    assert await shards.frozen_shards(pool.pool.database) == [agent.shard]
    database, store = pool.pool.database, pool.pool.shards
    on_record = await trades(pool, agent)
    with pytest.raises(Frozen):
        await rebuild_shard(database, store, agent.shard)
    # refused, so nothing has changed: the pool opens the shard again
    assert await frozen()

    given_up = await rebuild_shard(database, store, agent.shard, thaw=True)
    assert given_up > 0
    assert not await frozen()
    async with connection(database) as con:
        assert await con.fetchval("SELECT count(*) FROM quarantine") == given_up
    await traded(pool, agent, len(on_record))
    numbers = [trade.seq for trade in await trades(pool, agent)]
    assert numbers == sorted(set(numbers))
    assert not await frozen()


async def test_what_the_record_refuses_is_one_agents_matter(pool: TestPool) -> None:
    harmed = await pool.create(strategy_params={"threshold": 0.01}, **TIGHT)
    calm = await pool.create(strategy_params={"threshold": 0.01}, **TIGHT)
    async with connection(pool.pool.database) as con:
        await con.execute(f"ALTER TABLE trades ADD CHECK (agent_id <> '{harmed.id}')")

    async def in_error() -> bool:
        row, known = await pool.row(harmed), await found(pool, harmed)
        return row is not None and (row["status"], known.status) == (RowStatus.ERROR, "error")

    await wait_for(in_error, seconds=20)
    assert (await found(pool, harmed)).status_detail == NOT_STORED
    async with connection(pool.pool.database) as con:
        told = await con.fetch("SELECT message FROM logs WHERE agent_id = $1", harmed.id)
    assert any("PostgreSQL refuses it" in line["message"] for line in told)
    await traded(pool, calm, 1)
    assert await trades(pool, harmed) == []


async def _put_back(store: ShardStore, agent: Agent, record: bytes) -> None:
    """Overwrites a row in Redis and raises the version, so that nobody commits on the old one."""
    await command(
        store.redis, "SETRANGE", keys.shard_rows(agent.shard), agent.row * ROW.itemsize, record
    )
    await command(store.redis, "HINCRBY", keys.shard_head(agent.shard), "version", 1)


async def test_an_event_stream_without_a_head_is_nobodys(pool: TestPool) -> None:
    """Its ids may be above those that a recovery gives out."""
    agent = await pool.create(strategy_params={"threshold": 0.01}, **TIGHT)
    await traded(pool, agent, 1)
    await pool.stop()
    redis = pool.pool.state_redis
    await command(redis, "DEL", keys.shard_head(agent.shard), keys.shard_rows(agent.shard))
    await command(
        redis, "XADD", keys.shard_events(agent.shard), f"{10**9}-1", "e", b"of a lost version"
    )
    assert await recover_shard(pool.pool.database, pool.pool.shards, agent.shard)
    pool.start()
    before = len(await trades(pool, agent))
    await traded(pool, agent, before)


def test_the_command_says_what_is_wrong(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key, value in settings.environment().items():
        monkeypatch.setenv(key, value)
    assert main(["thaw", "7"]) == 1
    assert "there is no shard 7" in capsys.readouterr().err
    assert main(["reshard"]) == 1
    assert "no agents" in capsys.readouterr().err
    assert main(["shards"]) == 0
