"""Agents: a row for each, an epoch for each wish, and only for their owner."""

import asyncio
from uuid import UUID, uuid4

import pytest

from adapters.db import agents, creation, shards, users
from adapters.db.agents import Agent, NewAgent
from adapters.db.agents_bulk import create_agents_bulk
from adapters.db.connection import close_database, connection, open_database
from adapters.db.errors import BadCursor, NoSuchPlan, NoSuchUser
from adapters.db.ledger import store_events
from engine.rows import ROWS_PER_SHARD
from tests.adapters.db.stories import Story, batch
from tests.adapters.db.world import World


async def test_a_new_agent_is_creating_in_a_row_of_its_own_with_epoch_one(world: World) -> None:
    new = world.new(wanted="stopped")
    made = await creation.create_agent(world.db, new)
    assert (made.id, made.shard, made.row, made.epoch) == (new.id, 0, 0, 1)
    assert (made.wanted, made.status, made.applied_epoch) == ("stopped", "creating", 0)
    assert made.strategy_params == {"lookback": 20, "threshold": 0.5}
    assert await agents.get_agent(world.db, world.user, made.id) == made
    (row,) = await shards.newest_rows(world.db, 0)
    assert (row.row, row.agent_id, row.epoch, row.record) == (0, made.id, 1, None)


async def test_creators_that_race_never_get_one_row(
    world: World, migrated_database_url: str
) -> None:
    other = await open_database(migrated_database_url, pool_max=8)
    made: list[Agent] = []
    for wave in range(3):  # of whom each waits for the others no longer than a statement may take
        made += await asyncio.gather(
            *(
                creation.create_agent((world.db, other)[i % 2], world.new(symbol=f"S{i % 5}/USDT"))
                for i in range(50 * wave, 50 * wave + 50)
            )
        )
    await close_database(other)
    places = {(agent.shard, agent.row) for agent in made}
    assert len(places) == 150
    assert {shard for shard, _ in places} == {0, 1, 2}
    for number in (0, 1, 2):
        rows = sorted(row for shard, row in places if shard == number)
        assert rows == list(range(len(rows)))


async def test_a_freed_row_is_given_again_and_its_epochs_go_on(world: World) -> None:
    first = await world.agent()
    story = Story(first)
    wished = await agents.set_wanted(world.db, world.user, first.id, "stopped", True)
    assert wished is not None
    assert wished.epoch == 2
    gone = await agents.delete(world.db, world.user, first.id)
    assert gone is not None
    assert gone.epoch == 3
    assert (await world.agent()).row == 1  # the row is not free before its last event is stored
    story.set_row(epoch=3)
    events = [story.created(), story.deleted()]
    await store_events(world.db, [batch(first.shard, 0, events)])

    heir = await world.agent()
    assert (heir.shard, heir.row, heir.epoch) == (first.shard, first.row, 4)
    row = (await shards.newest_rows(world.db, heir.shard))[0]
    assert (row.agent_id, row.epoch, row.seq) == (heir.id, 4, 0)
    assert row.record == story.record.tobytes()  # still the tombstone of the first
    life = Story(heir)
    result = await store_events(world.db, [batch(heir.shard, 1, [life.created()])])
    assert result.shards[heir.shard].stored == 1
    row = (await shards.newest_rows(world.db, heir.shard))[0]
    assert (row.seq, row.record) == (1, life.record.tobytes())


async def test_heirs_race_for_freed_rows(world: World) -> None:
    made = [await world.agent() for _ in range(10)]
    events = []
    for agent in made:
        await agents.delete(world.db, world.user, agent.id)
        story = Story(agent)
        events += [story.created(), story.deleted()]
    await store_events(world.db, [batch(0, 0, events)])
    heirs = await asyncio.gather(*(creation.create_agent(world.db, world.new()) for _ in range(14)))
    assert sorted(heir.row for heir in heirs) == list(range(14))
    assert sorted(heir.epoch for heir in heirs) == [1] * 4 + [3] * 10


