"""The ledger's promise: every event once, nothing else, whatever comes how often."""

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest

from adapters.db import agents, history, shards
from adapters.db.agents import Agent
from adapters.db.ledger import store_events
from adapters.db.records import Refusal, ShardEvents
from engine.events import decode_event, encode_event
from engine.rows import Reason
from engine.schemas import record_from_bytes, rows_to_bytes
from tests.adapters.db.stories import SLOT, Story, batch
from tests.adapters.db.world import World, everything


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


async def test_rows_of_both_schemas_are_stored_as_they_came(world: World) -> None:
    """In a pool that is being upgraded, one batch may hold both."""
    agent = await world.agent()
    story = Story(agent)
    story.set_row(max_position_usd=123.5)
    created, started = story.created(), story.started()
    event = decode_event(created)
    old = rows_to_bytes(record_from_bytes(event.row_after), 1)
    created = encode_event(msgspec.structs.replace(event, row_after=old))
    first = await store_events(world.db, [batch(agent.shard, 0, [created])])
    assert first.shards[agent.shard].stored == 1
    (row,) = await shards.newest_rows(world.db, agent.shard)
    assert row.record == old
    opened = story.opened()
    event = decode_event(started)
    old = rows_to_bytes(record_from_bytes(event.row_after), 1)
    started = encode_event(msgspec.structs.replace(event, row_after=old))
    both = batch(agent.shard, 1, [started, opened])
    second = await store_events(world.db, [both])
    assert (second.shards[agent.shard].stored, second.shards[agent.shard].quarantined) == (2, 0)
    (row,) = await shards.newest_rows(world.db, agent.shard)
    assert row.record == story.record.tobytes()
