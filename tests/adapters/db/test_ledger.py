"""The ledger's promise: every event once, nothing else, whatever comes how often."""

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest

from adapters.db import agents, history, shards
from adapters.db.agents import Agent
from adapters.db.connection import connection
from adapters.db.ledger import store_events
from adapters.db.records import Refusal, ShardEvents
from engine.events import event_id
from engine.rows import Reason
from tests.adapters.db.conftest import World
from tests.adapters.db.stories import SLOT, Story, batch

EVERYTHING = {
    "trades": "SELECT * FROM trades ORDER BY id",
    "logs": "SELECT * FROM logs ORDER BY id",
    "messages": "SELECT * FROM messages ORDER BY user_id, seq",
    "rows": "SELECT * FROM shard_rows ORDER BY shard, row",
    "agents": "SELECT * FROM agents ORDER BY id",
    "shards": "SELECT * FROM shards ORDER BY id",
    "users": "SELECT * FROM users ORDER BY id",
    "quarantine": "SELECT * FROM quarantine ORDER BY id",
}


async def everything(world: World) -> dict[str, list[tuple[object, ...]]]:
    return {name: await world.ask(question) for name, question in EVERYTHING.items()}


async def a_life(world: World) -> tuple[Agent, Story, ShardEvents]:
    agent = await world.agent()
    story = Story(agent)
    first = [story.created(), story.started()]
    story.slot += 5
    second = [story.opened()]
    story.slot += 5
    return agent, story, batch(agent.shard, 0, first, second, [story.closed()])


async def test_a_life_is_stored_as_trades_logs_messages_row_and_cursor(world: World) -> None:
    agent, story, events = await a_life(world)
    result = await store_events(world.db, [events])
    stored = result.shards[agent.shard]
    assert (stored.refused, stored.version, stored.stored, stored.quarantined) == (None, 3, 4, 0)

    page = await history.trades_of(world.db, world.user, agent.id, 10)
    assert page.next is None
    (trade,) = page.trades
    assert (trade.side, trade.leverage, trade.mode) == ("long", 2, "paper")
    assert (trade.symbol, trade.strategy_name) == ("BTC/USDT", "momentum_breakout")
    assert (trade.open_reason, trade.close_reason) == ("signal", "take_profit")
    assert (trade.entry_price, trade.exit_price) == (Decimal("60000.5"), Decimal("61000.25"))
    assert (trade.fee_usd, trade.pnl_usd) == (Decimal("0.20166"), Decimal("1.46666"))
    assert trade.opened_at.timestamp() == SLOT + 5
    assert trade.closed_at is not None
    assert trade.closed_at.timestamp() == SLOT + 10

    lines = await history.logs_of(world.db, world.user, agent.id)
    assert [line.level for line in lines] == ["init", "start", "action", "sl_tp", "action"]

    (row,) = await shards.newest_rows(world.db, agent.shard)
    assert (row.row, row.agent_id, row.seq, row.version) == (agent.row, agent.id, 4, 3)
    assert row.record == story.record.tobytes()
    progress = await shards.progress(world.db, agent.shard)
    assert progress is not None
    assert (progress.version, progress.slot) == (3, SLOT + 10)

    now = await agents.get_agent(world.db, world.user, agent.id)
    assert now is not None
    assert (now.applied_epoch, now.status, now.status_detail) == (1, "running", "")


async def test_messages_are_the_contracts_and_are_kept(world: World) -> None:
    agent, _, events = await a_life(world)
    result = await store_events(world.db, [events])
    kinds = [(m.seq, m.kind, m.data.get("event")) for m in result.messages]
    assert kinds == [
        (1, "log", None),
        (2, "log", None),
        (3, "trade", "opened"),
        (4, "log", None),
        (5, "trade", "closed"),
        (6, "log", None),
    ]
    opened, closed = (m.data["trade"] for m in result.messages if m.kind == "trade")
    assert opened["exit_price"] is None
    assert opened["closed_at"] is None
    assert opened["seq"] == closed["seq"] == 3
    assert closed["fee_usd"] == 0.20166
    assert closed["opened_at"] == "2027-01-15T08:00:05.000Z"
    assert result.messages[-1].data["entries"][0]["level"] == "sl_tp"

    kept = await history.messages_since(world.db, world.user, 0, 100)
    assert list(kept.messages) == list(result.messages)
    assert (kept.gap, kept.newest) == (None, 6)
    stored = (await history.trades_of(world.db, world.user, agent.id, 1)).trades[0]
    assert stored.as_json() == closed


