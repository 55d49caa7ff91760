"""PostgreSQL is behind: entries stop at a bound, exits go on, and later all of it is on record."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.db.agents import Agent
from adapters.db.connection import connection, transaction
from adapters.settings import Settings
from engine.events import Event, decode_event
from tests.conftest import wait_for
from tests.integration.pool import TestPool, open_test_pool
from workers import backlog
from workers.replay import Tally, replay

BOUND = 10


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[TestPool]:
    async with open_test_pool(settings) as test_pool:
        test_pool.start()
        await wait_for(test_pool.pool.market.newest, seconds=5, what="the first frame")
        yield test_pool


async def waiting(pool: TestPool, shard: int) -> list[Event]:
    """The events that the ledger has not stored."""
    read = await pool.pool.shards.read_events(shard, 0, 10_000)
    return [decode_event(payload) for _, _, payload in read.entries]


async def made(pool: TestPool) -> list[Agent]:
    """Agents of one plan in one shard, whose positions are closed one after the other."""
    return [
        await pool.create(
            strategy_params={"threshold": 0.01}, stop_loss_pct=pct, take_profit_pct=pct
        )
        for pct in (0.002, 0.002, 0.002, 0.008, 0.012, 0.018)
    ]


async def test_at_the_bound_entries_stop_exits_go_on_and_later_all_is_stored(
    pool: TestPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = await made(pool)
    shard = agents[0].shard
    assert {agent.shard for agent in agents} == {shard}

    async def held_from() -> int:
        head = await pool.pool.shards.read_head(shard)
        return head.held[0].first if head is not None and head.held else 0

    async def exits_went_on() -> bool:
        first = await held_from()
        told = [event for event in await waiting(pool, shard) if first and event.slot >= first]
        assert not [event for event in told if event.kind == "opened"]
        return any(event.kind == "closed" for event in told)

    async def all_are_open() -> bool:
        rows = [await pool.row(agent) for agent in agents[3:]]
        return all(row is not None and row["side"] for row in rows)

    await wait_for(all_are_open, seconds=20, what="positions that take a while to be closed")
    async with transaction(pool.pool.database) as con:
        await con.execute("SELECT FROM shards FOR UPDATE")  # so the ledger waits
        monkeypatch.setattr(backlog, "ENTRIES_STOP_AT_EVENTS", BOUND)
        await wait_for(exits_went_on, seconds=14, what="a close after the last entry")
        backlogged = len(await waiting(pool, shard))
        assert BOUND <= backlogged < BOUND + 4 * len(agents)
        last_held = await pool.pool.shards.read_head(shard)

    async def opened_again() -> bool:
        assert last_held is not None
        async with connection(pool.pool.database) as con:
            return bool(
                await con.fetchval(
                    "SELECT count(*) FROM trades WHERE opened_at > to_timestamp($1::bigint)",
                    last_held.slot,
                )
            )

    await wait_for(opened_again, seconds=20, what="an entry that is on record")
    await pool.stop()
    await numbered_without_gaps(pool)
    for agent in agents[:3]:
        await decided_the_same_again(pool, agent)


async def numbered_without_gaps(pool: TestPool) -> None:
    async with connection(pool.pool.database) as con:
        lacking: list[Any] = await con.fetch(
            "SELECT agent_id FROM journal GROUP BY agent_id HAVING max(seq) <> count(*)"
        )
    assert not lacking


async def decided_the_same_again(pool: TestPool, agent: Agent) -> None:
    tally = Tally()
    pool_, created = pool.pool, int(agent.created_at.timestamp())
    slots = created, pool_.clock.slot() - 1
    told = replay(pool_.database, pool_.state_redis, agent.id, slots, tally)
    lines = [str(line) async for line in told]
    assert (tally.differences, tally.lacking) == (0, 0), "\n".join(lines)
