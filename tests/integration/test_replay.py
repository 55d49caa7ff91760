"""A replay decides again what the pool decided, and says so when it does not."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from adapters import redis_keys as keys
from adapters.db import history, journal
from adapters.db.agents import Agent
from adapters.db.connection import connection
from adapters.market_archive import BLOCK_SLOTS, decode_block
from adapters.redis_client import command
from adapters.settings import Settings
from engine.events import decode_event
from engine.frames import Frame, decode_frame, encode_frame
from engine.rows import Halt
from tests.conftest import wait_for
from tests.integration.pool import TestPool, open_test_pool
from workers import backlog
from workers.archive_job import archive_market, settled_minutes
from workers.replay import CannotReplay, Market, Tally, replay

TIGHT: dict[str, Any] = {"stop_loss_pct": 0.002, "take_profit_pct": 0.002}
"""Of the simulated prices: reached within a few seconds."""


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[TestPool]:
    async with open_test_pool(settings) as test_pool:
        test_pool.start()
        await wait_for(test_pool.pool.market.newest, seconds=5, what="the first frame")
        yield test_pool


async def traded(pool: TestPool, agent: Agent, closed: int) -> None:
    """Waits until so many of the agent's trades are closed, on record."""

    async def enough() -> bool:
        page = await history.trades_of(pool.pool.database, pool.owner, agent.id, 100)
        return sum(trade.closed_at is not None for trade in page.trades) >= closed

    await wait_for(enough, seconds=30, what=f"{closed} closed trades")


async def replayed(pool: TestPool, agent: Agent) -> tuple[Tally, list[str]]:
    """The agent's whole life again, up to its newest event."""
    tally = Tally()
    database = pool.pool.database
    events = await journal.journal_of(database, agent.id, 0, 2**32)
    slots = 0, events[-1].slot
    told = replay(database, pool.pool.state_redis, agent.id, slots, tally, ticks=True)
    return tally, [str(line) async for line in told]


async def test_every_decision_is_made_again(pool: TestPool) -> None:
    agent = await pool.create(strategy_params={"threshold": 0.01}, **TIGHT)
    await traded(pool, agent, 2)
    await pool.want(agent, "stopped")
    await pool.ticked(agent)
    await pool.want(agent, "running")
    await traded(pool, agent, 3)
    tally, lines = await replayed(pool, agent)
    assert tally.differences == 0 and tally.lacking == 0
    assert tally.decisions >= 6
    assert tally.run >= tally.decisions
    text = "\n".join(lines)
    assert "agent created" in text and "opened" in text and "agent stopped: by user" in text


async def test_trailing_stops_marks_and_slots_without_entries_are_replayed(
    pool: TestPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {
        "trailing_stop_pct": 0.05,
        "max_drawdown_pct": 50.0,
        "break_even_pct": 0.01,
        "time_stop_seconds": 3,
        "sizing_mode": "vol_scaling",
    }
    agent = await pool.create(strategy_params={"threshold": 0.01}, **settings)
    await traded(pool, agent, 1)
    monkeypatch.setattr(backlog, "ENTRIES_STOP_AT_EVENTS", 0)

    async def held() -> bool:
        head = await pool.pool.shards.read_head(agent.shard)
        row = await pool.row(agent)
        return head is not None and bool(head.held) and row["side"] == 0

    await wait_for(held, seconds=20, what="a slot without entries in which the agent is flat")
    await pool.ticked(agent)
    await pool.ticked(agent)
    monkeypatch.undo()
    await traded(pool, agent, 2)
    tally, lines = await replayed(pool, agent)
    assert (tally.differences, tally.lacking) == (0, 0), "\n".join(lines)
    with monkeypatch.context() as forgetful:
        forgetful.setattr(Market, "was_held", lambda *_: Halt.ACTIVE)
        tally, _ = await replayed(pool, agent)
    assert tally.differences > 0


async def test_another_price_is_found_out(pool: TestPool) -> None:
    agent = await pool.create(strategy_params={"threshold": 0.01}, **TIGHT)
    await traded(pool, agent, 1)
    entries = await journal.journal_of(pool.pool.database, agent.id, 0, 2**32)
    events = [decode_event(entry.payload) for entry in entries]
    opened = next(event for event in events if event.kind == "opened")
    key = keys.market_frame(opened.slot)
    frame = decode_frame(await pool.pool.state_redis.get(key))
    await pool.pool.state_redis.set(key, encode_frame(_dearer(frame)))
    tally, lines = await replayed(pool, agent)
    assert tally.differences >= 1
    assert any("DIFFERS: opened: price is" in line for line in lines)


def _dearer(frame: Frame) -> Frame:
    fields: dict[str, Any] = {name: getattr(frame, name) for name in Frame.__slots__}
    return Frame(**fields | {"price": np.array(frame.price) * 1.01})


async def test_a_decision_of_which_nothing_is_kept_is_no_difference(pool: TestPool) -> None:
    """As after a Redis that was emptied: the rest of the minute is there, the slot is not."""
    agent = await pool.create(strategy_params={"threshold": 0.01}, **TIGHT)
    await traded(pool, agent, 2)
    events = await journal.journal_of(pool.pool.database, agent.id, 0, 2**32)
    closed = [e.slot for e in events if decode_event(e.payload).kind == "closed"]
    await command(pool.pool.state_redis, "DEL", keys.market_frame(closed[0]))
    tally, lines = await replayed(pool, agent)
    assert tally.differences == 0, "\n".join(lines)
    assert tally.lost == 1 and tally.lacking > 0
    assert tally.run > 0
    assert any("not replayed" in line and "closed" in line for line in lines)


async def test_what_was_never_there_cannot_be_replayed(pool: TestPool) -> None:
    with pytest.raises(CannotReplay, match="nothing is kept"):
        async for _ in replay(pool.pool.database, pool.pool.state_redis, uuid4(), (0, 10), Tally()):
            pass


async def test_settled_minutes_go_into_the_archive_once(pool: TestPool) -> None:
    frame = await pool.pool.market.newest()
    assert frame is not None
    minute = settled_minutes(frame.slot)[-1]
    # a minute that this pool was not there for, as Redis would hold it
    then = Frame(
        minute + 7,
        frame.source,
        frame.symbols,
        frame.price,
        frame.publish_time,
        frame.candle_time,
        frame.forming,
        frame.closed,
    )
    data = encode_frame(then)
    await pool.pool.state_redis.set(keys.market_frame(then.slot), data)
    await archive_market({"pool": pool.pool})
    await pool.pool.state_redis.set(keys.market_frame(then.slot), b"something else")
    await archive_market({"pool": pool.pool})
    kept = await journal.read_block(pool.pool.database, minute)
    assert kept is not None
    assert decode_block(kept).frames == {then.slot: data}
    async with connection(pool.pool.database) as con:
        assert await con.fetchval("SELECT count(*) FROM market_archive") == 1


async def test_what_is_too_old_is_removed(pool: TestPool) -> None:
    database = pool.pool.database
    assert await journal.store_block(database, 600, b"old")
    assert await journal.store_block(database, 660, b"young")
    assert not await journal.store_block(database, 660, b"again")
    await journal.prune_journal(database, 600 + BLOCK_SLOTS)
    assert await journal.blocks_kept(database, [600, 660]) == {660}