async def test_agents_made_together_lie_as_if_made_one_by_one(world: World) -> None:
    """Freed rows first, in order, then new ones; every epoch is its row's next."""
    made = [await world.agent(symbol=f"S{i % 2}/USDT") for i in range(140)]
    events: dict[int, list[bytes]] = {0: [], 1: [], 2: []}
    for agent in made[3::5]:
        await agents.delete(world.db, world.user, agent.id)
        story = Story(agent)
        for event in (story.created(), story.deleted()):
            events[agent.shard].append(event)
    for shard, told in events.items():
        if told:
            await store_events(world.db, [batch(shard, 0, told)])
    new = [world.new(symbol=f"S{i % 3}/USDT") for i in range(40)]
    together = await _places_of_rolled_back(world, [new])
    one_by_one = await _places_of_rolled_back(world, [[each] for each in new])
    assert sorted(together.values()) == sorted(one_by_one.values())
    assert {each[2] for each in together.values()} == {1, 3}
    found = await creation.create_agents(world.db, new)
    assert [agent.id for agent in found] == [each.id for each in new]
    assert {a.id: (a.shard, a.row, a.epoch) for a in found} == together


async def _places_of_rolled_back(
    world: World, batches: list[list[NewAgent]]
) -> dict[UUID, tuple[int, int, int]]:
    """Where they would lie."""
    async with connection(world.db) as con:
        turn = con.transaction()
        await turn.start()
        made = [agent for some in batches for agent in await creation.place_agents(con, some)]
        await turn.rollback()
    return {agent.id: (agent.shard, agent.row, agent.epoch) for agent in made}


async def test_batches_that_race_never_overfill_a_shard(
    world: World, migrated_database_url: str
) -> None:
    near_full = [world.new() for _ in range(8 * ROWS_PER_SHARD - 30)]
    await create_agents_bulk(world.db, near_full)
    other = await open_database(migrated_database_url, pool_max=8)
    made = await asyncio.gather(
        *(
            creation.create_agents((world.db, other)[i % 2], [world.new() for _ in range(9)])
            for i in range(8)
        )
    )
    await close_database(other)
    places = [(agent.shard, agent.row) for some in made for agent in some]
    assert len(set(places)) == 72
    fills = await world.ask(
        "SELECT shard, count(*), max(row) FROM shard_rows GROUP BY 1 ORDER BY 1"
    )
    assert [(shard, count, last + 1) for shard, count, last in fills] == [
        *((shard, ROWS_PER_SHARD, ROWS_PER_SHARD) for shard in range(8)),
        (8, 42, 42),
    ]


async def test_one_bad_agent_leaves_none_of_its_batch(world: World) -> None:
    with pytest.raises(NoSuchUser):
        await creation.create_agents(world.db, [world.new(), world.new(user_id=uuid4())])
    assert await agents.count(world.db) == 0
    assert await world.ask("SELECT count(*) FROM shard_rows") == [(0,)]


async def test_wishes_that_race_get_one_epoch_each(world: World) -> None:
    agent = await world.agent()
    wished = await asyncio.gather(
        *(
            agents.set_wanted(
                world.db, world.user, agent.id, ("running", "stopped")[i % 2], i % 3 == 0
            )
            for i in range(20)
        )
    )
    epochs = sorted(one.epoch for one in wished if one is not None)
    assert epochs == list(range(2, 22))
    last = max((one for one in wished if one is not None), key=lambda one: one.epoch)
    assert await agents.get_agent(world.db, world.user, agent.id) == last


async def test_deleting_is_final_and_safe_to_repeat(world: World) -> None:
    agent = await world.agent()
    first = await agents.delete(world.db, world.user, agent.id)
    assert first is not None
    assert (first.wanted, first.close_position) == ("deleted", True)
    assert await agents.delete(world.db, world.user, agent.id) == first
    assert await agents.set_wanted(world.db, world.user, agent.id, "running", True) is None
    assert await agents.get_agent(world.db, world.user, agent.id) is None
    assert await agents.list_agents(world.db, world.user) == []
    assert await agents.count(world.db) == 0
    assert [one.id for one in await agents.agents_of_shard(world.db, 0)] == [agent.id]


async def test_somebody_elses_agent_is_as_good_as_missing(world: World) -> None:
    agent = await world.agent()
    stranger = (await users.create_user(world.db, "stranger@example.com", "hash")).id
    assert await agents.get_agent(world.db, stranger, agent.id) is None
    assert await agents.set_wanted(world.db, stranger, agent.id, "stopped", True) is None
    assert await agents.delete(world.db, stranger, agent.id) is None
    assert await agents.list_agents(world.db, stranger) == []
    assert await agents.get_agent(world.db, world.user, agent.id) == agent