async def test_the_same_batch_again_changes_nothing(world: World) -> None:
    _, _, events = await a_life(world)
    await store_events(world.db, [events])
    before = await everything(world)
    again = await store_events(world.db, [events])
    outcome = again.shards[events.shard]
    assert (outcome.refused, outcome.version) == (Refusal.MOVED, 3)
    assert not again.messages
    assert await everything(world) == before


@pytest.mark.parametrize("change", ["run_id", "after_version", "shard"])
async def test_another_run_cursor_or_shard_is_refused_and_nothing_is_stored(
    world: World, change: str
) -> None:
    _, _, events = await a_life(world)
    wrong = {
        "run_id": replace(events, run_id="b" * 40),
        "after_version": replace(events, after_version=1, entries=events.entries[2:]),
        "shard": replace(events, shard=99),
    }[change]
    before = await everything(world)
    result = await store_events(world.db, [wrong])
    expected = {"run_id": Refusal.RUN_ID, "after_version": Refusal.MOVED, "shard": Refusal.UNKNOWN}
    assert result.shards[wrong.shard].refused is expected[change]
    assert result.shards[wrong.shard].version == 0
    assert await everything(world) == before


async def test_a_ledger_that_read_before_recovery_cannot_store_after_it(world: World) -> None:
    agent, _, events = await a_life(world)
    await shards.set_run_id(world.db, agent.shard, "b" * 40)
    result = await store_events(world.db, [events])
    assert result.shards[agent.shard].refused is Refusal.RUN_ID
    assert await world.ask("SELECT * FROM trades") == []


async def test_a_close_in_a_later_batch_closes_the_stored_trade(world: World) -> None:
    agent = await world.agent()
    story = Story(agent)
    await store_events(
        world.db, [batch(agent.shard, 0, [story.created(), story.started(), story.opened()])]
    )
    result = await store_events(world.db, [batch(agent.shard, 1, [story.closed()])])
    (trade,) = (await history.trades_of(world.db, world.user, agent.id, 10)).trades
    assert trade.closed_at is not None
    assert trade.seq == 3
    told = next(m.data["trade"] for m in result.messages if m.kind == "trade")
    assert told["seq"] == 3
    assert [m.seq for m in result.messages] == [5, 6]


async def test_opening_keeps_its_words_when_the_agent_was_edited_while_open(world: World) -> None:
    from adapters.db import plans

    other = await plans.intern_plan(world.db, "{2}", "BTC/USDT", "1m", "z_score", 1, {})
    agent = await world.agent()
    story = Story(agent)
    first = [story.created(), story.started(), story.opened()]
    story.set_row(plan_id=other)
    await store_events(world.db, [batch(agent.shard, 0, first)])
    await store_events(world.db, [batch(agent.shard, 1, [story.closed(), story.opened()])])
    trades = (await history.trades_of(world.db, world.user, agent.id, 10)).trades
    assert [t.strategy_name for t in trades] == ["z_score", "momentum_breakout"]


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
    assert [m.seq for m in result.messages] == [1, 2, 3, 4, 5]
    ((n,),) = await world.ask("SELECT n FROM quarantine")
    assert n == 3
    row = (await shards.newest_rows(world.db, agent.shard))[agent.row]
    assert (row.seq, row.record) == (2, story.record.tobytes())
    go_on = await store_events(world.db, [batch(agent.shard, 1, [story.opened()])])
    assert go_on.shards[agent.shard].refused is None


