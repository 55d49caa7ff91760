"""What contradicts the record freezes its shard; what cannot be stored goes to quarantine."""

import msgspec
import pytest

from adapters.db import agents, history, quarantine, shards
from adapters.db.agents import Agent
from adapters.db.connection import connection
from adapters.db.ledger import store_events
from adapters.db.records import Refusal
from engine.events import decode_event, encode_event, event_id
from tests.adapters.db.stories import Story, batch
from tests.adapters.db.world import World, everything


async def test_known_event_with_other_content_freezes_the_shard_only(world: World) -> None:
    one = await world.agent()
    other = await _in_another_shard(world, one)
    story, calm = Story(one), Story(other)
    await store_events(
        world.db,
        [
            batch(one.shard, 0, [story.created(), story.started()]),
            batch(other.shard, 0, [calm.created()]),
        ],
    )
    story.record["seq"] -= 1  # the same number once more
    contradiction = batch(one.shard, 1, [story.stopped()])
    result = await store_events(world.db, [contradiction, batch(other.shard, 1, [calm.started()])])
    frozen = result.shards[one.shard]
    assert frozen.refused is Refusal.FROZEN
    assert frozen.frozen is not None
    assert "came again with other content" in frozen.frozen
    assert frozen.version == 1
    assert result.shards[other.shard].refused is None
    assert [m.agent_id for m in result.messages] == [other.id]
    progress = await shards.progress(world.db, one.shard)
    assert progress is not None
    assert progress.frozen == frozen.frozen

    later = await store_events(world.db, [contradiction])
    assert later.shards[one.shard].refused is Refusal.FROZEN


async def test_known_event_with_the_same_content_is_taken_silently(world: World) -> None:
    agent = await world.agent()
    story = Story(agent)
    events = [story.created(), story.started(), story.opened()]
    await store_events(world.db, [batch(agent.shard, 0, events)])
    before = await everything(world)
    result = await store_events(world.db, [batch(agent.shard, 1, events)])
    assert result.shards[agent.shard].refused is None
    assert not result.messages
    after = await everything(world)
    assert after.pop("shards") != before.pop("shards")
    assert after == before


async def test_a_gap_in_an_agents_numbers_freezes_the_shard(world: World) -> None:
    agent = await world.agent()
    story = Story(agent)
    story.created()
    result = await store_events(world.db, [batch(agent.shard, 0, [story.started()])])
    frozen = result.shards[agent.shard].frozen
    assert frozen is not None
    assert "came after 0" in frozen


async def test_a_trade_closed_otherwise_than_opened_freezes_the_shard(world: World) -> None:
    agent = await world.agent()
    story = Story(agent)
    await store_events(world.db, [batch(agent.shard, 0, [story.created(), story.opened()])])
    assert story.opening is not None
    story.opening = msgspec.structs.replace(story.opening, price=59_000.0)
    result = await store_events(world.db, [batch(agent.shard, 1, [story.closed()])])
    frozen = result.shards[agent.shard].frozen
    assert frozen is not None
    assert "other content" in frozen
    (trade,) = (await history.trades_of(world.db, world.user, agent.id, 10)).trades
    assert trade.closed_at is None


async def test_unreadable_entries_go_to_quarantine_and_the_rest_is_stored(world: World) -> None:
    agent = await world.agent()
    story = Story(agent)
    events = [story.created(), b"\xc1 no event", story.started()]
    result = await store_events(world.db, [batch(agent.shard, 0, events)])
    outcome = result.shards[agent.shard]
    assert (outcome.stored, outcome.quarantined, outcome.version) == (2, 1, 1)
    kept = await world.ask("SELECT shard, version, n, payload, reason FROM quarantine")
    ((shard, version, n, payload, reason),) = kept
    assert (shard, version, n, payload) == (agent.shard, 1, 2, b"\xc1 no event")
    assert reason.startswith("cannot be read")


async def test_a_number_that_only_the_unreadable_entry_can_have_had_is_no_gap(
    world: World,
) -> None:
    agent = await world.agent()
    story = Story(agent)
    first = story.created()
    story.started()  # lost: it comes as bytes that nobody can read
    await store_events(world.db, [batch(agent.shard, 0, [first, b"?"])])
    result = await store_events(world.db, [batch(agent.shard, 1, [story.opened()])])
    assert result.shards[agent.shard].refused is None
    assert len(result.messages) == 2


