"""Reading back: pages without holes, owners only, and what is no longer kept is said."""

from datetime import UTC, datetime, timedelta

import pytest

from adapters.db import history, users
from adapters.db.errors import BadCursor
from adapters.db.ledger import store_events
from adapters.db.records import LogLine, iso
from tests.adapters.db.stories import SLOT, Story, batch
from tests.adapters.db.world import World


async def a_long_life(world: World, trades: int) -> Story:
    story = Story(await world.agent())
    events = [story.created(), story.started()]
    for _ in range(trades):
        story.slot += 1
        events += [story.opened(), story.closed()]
    await store_events(world.db, [batch(story.agent.shard, 0, events)])
    return story


async def test_trades_page_newest_first_without_holes(world: World) -> None:
    story = await a_long_life(world, 7)
    agent = story.agent.id
    seen = []
    cursor = None
    while True:
        page = await history.trades_of(world.db, world.user, agent, 3, cursor)
        seen += list(page.trades)
        cursor = page.next
        if cursor is None:
            break
    assert [trade.opened_at.timestamp() - SLOT for trade in seen] == [7, 6, 5, 4, 3, 2, 1]
    assert len({trade.id for trade in seen}) == 7
    for wrong in ("", "x", "-1", "1.5", "\N{SUPERSCRIPT TWO}", "9" * 40):
        with pytest.raises(BadCursor):
            await history.trades_of(world.db, world.user, agent, 3, wrong)


async def test_log_pages_never_tear_a_second_apart(world: World) -> None:
    story = await a_long_life(world, 3)
    agent = story.agent.id
    everything = await history.logs_of(world.db, world.user, agent)
    a_trade = ["action", "sl_tp", "action"]
    assert [line.level for line in everything] == ["init", "start", *a_trade, *a_trade, *a_trade]
    seen: list[LogLine] = []
    before = None
    while page := await history.logs_of(world.db, world.user, agent, limit=2, before=before):
        seen = page + seen
        before = page[0].ts
    assert seen == everything
    levels = await history.logs_of(world.db, world.user, agent, level="sl_tp", limit=2)
    assert [line.message for line in levels] == ["take profit triggered"] * 2
    assert everything[0].as_json() == {
        "ts": iso(everything[0].ts),
        "level": "init",
        "message": everything[0].message,
    }


async def test_somebody_else_reads_nothing(world: World) -> None:
    story = await a_long_life(world, 1)
    stranger = (await users.create_user(world.db, "stranger@example.com", "hash")).id
    agent = story.agent.id
    assert (await history.trades_of(world.db, stranger, agent, 10)).trades == []
    assert await history.logs_of(world.db, stranger, agent) == []
    page = await history.messages_since(world.db, stranger, 0, 10)
    assert (page.messages, page.gap, page.newest) == ([], None, 0)


async def test_messages_go_on_after_a_number_and_say_what_is_gone(world: World) -> None:
    await a_long_life(world, 4)  # 2 + 4 x 4 messages
    page = await history.messages_since(world.db, world.user, 5, 3)
    assert ([m.seq for m in page.messages], page.gap, page.newest) == ([6, 7, 8], None, 18)
    page = await history.messages_since(world.db, world.user, 18, 3)
    assert ([m.seq for m in page.messages], page.gap, page.newest) == ([], None, 18)

    pruned = await history.prune_messages(world.db, datetime.fromtimestamp(SLOT + 2, UTC))
    assert pruned == 6
    page = await history.messages_since(world.db, world.user, 3, 2)
    assert ([m.seq for m in page.messages], page.gap, page.newest) == ([7, 8], (4, 6), 18)
    await history.prune_messages(world.db, datetime.fromtimestamp(SLOT + 99, UTC))
    page = await history.messages_since(world.db, world.user, 3, 2)
    assert ([m.seq for m in page.messages], page.gap, page.newest) == ([], (4, 18), 18)


async def test_pruning_takes_any_number_in_small_steps(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = await a_long_life(world, 5)
    monkeypatch.setattr(history, "_PRUNED_AT_ONCE", 3)
    gone = await history.prune_logs(world.db, datetime.fromtimestamp(SLOT + 5, UTC))
    assert gone == 2 + 4 * 3
    left = await history.logs_of(world.db, world.user, story.agent.id)
    assert {line.ts.timestamp() for line in left} == {SLOT + 5}


def test_times_are_written_as_the_contract_says() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)
    assert iso(moment) == "2026-01-02T03:04:05.678Z"
    assert iso(moment.astimezone(tz=None)) == iso(moment + timedelta(0))