async def test_of_two_shards_the_one_with_a_refused_event_does_not_hold_up_the_other(
    world: World,
) -> None:
    one = await world.agent()
    other = await _in_another_shard(world, one)
    story, calm = Story(one), Story(other)
    bad = [story.created(), story.failed("\0"), story.opened(), story.failed("\0")]
    good = [calm.created(), calm.opened(), calm.closed(), calm.stopped()]
    result = await store_events(
        world.db, [batch(one.shard, 0, bad), batch(other.shard, 0, good)]
    )
    assert (result.shards[one.shard].stored, result.shards[one.shard].quarantined) == (2, 2)
    assert (result.shards[other.shard].stored, result.shards[other.shard].quarantined) == (4, 0)
    assert [m.seq for m in result.messages] == list(range(1, 10))
    page = await history.messages_since(world.db, world.user, 0, 99)
    assert list(page.messages) == list(result.messages)
    assert page.newest == 9
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
    now = await agents.get_agent(world.db, world.user, agent.id)
    assert now is not None
    assert (now.status, now.status_detail) == ("stopped", "by_user")


async def test_status_follows_the_newest_event(world: World) -> None:
    agent = await world.agent()
    story = Story(agent)

    async def status(after: int, *events: bytes) -> tuple[str, str]:
        await store_events(world.db, [batch(agent.shard, after, list(events))])
        now = await agents.get_agent(world.db, world.user, agent.id)
        assert now is not None
        return now.status, now.status_detail

    assert await status(0, story.created(), story.started()) == ("running", "")
    assert await status(1, story.opened(), story.failed("boom")) == ("error", "boom")
    assert await status(2, story.closed()) == ("error", "boom")
    assert await status(3, story.stopped(Reason.SESSION_LOSS)) == ("stopped", "session_loss")
    assert await status(4, story.started()) == ("running", "")


async def test_deleted_frees_the_row_and_removes_the_record_but_no_fact(world: World) -> None:
    agent, story, events = await a_life(world)
    await store_events(world.db, [events])
    wanted = await agents.delete(world.db, world.user, agent.id)
    assert wanted is not None
    story.set_row(epoch=wanted.epoch)
    await store_events(world.db, [batch(agent.shard, 3, [story.deleted()])])
    assert await agents.agents_of_shard(world.db, agent.shard) == []
    (row,) = await shards.newest_rows(world.db, agent.shard)
    assert row.agent_id is None
    assert row.record == story.record.tobytes()  # the tombstone
    assert len((await history.trades_of(world.db, world.user, agent.id, 10)).trades) == 1


async def test_events_of_an_agent_that_does_not_hold_the_row_go_to_quarantine(
    world: World,
) -> None:
    agent = await world.agent()
    stranger = Story(replace(agent, id=world.user))
    result = await store_events(world.db, [batch(agent.shard, 0, [stranger.created()])])
    assert result.shards[agent.shard].quarantined == 1
    (row,) = await shards.newest_rows(world.db, agent.shard)
    assert row.record is None


async def test_empty_batches_store_nothing(world: World) -> None:
    agent = await world.agent()
    assert not (await store_events(world.db, [])).shards
    result = await store_events(world.db, [batch(agent.shard, 0)])
    assert result.shards[agent.shard].refused is None
    assert result.shards[agent.shard].version == 0


async def test_entries_out_of_order_are_the_callers_mistake(world: World) -> None:
    _, _, events = await a_life(world)
    with pytest.raises(ValueError, match="out of order"):
        await store_events(world.db, [replace(events, entries=events.entries[::-1])])
    with pytest.raises(ValueError, match="once"):
        await store_events(world.db, [events, events])


async def _in_another_shard(world: World, one: Agent) -> Agent:
    for _ in range(100):
        other = await world.agent(symbol="ETH/USDT")
        if other.shard != one.shard:
            return other
    raise AssertionError("all agents in one shard")
