"""Ledgers side by side: one wins a shard, numbers get no holes, nothing is lost or doubled."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from adapters.db import connection as way
from adapters.db import history, ledger, ledger_sql, shards, users
from adapters.db.connection import Database, close_database, connection, open_database, transaction
from adapters.db.errors import DatabaseAway, DatabaseBusy
from adapters.db.ledger import store_events
from adapters.db.records import Refusal, ShardEvents, UserMessage
from tests.adapters.db.stories import Story, batch
from tests.adapters.db.world import World


async def test_two_ledgers_number_the_messages_of_shared_users_without_gaps(
    world: World, migrated_database_url: str
) -> None:
    second = (await users.create_user(world.db, "second@example.com", "hash")).id
    owners = [world.user, second]
    stories = [
        Story(await world.agent(user_id=owners[i % 2], symbol=f"S{i % 4}/USDT")) for i in range(90)
    ]
    in_shard = {
        number: [story for story in stories if story.agent.shard == number] for number in (0, 1)
    }
    assert all(in_shard.values())
    other = await open_database(migrated_database_url, pool_max=2)
    chance = random.Random(7)

    async def run(database: Database, number: int) -> list[UserMessage]:
        told: list[UserMessage] = []
        for version in range(12):
            chosen = chance.sample(in_shard[number], 10)
            events = [_next(story) for story in chosen]
            result = await store_events(database, [batch(number, version, events)])
            assert result.shards[number].refused is None
            told += result.messages
        return told

    told = await asyncio.gather(run(world.db, 0), run(other, 1))
    await close_database(other)
    for owner in owners:
        numbers = sorted(m.seq for side in told for m in side if m.user_id == owner)
        assert numbers == list(range(1, len(numbers) + 1))
        for side in told:
            mine = [m.seq for m in side if m.user_id == owner]
            assert mine == sorted(mine)
        page = await history.messages_since(world.db, owner, 0, 10_000)
        assert [m.seq for m in page.messages] == numbers
        assert page.newest == len(numbers)
    lines = [line for side in told for m in side for line in m.data.get("entries", ())]
    assert await world.ask("SELECT count(*) FROM logs") == [(len(lines),)]


async def test_ledgers_that_read_the_same_events_store_them_once(
    world: World, migrated_database_url: str
) -> None:
    agent = await world.agent()
    story = Story(agent)
    events = batch(
        agent.shard, 0, [story.created(), story.started()], [story.opened()], [story.closed()]
    )
    other = await open_database(migrated_database_url, pool_max=4)
    results = await asyncio.gather(
        *(store_events((world.db, other)[i % 2], [events]) for i in range(6))
    )
    await close_database(other)
    outcomes = [result.shards[agent.shard].refused for result in results]
    assert (outcomes.count(None), outcomes.count(Refusal.MOVED)) == (1, 5)
    assert sum(len(result.messages) for result in results) == 6
    assert await world.ask("SELECT count(*), max(seq) FROM messages") == [(6, 6)]


async def test_batches_with_the_same_shards_in_another_order_do_not_deadlock(
    world: World, migrated_database_url: str
) -> None:
    stories = [Story(await world.agent(symbol=f"S{i % 3}/USDT")) for i in range(200)]
    by_shard: dict[int, list[Story]] = {}
    for story in stories:
        by_shard.setdefault(story.agent.shard, []).append(story)
    assert len(by_shard) >= 3
    other = await open_database(migrated_database_url, pool_max=2)
    for version in range(6):
        batches = [
            batch(shard, version, [_next(story) for story in here])
            for shard, here in by_shard.items()
        ]
        results = await asyncio.gather(
            store_events(world.db, batches), store_events(other, batches[::-1])
        )
        for shard in by_shard:
            refused = [result.shards[shard].refused for result in results]
            assert set(refused) == {None, Refusal.MOVED}
    await close_database(other)


async def test_recovery_waits_for_the_ledger_that_is_storing(world: World) -> None:
    agent = await world.agent()
    async with transaction(world.db) as con:
        await con.execute("UPDATE shards SET version = 41 WHERE id = $1", agent.shard)
        recovery = asyncio.create_task(shards.set_run_id(world.db, agent.shard, "new run"))
        done, _ = await asyncio.wait([recovery], timeout=0.1)
        assert not done
    named = await recovery
    assert (named.run_id, named.version) == ("new run", 41)


async def test_an_acknowledgement_that_got_lost_is_found_out_from_the_cursor(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await world.agent()
    story = Story(agent)
    events = batch(agent.shard, 0, [story.created(), story.started()])

    class LosesTheAnswer:
        """A connection that commits and then is gone."""

        def __init__(self, *args: object) -> None:
            self.inner = connection(world.db)

        async def __aenter__(self) -> object:
            return await self.inner.__aenter__()

        async def __aexit__(self, *args: object) -> None:
            await self.inner.__aexit__(None, None, None)
            raise DatabaseAway("lost after the commit")

    monkeypatch.setattr(ledger, "connection", LosesTheAnswer)
    with pytest.raises(DatabaseAway):
        await store_events(world.db, [events])
    monkeypatch.undo()
    progress = await shards.progress(world.db, agent.shard)
    assert progress is not None
    assert progress.version == 1
    again = await store_events(world.db, [events])
    assert again.shards[agent.shard].refused is Refusal.MOVED
    go_on = ShardEvents(events.shard, events.run_id, progress.version, [(2, 1, story.opened())])
    result = await store_events(world.db, [go_on])
    assert [m.seq for m in result.messages] == [3, 4]


async def test_a_ledger_that_was_stopped_inside_a_copy_is_ended_by_the_next_one(
    world: World, migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(way, "LOCK_MS", 30)
    monkeypatch.setattr(ledger_sql, "STALLED_S", 0.0)
    agent = await world.agent()
    stopped, impatient = [await open_database(migrated_database_url) for _ in range(2)]
    inside = asyncio.Event()

    async def never_ends() -> AsyncIterator[bytes]:
        inside.set()
        await asyncio.Event().wait()
        yield b""

    async def stopped_ledger() -> None:
        async with transaction(stopped) as con:
            await con.execute("SELECT * FROM shards FOR UPDATE")
            await con.copy_to_table("logs", source=never_ends())

    task = asyncio.create_task(stopped_ledger())
    await inside.wait()
    events = [batch(agent.shard, 0, [Story(agent).created()])]
    with pytest.raises(DatabaseBusy):
        await store_events(impatient, events)
    result = await store_events(impatient, events)
    assert result.shards[agent.shard].stored == 1
    task.cancel()
    with pytest.raises((asyncio.CancelledError, DatabaseAway)):
        await task
    await close_database(stopped)
    await close_database(impatient)


def _next(story: Story) -> bytes:
    """The next thing that happens to an agent."""
    if story.seq == 0:
        return story.created()
    if story.opening is None:
        return story.opened()
    payload = story.closed()
    story.opening = None
    return payload