async def test_lists_page_and_filter(world: World) -> None:
    made = [await world.agent(name=str(i)) for i in range(7)]
    story = Story(made[2])
    events = [story.created(), story.stopped()]
    await store_events(world.db, [batch(made[2].shard, 0, events)])

    seen: list[Agent] = []
    after = None
    while page := await agents.list_agents(world.db, world.user, limit=3, after=after):
        seen += page
        after = page[-1].cursor
    assert [agent.name for agent in seen] == [str(i) for i in range(7)]
    stopped = await agents.list_agents(world.db, world.user, status="stopped")
    assert [agent.id for agent in stopped] == [made[2].id]
    assert len(await agents.list_agents(world.db, world.user, status="creating")) == 6
    assert await agents.count(world.db, world.user) == 7
    assert await agents.count(world.db, uuid4()) == 0
    for wrong in ("", "x", "12", "12-zz", "9" * 30 + "-" + "0" * 32):
        with pytest.raises(BadCursor):
            await agents.list_agents(world.db, world.user, after=wrong)


async def test_unapplied_are_those_whose_row_has_not_seen_the_newest_wish(world: World) -> None:
    applied, lost = await world.agent(), await world.agent()
    events = [Story(applied).created()]
    await store_events(world.db, [batch(applied.shard, 0, events)])
    assert [one.id for one in await agents.unapplied(world.db, 0, 10)] == [lost.id]
    assert await agents.unapplied(world.db, 3600, 10) == []
    again = await agents.set_wanted(world.db, world.user, applied.id, "stopped", True)
    found = await agents.unapplied(world.db, 0, 10)
    assert found == [lost, again]
    # the oldest ones may be of a frozen shard and never be applied: everybody's turn comes
    drawn = [await agents.unapplied(world.db, 0, 1) for _ in range(60)]
    assert {one.id for (one,) in drawn} == {lost.id, applied.id}


async def test_a_missing_plan_or_owner_is_named_and_nothing_is_made(world: World) -> None:
    with pytest.raises(NoSuchPlan):
        await creation.create_agent(world.db, world.new(plan_id=99))
    with pytest.raises(NoSuchUser):
        await creation.create_agent(world.db, world.new(user_id=uuid4()))
    with pytest.raises(NoSuchPlan):
        await create_agents_bulk(world.db, [world.new(), world.new(plan_id=99)])
    assert await agents.count(world.db) == 0
    assert await world.ask("SELECT * FROM shard_rows") == []


async def test_many_at_once_are_what_one_by_one_would_be(world: World) -> None:
    one = await world.agent()
    new = [world.new(symbol=f"S{i % 20}/USDT", name=str(i)) for i in range(700)]
    made = await create_agents_bulk(world.db, new)
    assert [agent.id for agent in made] == [agent.id for agent in new]
    assert len({(agent.shard, agent.row) for agent in [one, *made]}) == 701
    assert len({agent.shard for agent in made}) >= 8
    stored = await agents.get_agent(world.db, world.user, made[5].id)
    assert stored == made[5]
    shards_now = {shard.shard: shard for shard in await shards.all_shards(world.db)}
    assert {agent.shard for agent in made} <= shards_now.keys()
    for shard in shards_now:
        rows = [row.row for row in await shards.newest_rows(world.db, shard)]
        assert rows == list(range(len(rows)))
    later = await world.agent()
    assert (later.shard, later.row) not in {(agent.shard, agent.row) for agent in made}


async def test_a_frozen_shard_gets_no_new_agents(world: World) -> None:
    first = await world.agent()
    async with connection(world.db) as con:
        await con.execute("UPDATE shards SET frozen = 'why' WHERE id = $1", first.shard)
    second = await world.agent()
    assert second.shard != first.shard
    third = (await create_agents_bulk(world.db, [world.new()]))[0]
    assert third.shard != first.shard


async def test_of_many_unapplied_each_owner_has_a_share(world: World) -> None:
    many = [await world.agent() for _ in range(12)]
    other = (await users.create_user(world.db, "other@example.com", "none")).id
    lonely = await world.agent(user_id=other)
    for _ in range(5):
        drawn = await agents.unapplied(world.db, 0, 4)
        assert lonely.id in {one.id for one in drawn} and len(drawn) == 4
    assert len(await agents.unapplied(world.db, 0, 100)) == len(many) + 1
