"""What reaches another hub, call by call: from the record, over a hub that loses answers, refuses,
or sends us elsewhere.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID, uuid4

import httpx
import pytest

from adapters.db import callbacks
from adapters.db.connection import connection
from adapters.other_hub import HubAway, OtherHub
from adapters.settings import Settings
from api.callback_lines import TICK_LINES_MAX, AgentNews, HubLine
from api.hub import Hub
from api.tick_lines import LogEntry
from tests.api.conftest import Account
from tests.conftest import wait_for
from tests.servers.old_hub import SECRET, OldHub

TRADE = (
    "INSERT INTO trades (id, agent_id, user_id, seq, symbol, side, strategy_name, quantity,"
    " leverage, entry_price, exit_price, fee_usd, pnl_usd, open_reason, close_reason, opened_at,"
    " closed_at, mode) VALUES (gen_random_uuid(), $1, $2, $3, 'BTC/USDT', 'long',"
    " 'momentum_breakout', 0.5, 2, 100, $4::float8, 0.1, $4::float8 - 100, 'signal', $5, now(),"
    " $6::timestamptz, 'paper')"
)


@pytest.fixture
async def old() -> AsyncIterator[OldHub]:
    server = OldHub()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def settings(settings: Settings, old: OldHub) -> Settings:
    """Alice owns the agents of that hub; nothing but the tests tells it of them."""
    return replace(settings, shim_owner="alice@example.com", callback_hubs=old.url)


@pytest.fixture
async def news(hub: Hub, http: httpx.AsyncClient, alice: Account, old: OldHub) -> AgentNews:
    """An agent of that hub with one trade that is over and one that is open."""
    outside = uuid4()
    body = {"hub_url": old.url, "internal_secret": SECRET, "symbol": "BTC/USDT"}
    headers = {"X-Internal-Secret": hub.settings.internal_secret}
    told = await http.put(f"/internal/hosted/{outside}", json=body, headers=headers)
    agent_id = UUID(told.json()["agent_id"])
    async with connection(hub.database) as con:
        moment = await con.fetchval("SELECT now()")
        await con.execute(TRADE, agent_id, alice.user_id, 5, 101.0, "take_profit", moment)
        await con.execute(TRADE, agent_id, alice.user_id, 9, None, None, None)
    return AgentNews(agent_id, outside, SECRET, record_due=True)


@asynccontextmanager
async def telling(hub: Hub, old: OldHub) -> AsyncIterator[HubLine]:
    """A line to that hub, at work beside the hub's own, which has nothing of these trades."""
    line = HubLine(OtherHub(old.url), hub.database)
    task = asyncio.create_task(line.run())
    try:
        yield line
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def heard(old: OldHub) -> list[float | None]:
    """The exit price of each report of a trade."""
    return [trade.get("exit_price") for trade in old.trades]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub of the test tells nobody by itself."""

    async def never(*_: object) -> bool:
        await asyncio.Event().wait()
        return False

    monkeypatch.setattr("api.callbacks.Callbacks._take", never)


pytestmark = pytest.mark.usefixtures("alone")


async def test_each_part_of_a_trade_once_and_in_order(
    hub: Hub, old: OldHub, news: AgentNews
) -> None:
    async with telling(hub, old) as line:
        line.put(news)
        await wait_for(lambda: len(old.trades) == 3)

        async def nothing_left() -> bool:
            return not await callbacks.trades_due(hub.database, news.agent_id)

        await wait_for(nothing_left)
    assert heard(old) == [None, 101.0, None]
    assert old.trades[1]["pnl"] == 1.0 and old.trades[1]["close_reason"] == "take_profit"
    assert {trade["size_usdt"] for trade in old.trades} == {50.0}
    assert old.mistakes == [] and len(set(old.events)) == 3


async def test_a_lost_answer_repeats_the_same_words(hub: Hub, old: OldHub, news: AgentNews) -> None:
    old.loses_answers = True
    async with telling(hub, old) as line:
        line.put(news)
        await wait_for(lambda: len(old.trades) >= 2)
        old.loses_answers = False
        await wait_for(lambda: heard(old)[-2:] == [101.0, None], seconds=10)
    repeated = [event for event in old.events if event == old.events[0]]
    assert len(repeated) >= 2 and old.trades[0] == old.trades[1]
    assert len(set(old.events)) == 3, "what is told again has the name that it had"


@pytest.mark.parametrize("status", [403, 404, 409, 422])
async def test_a_refused_trade_waits(hub: Hub, old: OldHub, news: AgentNews, status: int) -> None:
    old.fails, news.unsure = status, False
    async with telling(hub, old) as line:
        line.put(news)
        await wait_for(lambda: old.requests == 1)
        await wait_for(lambda: not news.record_due)
        due = await callbacks.trades_due(hub.database, news.agent_id)
        assert [each.opening for each in due] == [True, True]
        old.fails, news.record_due = None, True

        def told() -> bool:
            line.put(news)  # as every look at the record does
            return len(old.trades) == 3

        await wait_for(told)


async def test_a_hub_that_knows_the_trade_already(hub: Hub, old: OldHub, news: AgentNews) -> None:
    old.fails = 409
    async with telling(hub, old) as line:
        line.put(news)  # by a process that can't know what the one before has told

        async def moved_on() -> bool:
            due = await callbacks.trades_due(hub.database, news.agent_id)
            return [each.opening for each in due] == [False, True]

        await wait_for(moved_on)


async def test_what_a_hub_that_is_away_costs_is_bounded(hub: Hub, news: AgentNews) -> None:
    gone = OldHub()
    await gone.start()
    await gone.stop()
    async with telling(hub, gone) as line:
        for number in range(3_000):
            news.ticks.append(LogEntry("2026-01-31T12:00:00.000Z", "tick", str(number)))
            news.status = b"{}"
            line.put(news)
        await wait_for(lambda: line.is_resting)
    assert len(news.ticks) == TICK_LINES_MAX and news.ticks[-1].message == "2999"
    assert news.record_due and news.status == b"{}"


async def test_no_redirect_is_followed(old: OldHub) -> None:
    other = OldHub()
    await other.start()
    old.sends_to = f"{other.url}/internal/logs"
    asked = OtherHub(old.url)
    with pytest.raises(HubAway, match="status 307"):
        await asked.tell("/internal/logs", b"{}", SECRET, {})
    await asked.aclose()
    await other.stop()
    assert (old.requests, other.requests) == (1, 0)
