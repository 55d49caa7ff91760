"""Accounts, plans and anchors."""

import asyncio
from uuid import UUID, uuid4

import pytest

from adapters.db import anchors, plans, shards, users
from adapters.db.connection import Database
from adapters.db.errors import EmailTaken, NoSuchShard, TooManyPlans
from tests.adapters.db.world import World


async def test_only_the_first_account_is_the_operator_also_when_they_race(db: Database) -> None:
    made = await asyncio.gather(
        *(users.create_user(db, f"user{i}@example.com", "hash") for i in range(8))
    )
    assert sorted(user.role for user in made) == ["operator"] + ["user"] * 7


async def test_an_address_is_one_account_in_whatever_case(db: Database) -> None:
    made = await users.create_user(db, " Ann@Example.COM ", "hash")
    assert made.email == "ann@example.com"
    with pytest.raises(EmailTaken):
        await users.create_user(db, "ANN@example.com", "other")
    assert await users.find_by_email(db, "aNN@example.com") == made
    assert await users.find_by_email(db, "bob@example.com") is None
    assert await users.get(db, made.id) == made
    assert await users.get(db, uuid4()) is None
    assert "hash" not in repr(made)


async def test_plans_are_numbered_from_one_without_gaps_also_when_they_race(db: Database) -> None:
    async def intern(i: int) -> int:
        return await plans.intern_plan(db, f"key {i}", "BTC/USDT", "1m", "ema", 1, {"i": i})

    ids = await asyncio.gather(*(intern(i % 6) for i in range(30)))
    assert set(ids) == {1, 2, 3, 4, 5, 6}
    assert await intern(2) == ids[2]
    found = await plans.plans_of(db, [ids[3], 77])
    assert found.keys() == {ids[3]}
    assert (found[ids[3]].key, found[ids[3]].params) == ("key 3", {"i": 3})
    assert sorted(await plans.plans_of(db, range(20))) == [1, 2, 3, 4, 5, 6]


async def test_an_account_makes_no_more_plans_than_its_quota(db: Database) -> None:
    ann, bob = uuid4(), uuid4()

    async def intern(i: int, made_by: UUID | None, quota: int = 2) -> int:
        definition = "BTC/USDT", "1m", "ema", 1, {"i": i}
        return await plans.intern_plan(db, f"key {i}", *definition, made_by=made_by, quota=quota)

    racing = [intern(i, ann) for i in range(6)]
    made = await asyncio.gather(*racing, return_exceptions=True)
    assert sum(isinstance(each, int) for each in made) == 2
    assert sum(isinstance(each, TooManyPlans) for each in made) == 4
    [first, second] = [i for i, each in enumerate(made) if isinstance(each, int)]
    assert await intern(first, ann) == made[first]  # there already
    assert await intern(second, bob) == made[second]
    await asyncio.gather(intern(10, bob), intern(11, bob), intern(12, None), intern(13, ann, 0))
    with pytest.raises(TooManyPlans):
        await intern(14, bob)
    assert sorted(await plans.plans_of(db, range(20))) == [1, 2, 3, 4, 5, 6]


async def test_an_anchor_never_goes_back(db: Database) -> None:
    assert await anchors.load_source_anchor(db, "replay") is None
    await anchors.save_source_anchor(db, "replay", 100, {"line": 7})
    await anchors.save_source_anchor(db, "replay", 90, {"line": 5})
    await anchors.save_source_anchor(db, "other", 1, {})
    found = await anchors.load_source_anchor(db, "replay")
    assert found == anchors.SourceAnchor("replay", 100, {"line": 7})


async def test_a_run_is_named_for_shards_that_exist(world: World) -> None:
    made = await world.agent()
    named = await shards.set_run_id(world.db, made.shard, "run")
    assert await shards.progress(world.db, made.shard) == named
    assert await shards.all_shards(world.db) == [named]
    assert (named.run_id, named.version, named.frozen) == ("run", 0, None)
    with pytest.raises(NoSuchShard):
        await shards.set_run_id(world.db, 99, "run")
    assert await shards.progress(world.db, 99) is None