async def test_what_postgresql_refuses_goes_to_quarantine_but_its_row_is_kept(
    world: World,
) -> None:
    agent = await world.agent()
    other = await world.agent()
    story, calm = Story(agent), Story(other)
    events = [
        story.created(),
        calm.created(),
        story.failed("zero \0 byte"),
        calm.started(),
        calm.opened(),
    ]
    result = await store_events(world.db, [batch(agent.shard, 0, events)])
    outcome = result.shards[agent.shard]
    assert (outcome.stored, outcome.quarantined, outcome.refused) == (4, 1, None)
    assert [m.seq for m in result.messages] == [1, 2, 3, 4, 5, 6]
    ((n, reason),) = await world.ask("SELECT n, reason FROM quarantine")
    assert (n, outcome.why) == (3, reason)
    assert reason.startswith("PostgreSQL refuses it")
    told = await world.ask("SELECT level, message, agent_id FROM logs WHERE level = 'error'")
    assert told == [
        ("error", f"an event could not be stored and was kept aside: {reason}", agent.id)
    ]
    assert await world.ask("SELECT seq FROM journal WHERE agent_id = $1", agent.id) == [(1,)]
    row = (await shards.newest_rows(world.db, agent.shard))[agent.row]
    assert (row.seq, row.record) == (2, story.record.tobytes())
    go_on = await store_events(world.db, [batch(agent.shard, 1, [story.opened()])])
    assert go_on.shards[agent.shard].refused is None


async def test_an_agent_of_which_an_event_was_refused_is_wanted_in_error_once(
    world: World,
) -> None:
    agent, stands = await world.agent(), await world.agent()
    assert await agents.set_wanted(world.db, world.user, stands.id, "stopped", True)
    one, other = Story(agent), Story(stands)
    told = [one.created(), one.failed("\0"), one.failed("\0"), other.created(), other.failed("\0")]
    result = await store_events(world.db, [batch(agent.shard, 0, told)])
    assert result.shards[agent.shard].quarantined == 3
    (failed,) = await quarantine.fail_agents(world.db, 10)
    assert (failed.id, failed.wanted, failed.epoch) == (agent.id, "failed", agent.epoch + 1)
    assert failed.asked_epoch == failed.epoch
    assert await quarantine.fail_agents(world.db, 10) == []
    still = await agents.get_agent(world.db, world.user, stands.id)
    assert still is not None
    assert still.wanted == "stopped"


async def test_a_number_too_large_for_its_column_is_refused_by_the_driver_and_quarantined(
    world: World,
) -> None:
    agent = await world.agent()
    story = Story(agent)
    created, opened = story.created(), decode_event(story.opened())
    wrong = encode_event(msgspec.structs.replace(opened, leverage=2**40))
    result = await store_events(
        world.db, [batch(agent.shard, 0, [created, wrong, story.stopped()])]
    )
    assert (result.shards[agent.shard].stored, result.shards[agent.shard].quarantined) == (2, 1)
    ((reason,),) = await world.ask("SELECT reason FROM quarantine")
    assert "out of int32 range" in reason


async def test_of_two_shards_the_one_with_a_refused_event_does_not_hold_up_the_other(
    world: World,
) -> None:
    one = await world.agent()
    other = await _in_another_shard(world, one)
    story, calm = Story(one), Story(other)
    bad = [story.created(), story.failed("\0"), story.opened(), story.failed("\0")]
    good = [calm.created(), calm.opened(), calm.closed(), calm.stopped()]
    result = await store_events(world.db, [batch(one.shard, 0, bad), batch(other.shard, 0, good)])
    assert (result.shards[one.shard].stored, result.shards[one.shard].quarantined) == (2, 2)
    assert (result.shards[other.shard].stored, result.shards[other.shard].quarantined) == (4, 0)
    assert [m.seq for m in result.messages] == list(range(1, 12))
    page = await history.messages_since(world.db, world.user, 0, 99)
    assert list(page.messages) == list(result.messages)
    assert page.newest == 11
    (row,) = [r for r in await shards.newest_rows(world.db, one.shard) if r.agent_id == one.id]
    assert (row.seq, row.record) == (4, story.record.tobytes())
    now = await agents.get_agent(world.db, world.user, other.id)
    assert now is not None
    assert now.status == "stopped"


