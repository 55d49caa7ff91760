"""Halts on record: what counts, whom a change is told to, and who may lift what."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from adapters.db import agents, halts, shards
from adapters.db.agents import Agent
from adapters.db.agents_bulk import create_agents_bulk
from adapters.db.connection import transaction
from adapters.db.halts import HaltOrder
from engine.rows import Halt
from tests.adapters.db.world import World


def order(state: Halt, *, as_operator: bool = False, why: str | None = None) -> HaltOrder:
    """A change by somebody."""
    return HaltOrder(state, uuid4(), as_operator, why)


async def now(world: World, agent: Agent) -> Agent:
    """The agent as it is."""
    found = await agents.get_agent(world.db, world.user, agent.id)
    assert found is not None
    return found


@pytest.mark.parametrize("set_to", [(0, 0, 0, 0), (1, 0, 0, 0), (0, 2, 1, 0), (1, 1, 0, 2)])
async def test_the_strictest_of_agent_and_account_counts(
    world: World, set_to: tuple[int, int, int, int]
) -> None:
    own, by_operator, account, account_by_operator = (Halt(each) for each in set_to)
    await halts.halt_account(world.db, world.user, order(account))
    await halts.halt_account(world.db, world.user, order(account_by_operator, as_operator=True))
    made = await world.agent()
    (bulk,) = await create_agents_bulk(world.db, [world.new()])
    assert made.halt == bulk.halt == max(account, account_by_operator)
    for agent in (made, bulk):
        await halts.halt_agent(world.db, agent.id, order(own))
        told = await halts.halt_agent(world.db, agent.id, order(by_operator, as_operator=True))
        assert told is not None and told.epoch == agent.epoch + 2
        assert told.halt == (await now(world, agent)).halt == max(set_to)
        wanted = await agents.set_wanted(world.db, world.user, agent.id, "stopped", True)
        assert wanted is not None and wanted.halt == max(set_to)


async def test_an_owner_does_not_lift_what_an_operator_has_set(world: World) -> None:
    agent = await world.agent()
    await halts.halt_agent(world.db, agent.id, order(Halt.HALTED, as_operator=True))
    lifted = await halts.halt_agent(world.db, agent.id, order(Halt.ACTIVE))
    assert lifted is not None and lifted.halt == Halt.HALTED
    await halts.halt_account(world.db, world.user, order(Halt.REDUCING, as_operator=True))
    await halts.halt_account(world.db, world.user, order(Halt.ACTIVE))
    assert await halts.halt_of_account(world.db, world.user) == Halt.REDUCING
    lifted = await halts.halt_agent(world.db, agent.id, order(Halt.ACTIVE, as_operator=True))
    assert lifted is not None and lifted.halt == Halt.REDUCING


async def test_an_account_s_halt_is_told_to_those_it_makes_a_difference_to(world: World) -> None:
    free, halted = await world.agent(), await world.agent()
    going = await world.agent()
    await agents.delete(world.db, world.user, going.id)
    await halts.halt_agent(world.db, halted.id, order(Halt.HALTED))
    await world.ask("UPDATE agents SET applied_epoch = epoch")
    told = await halts.halt_account(world.db, world.user, order(Halt.REDUCING))
    assert told is not None
    assert [(each.id, each.halt, each.epoch) for each in told] == [(free.id, 1, free.epoch + 1)]
    assert told[0].asked_epoch == free.asked_epoch, "what was asked for stands as it was"
    await world.ask("UPDATE agents SET applied_epoch = epoch")
    assert await halts.halt_account(world.db, world.user, order(Halt.REDUCING)) == []
    lifted = await halts.halt_account(world.db, world.user, order(Halt.ACTIVE))
    assert lifted is not None and [(each.id, each.halt) for each in lifted] == [(free.id, 0)]
    again = await halts.halt_account(world.db, world.user, order(Halt.ACTIVE))
    assert again is not None and [each.id for each in again] == [free.id], "its row has not met it"
    assert await halts.halt_account(world.db, uuid4(), order(Halt.HALTED)) is None
    assert await halts.halt_agent(world.db, going.id, order(Halt.HALTED)) is None


async def test_an_agent_that_is_made_meanwhile_is_held_back_too(world: World) -> None:
    """Whichever of the two comes first, no agent of the account is left without the halt."""
    async with transaction(world.db) as con:
        await agents.lock_account(con, world.user)
        making = asyncio.create_task(world.agent())
        halting = asyncio.create_task(halts.halt_account(world.db, world.user, order(Halt.HALTED)))
        await asyncio.wait({making, halting}, timeout=0.2)
        assert not making.done() and not halting.done()
    made, told = await making, await halting
    assert told is not None
    assert made.halt == Halt.HALTED or [each.halt for each in told] == [Halt.HALTED]


async def test_the_fleet_s_halt_goes_to_shards_and_every_change_is_written_down(
    world: World,
) -> None:
    agent = await world.agent()
    assert await halts.fleet(world.db) == halts.Fleet(Halt.ACTIVE, 0)
    by = order(Halt.HALTED, as_operator=True, why="the exchange has gone mad")
    fleet = await halts.halt_fleet(world.db, by)
    assert fleet == await halts.fleet(world.db) == halts.Fleet(Halt.HALTED, 1)
    told = await now(world, agent)
    assert (told.halt, told.fleet_halt, told.epoch) == (0, 2, agent.epoch)
    cursor = await shards.progress(world.db, agent.shard)
    assert cursor is not None and (cursor.fleet_halt, cursor.fleet_epoch) == (2, 1)
    await halts.halt_agent(world.db, agent.id, replace(by, as_operator=False, why=None))
    [newest, first] = await halts.changes(world.db, world.user, 10)
    assert (newest.scope, newest.agent_id, newest.user_id) == ("agent", agent.id, world.user)
    assert (first.scope, first.why, first.made_by) == ("fleet", by.why, by.made_by)
    assert [each.scope for each in await halts.changes(world.db, uuid4(), 10)] == ["fleet"]
    assert len(await halts.changes(world.db, None, 1)) == 1
