"""Families of refresh tokens and API keys, as PostgreSQL keeps them."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from adapters.db import logins
from adapters.db.errors import NoSuchUser
from adapters.db.logins import Rotation
from tests.adapters.db.world import World

LATER = datetime.now(UTC) + timedelta(days=30)
HOUR = timedelta(hours=1)


async def begin(world: World, first: str = "t0", until: datetime = LATER) -> UUID:
    """A login with its first token."""
    family = uuid4()
    await logins.store_refresh_token(world.db, world.user, family, first, until)
    return family


async def rotate(world: World, old: str, new: str) -> str:
    """The outcome."""
    return (await logins.rotate_refresh_token(world.db, old, new, LATER)).outcome


async def test_a_token_is_good_once_and_its_successor_takes_over(world: World) -> None:
    family = await begin(world)
    done = await logins.rotate_refresh_token(world.db, "t0", "t1", LATER)
    assert done == Rotation("rotated", world.user, family)
    assert await rotate(world, "t1", "t2") == "rotated"
    kept = await world.ask("SELECT token_hash, family_id, spent_at IS NOT NULL FROM refresh_tokens")
    assert sorted(kept) == [("t0", family, True), ("t1", family, True), ("t2", family, False)]


async def test_a_spent_token_ends_its_family_and_no_other(world: World) -> None:
    family, other = await begin(world), await begin(world, "o0")
    await rotate(world, "t0", "t1")
    again = await logins.rotate_refresh_token(world.db, "t0", "x", LATER)
    assert again == Rotation("reused", world.user, family)
    assert await rotate(world, "t1", "y") == "refused"
    assert await rotate(world, "t0", "z") == "refused"  # said once
    assert await logins.families_revoked_within(world.db, HOUR) == [family]
    assert await logins.families_revoked_within(world.db, timedelta(0)) == []
    assert await logins.revoked_among(world.db, [family, other, uuid4()]) == [family]
    assert await rotate(world, "o0", "o1") == "rotated"


async def test_unknown_and_expired_tokens_are_refused(world: World) -> None:
    await begin(world, until=datetime.now(UTC) - timedelta(seconds=1))
    assert await rotate(world, "t0", "t1") == "refused"
    assert await rotate(world, "nothing", "t1") == "refused"
    assert len(await world.ask("SELECT 1 FROM refresh_tokens")) == 1


async def test_of_many_at_once_one_wins_and_the_family_ends(world: World) -> None:
    family = await begin(world)
    outcomes = await asyncio.gather(*(rotate(world, "t0", f"n{i}") for i in range(8)))
    assert sorted(outcomes) == ["refused"] * 6 + ["reused", "rotated"]
    alive = await world.ask("SELECT 1 FROM refresh_tokens WHERE revoked_at IS NULL")
    assert alive == []
    assert await logins.revoked_among(world.db, [family]) == [family]


async def test_no_successor_slips_past_a_revocation(world: World) -> None:
    """The owner rotates the newest token while a thief shows an old one, many times over."""
    for i in range(20):
        await begin(world, f"{i}-0")
        await rotate(world, f"{i}-0", f"{i}-1")
        await asyncio.gather(rotate(world, f"{i}-1", f"{i}-2"), rotate(world, f"{i}-0", "stolen"))
    alive = await world.ask("SELECT token_hash FROM refresh_tokens WHERE revoked_at IS NULL")
    assert alive == []


async def test_a_login_ends_by_any_of_its_tokens(world: World) -> None:
    family = await begin(world)
    await rotate(world, "t0", "t1")
    assert await logins.revoke_family_of(world.db, "t0") == family
    assert await logins.revoke_family_of(world.db, "t1") == family
    assert await logins.revoke_family_of(world.db, "nothing") is None
    assert await rotate(world, "t1", "t2") == "refused"


async def test_expired_tokens_are_pruned(world: World) -> None:
    await begin(world, "old", datetime.now(UTC) - HOUR)
    await begin(world, "new")
    assert await logins.prune_refresh_tokens(world.db, datetime.now(UTC)) == 1
    assert await world.ask("SELECT token_hash FROM refresh_tokens") == [("new",)]


async def test_a_new_api_key_replaces_the_old(world: World) -> None:
    await logins.set_api_key(world.db, world.user, "h1")
    assert await logins.user_of_api_key(world.db, "h1") == world.user
    await logins.set_api_key(world.db, world.user, "h2")
    assert await logins.user_of_api_key(world.db, "h1") is None
    assert await logins.user_of_api_key(world.db, "h2") == world.user


async def test_an_account_that_is_gone_gets_nothing(world: World) -> None:
    with pytest.raises(NoSuchUser):
        await logins.set_api_key(world.db, uuid4(), "h")
    with pytest.raises(NoSuchUser):
        await logins.store_refresh_token(world.db, uuid4(), uuid4(), "t", LATER)