async def test_a_log_line_that_is_stored_already_freezes_its_shard_and_no_other(
    world: World,
) -> None:
    one = await world.agent()
    other = await _in_another_shard(world, one)
    story, calm = Story(one), Story(other)
    events = [story.created(), story.started(), story.opened()]
    async with connection(world.db) as con:
        await con.execute(
            "INSERT INTO logs VALUES ($1, $2, $3, 1, now(), 'init', 'somebody else wrote this')",
            event_id(one.id.bytes, 3),
            one.id,
            world.user,
        )
    result = await store_events(
        world.db,
        [batch(one.shard, 0, events), batch(other.shard, 0, [calm.created(), calm.opened()])],
    )
    frozen = result.shards[one.shard]
    assert (frozen.refused, frozen.version) == (Refusal.FROZEN, 0)
    assert frozen.frozen is not None
    assert "stored with other content" in frozen.frozen
    assert result.shards[other.shard].stored == 2
    assert [(m.seq, m.agent_id) for m in result.messages] == [(n, other.id) for n in (1, 2, 3)]
    assert await world.ask("SELECT count(*) FROM trades WHERE agent_id = $1", one.id) == [(0,)]


@pytest.mark.parametrize("price", [float("nan"), float("inf"), 1e20, 1.23456789012e-8])
async def test_numbers_that_cannot_be_kept_exactly_go_to_quarantine(
    world: World, price: float
) -> None:
    agent = await world.agent()
    story = Story(agent)
    events = [story.created(), story.opened(price=price), story.stopped()]
    result = await store_events(world.db, [batch(agent.shard, 0, events)])
    outcome = result.shards[agent.shard]
    assert (outcome.stored, outcome.quarantined) == (2, 1)
    assert await world.ask("SELECT * FROM trades") == []
    ((message,),) = await world.ask("SELECT message FROM logs WHERE level = 'error'")
    assert repr(price) in message
    now = await agents.get_agent(world.db, world.user, agent.id)
    assert now is not None
    assert (now.status, now.status_detail) == ("stopped", "by_user")


@pytest.mark.parametrize("fill", [{"side": 5}, {"side": 0}, {"quantity": 0.0}, {"leverage": 0}])
async def test_a_fill_that_no_position_can_have_is_its_agents_matter_alone(
    world: World, fill: dict[str, float]
) -> None:
    """A damaged row closes once more what is closed: compared, it would freeze the shard."""
    agent = await world.agent()
    story = Story(agent)
    events = [story.created(), story.opened(), story.closed()]
    await store_events(world.db, [batch(agent.shard, 0, events)])
    again = msgspec.structs.replace(decode_event(story.closed()), **fill)
    result = await store_events(world.db, [batch(agent.shard, 1, [encode_event(again)])])
    outcome = result.shards[agent.shard]
    assert (outcome.frozen, outcome.stored, outcome.quarantined) == (None, 0, 1)
    assert len(await world.ask("SELECT * FROM trades")) == 1


async def test_a_row_with_a_plan_that_cannot_be_does_not_stop_the_ledger(world: World) -> None:
    agent = await world.agent()
    story = Story(agent)
    story.set_row(plan_id=2**32 - 1)
    events = [story.created(), story.failed("plan 4294967295 is not known")]
    result = await store_events(world.db, [batch(agent.shard, 0, events)])
    assert result.shards[agent.shard].stored == 2
    now = await agents.get_agent(world.db, world.user, agent.id)
    assert now is not None
    assert (now.status, now.status_detail) == ("error", "plan 4294967295 is not known")


async def test_events_of_an_agent_that_does_not_hold_the_row_go_to_quarantine(
    world: World,
) -> None:
    agent = await world.agent()
    stranger = Story(msgspec.structs.replace(agent, id=world.user))
    result = await store_events(world.db, [batch(agent.shard, 0, [stranger.created()])])
    assert result.shards[agent.shard].quarantined == 1
    (row,) = await shards.newest_rows(world.db, agent.shard)
    assert row.record is None


async def _in_another_shard(world: World, one: Agent) -> Agent:
    for _ in range(100):
        other = await world.agent(symbol="ETH/USDT")
        if other.shard != one.shard:
            return other
    raise AssertionError("all agents in one shard")
