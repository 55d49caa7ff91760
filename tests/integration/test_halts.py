"""Halts in a pool at work: nothing opens from the stamped slot on, whatever was under way."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from adapters.db import halts
from adapters.db.agents import Agent
from adapters.db.halts import HaltOrder
from adapters.redis_client import command
from adapters.settings import Settings
from adapters.shard_records import ShardState
from engine.frames import Ints
from engine.rows import Halt
from tests.conftest import wait_for
from tests.integration.pool import TestPool, open_test_pool
from workers.chores import push_unapplied
from workers.plan_book import SlotTable
from workers.slots import SlotRun, run_slots

EAGER: dict[str, Any] = {"time_stop_seconds": 1, "stop_loss_pct": 50.0, "take_profit_pct": 50.0}
"""With a signal in every slot: opens in one, is too old in the next, opens in the one after."""


@pytest.fixture
async def pool(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TestPool]:
    """Its strategies always want to buy; nothing else is made up."""
    async with open_test_pool(settings) as test_pool:
        table_of = test_pool.pool.plans.table

        async def eager(frame: Any, plan_ids: Ints, late: bool) -> SlotTable:
            table = await table_of(frame, plan_ids, late)
            table.signal[:] = 1.0
            return table

        monkeypatch.setattr(test_pool.pool.plans, "table", eager)
        yield test_pool


def order(state: Halt) -> HaltOrder:
    return HaltOrder(state, uuid4(), as_operator=False, why="a test")


async def flat_and_eager(pool: TestPool) -> Agent:
    """An agent that has opened before and is flat now, in a shard that nobody ticks."""
    await wait_for(pool.pool.market.newest, seconds=5, what="the first frame")
    agent = await pool.create(**EAGER)

    async def flat() -> bool:
        row = await pool.row(agent)
        return bool(row is not None and row["trade_seq"] and not row["side"])

    await wait_for(flat, seconds=15, what="a closed trade")
    return agent


@pytest.mark.parametrize("of_fleet", [False, True])
async def test_a_tick_that_had_decided_to_open_does_not_commit_it(
    pool: TestPool, of_fleet: bool
) -> None:
    """The halt comes between what the tick has read and its commit."""
    pool.start()
    agent = await flat_and_eager(pool)
    await pool.stop()
    store, shard = pool.pool.shards, agent.shard
    decided: list[tuple[ShardState, SlotRun, int]] = []

    async def decides_to_open() -> bool:
        read, slot = await store.read(shard), pool.pool.clock.slot()
        assert read is not None
        run = await run_slots(pool.pool, shard, read, slot) if read.head.slot < slot else None
        if run is not None and run.slot == slot and run.rows[agent.row]["side"]:
            decided.append((read, run, slot))
        return bool(decided)

    await wait_for(decides_to_open, seconds=10, what="a tick that opens")
    [(read, run, slot)] = decided
    if of_fleet:
        fleet = await halts.halt_fleet(pool.pool.database, order(Halt.REDUCING))
        told = (await store.halt([shard], fleet.halt, fleet.epoch))[shard]
        assert told is not None
        stamp = told.first
    else:
        halted = await halts.halt_agent(pool.pool.database, agent.id, order(Halt.REDUCING))
        assert halted is not None
        await pool.send(halted)
        state = await store.read(shard)
        assert state is not None
        stamp = state.inbox[-1].stamp
    refused = (await store.commit(shard, read, run.commit())).refused
    if slot >= stamp or of_fleet:
        assert refused == ("version" if of_fleet else "inbox")
    pool.start()

    async def passed() -> bool:
        head = await store.read_head(shard)
        return head is not None and head.slot >= stamp + 2

    await wait_for(passed, seconds=10, what="two slots under the halt")
    row = await pool.row(agent)
    assert not row["side"] or row["opened_slot"] < stamp
    assert row["opened_slot"] < stamp


async def test_nothing_opens_under_a_halt_and_all_goes_on_after_it(pool: TestPool) -> None:
    pool.start()
    many = [await flat_and_eager(pool)]
    many += [await pool.create(**EAGER) for _ in range(3)]
    store, database = pool.pool.shards, pool.pool.database

    async def rows() -> np.ndarray[Any, Any]:
        return np.array([await pool.row(agent) for agent in many])

    async def stand_flat(stamp: int) -> None:
        async def flat() -> bool:
            heads = [await store.read_head(agent.shard) for agent in many]
            there = all(head is not None and head.slot >= stamp + 3 for head in heads)
            return there and not (await rows())["side"].any()

        await wait_for(flat, seconds=15, what="all flat under a halt")
        assert ((await rows())["opened_slot"] < stamp).all()

    async def trade_again(since: int) -> None:
        async def open_again() -> bool:
            return bool(((await rows())["opened_slot"] > since).all())

        await wait_for(open_again, seconds=15, what="all open again")

    told = await halts.halt_account(database, pool.owner, order(Halt.REDUCING))
    assert told is not None and len(told) == 4
    stamps = []
    for agent in told:
        await pool.send(agent)
        head = await store.read_head(agent.shard)
        assert head is not None
        stamps.append(max(head.slot, pool.pool.clock.slot()) + 1)
    await stand_flat(max(stamps))
    for agent in await halts.halt_account(database, pool.owner, order(Halt.ACTIVE)) or ():
        await pool.send(agent)
    await trade_again(max(stamps))
    await halts.halt_fleet(database, order(Halt.REDUCING))
    await push_unapplied({"pool": pool.pool})  # the hub has died before it told the shards
    heads = [await store.read_head(agent.shard) for agent in many]
    await stand_flat(max(head.halts[-1].first for head in heads if head is not None))
    fleet = await halts.halt_fleet(database, order(Halt.ACTIVE))
    lifted = await store.halt([agent.shard for agent in many], fleet.halt, fleet.epoch)
    await trade_again(max(each.first for each in lifted.values() if each is not None))


async def test_halts_survive_an_empty_redis(pool: TestPool) -> None:
    pool.start()
    agent = await flat_and_eager(pool)
    own = await pool.create(**EAGER)
    halted = await halts.halt_agent(pool.pool.database, own.id, order(Halt.HALTED))
    assert halted is not None
    await pool.send(halted)
    fleet = await halts.halt_fleet(pool.pool.database, order(Halt.REDUCING))
    await pool.pool.shards.halt([agent.shard, own.shard], fleet.halt, fleet.epoch)
    before = await pool.pool.shards.read_head(agent.shard)
    assert before is not None
    await command(pool.pool.state_redis, "FLUSHALL")

    async def back() -> bool:
        head = await pool.pool.shards.read_head(agent.shard)
        row = await pool.row(own)
        ticks = head is not None and head.slot > before.slot + 3
        return ticks and row is not None and int(row["halt"]) == Halt.HALTED

    await wait_for(back, seconds=20, what="the pool on an empty Redis")
    head = await pool.pool.shards.read_head(agent.shard)
    assert head is not None
    assert head.halt_at(head.slot) == Halt.REDUCING and head.halt_epoch == fleet.epoch
    row = await pool.row(agent)
    assert row["opened_slot"] <= before.slot + 1
