"""Agents outside of the pool: what they report ends where the pool's own events end."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from adapters.db import history
from adapters.db.reported import prune_events
from adapters.reported_statuses import kept_s
from adapters.settings import Settings
from api.hub import Hub
from api.websocket_protocol import read_reported_status
from tests.api.conftest import Account
from tests.api.serving import receive_until, serve
from tests.api.test_agents import make
from tests.conftest import wait_for

OPEN: dict[str, Any] = {"side": "long", "entry_price": 100.0, "size_usdt": 250.0, "leverage": 5}
CLOSE = OPEN | {"exit_price": 110.0, "pnl": 24.5, "close_reason": "take_profit"}


class Outside:
    """An agent in a container of its own."""

    def __init__(self, http: httpx.AsyncClient, secret: str, agent_id: str) -> None:
        self.http = http
        self.headers = {"X-Internal-Secret": secret}
        self.id = agent_id

    async def post(self, path: str, body: Any) -> httpx.Response:
        return await self.http.post(f"/internal/{path}", json=body, headers=self.headers)

    async def trade(self, **body: Any) -> httpx.Response:
        return await self.post("trades", {"agent_id": self.id} | body)

    async def logs(self, *entries: Any) -> httpx.Response:
        return await self.post("logs", {"agent_id": self.id, "entries": list(entries)})

    async def status(self, **body: Any) -> httpx.Response:
        return await self.post(f"agents/{self.id}/status", body)


@pytest.fixture
async def outside(alice: Account, http: httpx.AsyncClient, settings: Settings) -> Outside:
    made = await make(alice, auto_start=False)
    return Outside(http, settings.internal_secret, made["id"])


async def trades(account: Account, agent: Outside) -> list[dict[str, Any]]:
    """Newest first."""
    found = await account.http.get(f"/api/agents/{agent.id}/trades")
    listed: list[dict[str, Any]] = found.json()["trades"]
    return listed


async def messages(account: Account, hub: Hub) -> list[Any]:
    """(kind, event or levels) of the user's messages, whose numbers must have no gaps."""
    page = await history.messages_since(hub.database, account.user_id, 0, 100)
    assert [message.seq for message in page.messages] == list(range(1, page.newest + 1))
    return [
        (m.kind, m.data["event"])
        if m.kind == "trade"
        else (m.kind, [entry["level"] for entry in m.data["entries"]])
        for m in page.messages
    ]


async def test_a_trade_is_opened_and_closed(alice: Account, hub: Hub, outside: Outside) -> None:
    answer = await outside.trade(**OPEN, exit_price=None, tx_hash=None)
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    [opened] = await trades(alice, outside)
    assert (opened["side"], opened["quantity"], opened["leverage"]) == ("long", 2.5, 5)
    assert (opened["entry_price"], opened["exit_price"], opened["pnl_usd"]) == (100.0, None, None)
    assert (opened["mode"], opened["open_reason"], opened["seq"]) == ("paper", "signal", 1)
    assert (await outside.trade(**CLOSE)).status_code == 200
    [closed] = await trades(alice, outside)
    assert closed == opened | {
        "exit_price": 110.0,
        "pnl_usd": 24.5,
        "close_reason": "take_profit",
        "closed_at": closed["closed_at"],
    }
    assert await messages(alice, hub) == [("trade", "opened"), ("trade", "closed")]
    metrics = (await alice.http.get(f"/api/agents/{outside.id}/metrics")).json()
    assert (metrics["trades"], metrics["total_pnl_usd"]) == (1, 24.5)


async def test_the_same_report_is_the_same_trade(
    alice: Account, hub: Hub, outside: Outside
) -> None:
    for _ in range(3):
        assert (await outside.trade(**OPEN)).json() == {"ok": True}
    for _ in range(3):
        assert (await outside.trade(**CLOSE)).json() == {"ok": True}
    assert len(await trades(alice, outside)) == 1
    assert (await outside.trade(**OPEN)).json() == {"ok": True}  # the position is opened again
    assert len(await trades(alice, outside)) == 2
    assert len(await messages(alice, hub)) == 3


async def test_an_event_counts_once(alice: Account, hub: Hub, outside: Outside) -> None:
    for event in ("a", "a", "b"):
        body = OPEN if event == "a" else CLOSE
        assert (await outside.trade(**body, event_id=event)).status_code == 200
    assert (await outside.trade(**OPEN, event_id="c")).status_code == 200
    assert (await outside.trade(**CLOSE, event_id="b")).status_code == 200  # late, and known
    newest, first = await trades(alice, outside)
    assert (newest["closed_at"], first["exit_price"]) == (None, 110.0)
    assert len(await messages(alice, hub)) == 3
    now = datetime.fromtimestamp(hub.clock.now(), UTC)
    assert await prune_events(hub.database, now - timedelta(hours=1)) == 0
    assert await prune_events(hub.database, now + timedelta(hours=1)) == 3


async def test_reports_at_the_same_time(alice: Account, hub: Hub, outside: Outside) -> None:
    answers = await asyncio.gather(*(outside.trade(**OPEN) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(await trades(alice, outside)) == 1
    await asyncio.gather(*(outside.trade(**CLOSE, event_id="x") for _ in range(6)))
    assert len(await messages(alice, hub)) == 2


async def test_another_open_and_another_side_are_refused(alice: Account, outside: Outside) -> None:
    await outside.trade(**OPEN)
    other = await outside.trade(**OPEN | {"entry_price": 101.0}, event_id="one")
    assert (other.status_code, other.json()["detail"]) == (
        409,
        "another position is open: report its close first",
    )
    short = await outside.trade(**CLOSE | {"side": "short"})
    assert (short.status_code, short.json()["detail"]) == (409, "the open position is long")
    assert len(await trades(alice, outside)) == 1
    await outside.trade(**CLOSE)
    # what was refused left its event id free
    again = await outside.trade(**OPEN | {"entry_price": 101.0}, event_id="one")
    assert again.status_code == 200
    assert len(await trades(alice, outside)) == 2


async def test_a_close_whose_opening_got_lost_is_a_whole_trade(
    alice: Account, hub: Hub, outside: Outside
) -> None:
    body = {"side": "short", "entry_price": 100, "exit_price": 90, "close_reason": "Grid done"}
    assert (await outside.trade(**body, tx_hash="0xabc")).status_code == 200
    [found] = await trades(alice, outside)
    assert (found["side"], found["quantity"], found["pnl_usd"]) == ("short", 2.505, 25.05)
    assert (found["close_reason"], found["mode"], found["fee_usd"]) == ("signal", "live", 0.0)
    assert await messages(alice, hub) == [
        ("trade", "opened"),
        ("trade", "closed"),
        ("log", ["action"]),
    ]
    [entry] = (await alice.http.get(f"/api/agents/{outside.id}/logs")).json()["entries"]
    assert entry["message"] == "closed short: close reason 'Grid done', transaction 0xabc"


async def test_logs_are_stored_once_and_in_order(
    alice: Account, hub: Hub, outside: Outside
) -> None:
    lines = [
        {"ts": "2026-01-31T12:00:00.000Z", "level": "start", "message": "up"},
        {"ts": "2026-01-31T12:00:01", "level": "tick", "message": "z"},
        {"ts": 1769860801, "level": "tick", "message": "a\0"},
        {"ts": "2026-01-31T13:00:01+01:00", "level": "tick", "message": "z"},
        {"ts": "2090-01-01T00:00:00Z", "level": "warn", "message": "a bad clock"},
    ]
    for _ in range(2):
        assert (await outside.logs(*lines[:4])).json() == {"ok": True}
    assert (await outside.logs(*lines)).json() == {"ok": True}
    path = f"/api/agents/{outside.id}/logs"
    entries = (await alice.http.get(path)).json()["entries"]
    assert [entry["message"] for entry in entries] == ["up", "z", "a?", "z", "a bad clock"]
    assert entries[1]["ts"] == entries[2]["ts"] == "2026-01-31T12:00:01.000Z"
    assert entries[4]["ts"] < "2090"
    ticks = (await alice.http.get(f"{path}?level=tick")).json()["entries"]
    assert [entry["message"] for entry in ticks] == ["z", "a?", "z"]
    assert await messages(alice, hub) == [
        ("log", ["start", "tick", "tick", "tick"]),
        ("log", ["warn"]),
    ]
    assert (await outside.logs()).json() == {"ok": True}


async def test_a_status_is_shown_and_forgotten(alice: Account, hub: Hub, outside: Outside) -> None:
    await outside.trade(**OPEN)
    await outside.trade(**CLOSE)
    body = {
        "running": True, "symbol": "btcusdt", "last_price": 105.0, "side": "SHORT",
        "entry_price": 100.0, "position_size_usdt": 250.0, "leverage": 5.0,
        "unrealized_pnl_usdt": -12.5, "last_action": "HOLD", "last_reason": "waits",
        "active_strategy": "grid",
    }  # fmt: skip
    path = f"/api/agents/{outside.id}"
    assert (await outside.status(**body)).json() == {"ok": True}
    first = (await alice.http.get(f"{path}/status")).json()
    await outside.status(**body)
    status = (await alice.http.get(f"{path}/status")).json()
    assert (status["status"], status["symbol"], status["price"]) == ("running", "BTC/USDT", 105.0)
    assert (status["price_source"], status["ticks"]) == ("reported", 2)
    assert status["realized_pnl_usd"] == 24.5
    assert status["position"] == {
        "side": "short", "quantity": 2.5, "entry_price": 100.0, "notional_usd": 250.0,
        "margin_usd": 50.0, "leverage": 5, "take_profit_price": None, "stop_loss_price": None,
        "liquidation_price": None, "opened_at": first["position"]["opened_at"],
        "unrealized_pnl_usd": -12.5,
    }  # fmt: skip
    assert (await alice.http.get(path)).json()["status"] == "running"
    assert len((await alice.http.get("/api/agents?status=running")).json()) == 1
    await outside.status(running=False)
    assert (await alice.http.get(f"{path}/status")).json()["position"] is None
    assert (await alice.http.get("/api/agents?status=running")).json() == []
    await hub.state_redis.flushall()  # as time does it
    assert (await alice.http.get(f"{path}/status")).json()["price_source"] == "none"
    assert [kept_s(seconds) for seconds in (1, 60, 10**6)] == [60, 180, 86_400]


async def test_one_that_runs_in_the_pool_has_nobody_else_to_speak_for_it(
    alice: Account, hub: Hub, outside: Outside
) -> None:
    await outside.status(running=True)
    await alice.http.post(f"/api/agents/{outside.id}/start")
    answers = [
        await outside.trade(**OPEN),
        await outside.status(running=True),
        await outside.logs({"ts": 1, "level": "warn", "message": "m"}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["detail"]) == (
            409,
            "the agent is wanted running in the pool: stop it there first",
        )
    assert await messages(alice, hub) == []
    assert (await alice.http.get(f"/api/agents/{outside.id}")).json()["status"] == "creating"
    await alice.http.post(f"/api/agents/{outside.id}/stop")
    assert (await outside.trade(**OPEN)).status_code == 200


async def test_an_agent_without_a_record(outside: Outside, alice: Account) -> None:
    await alice.http.delete(f"/api/agents/{outside.id}")
    for missing in (outside.id, str(uuid4())):
        outside.id = missing
        answers = [
            await outside.trade(**OPEN),
            await outside.status(running=True),
            await outside.logs(),
        ]
        assert [answer.status_code for answer in answers] == [404, 404, 404]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("trades", OPEN | {"side": "LONG"}, "side"),
        ("trades", OPEN | {"entry_price": 0}, "entry_price"),
        ("trades", OPEN | {"entry_price": 1e-19}, "entry_price"),
        ("trades", OPEN | {"entry_price": 1e15, "size_usdt": 1e-9}, "size_usdt"),
        ("trades", OPEN | {"entry_price": 1e-18, "size_usdt": 1e15}, "size_usdt"),
        ("trades", OPEN | {"pnl": 1e16}, "pnl"),
        ("trades", OPEN | {"agent_id": "mine"}, "agent_id"),
        ("trades", OPEN | {"price": 1}, "price"),
        ("logs", {"entries": [{"ts": "noon", "level": "warn", "message": ""}]}, "entries.0.ts"),
        ("logs", {"entries": [{"ts": 1e300, "level": "warn", "message": ""}]}, "entries.0.ts"),
        ("logs", {"entries": [{"ts": 1, "level": "loud", "message": ""}]}, "entries.0.level"),
        ("logs", {"entries": [5]}, "entries.0.body"),
        ("logs", {"entries": "all"}, "entries"),
        ("agents/{}/status", {}, "running"),
        ("agents/{}/status", {"running": True, "side": "long"}, "side"),
        ("agents/{}/status", {"running": True, "last_price": -1}, "last_price"),
    ],
)
async def test_bad_reports(outside: Outside, path: str, body: dict[str, Any], field: str) -> None:
    if "{" not in path:
        body = {"agent_id": outside.id} | body
    answer = await outside.post(path.format(outside.id), body)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_everything_is_streamed(settings: Settings) -> None:
    async with serve(settings) as served, serve(settings) as other:
        _, token = await served.token("carol")
        body = {"symbol": "BTC", "strategy_name": "breakout", "auto_start": False}
        async with served.http(token) as http:
            agent_id = (await http.post("/api/agents", json=body)).json()["id"]
        async with served.http(token) as http, other.socket(token) as client:
            outside = Outside(http, settings.internal_secret, agent_id)
            shown = receive_until(client, "agent_status", status="running", price=7.0)
            waiting = asyncio.create_task(shown)

            async def told() -> bool:
                await outside.status(running=True, last_price=7)
                # and the hub knows from which number on it has to pass things on
                begun = [topic.order.last for topic in other.hub.live.topics.values()]
                return waiting.done() and begun == [0]

            await wait_for(told, seconds=10)
            seen = waiting.result()
            assert (seen[-1]["agent_id"], seen[-1]["seq"]) == (agent_id, None)
            assert (await outside.trade(**OPEN)).status_code == 200
            line = {"ts": 1, "level": "sl_tp", "message": "m"}
            assert (await outside.logs(line)).status_code == 200
            [*_, trade] = await receive_until(client, "trade", event="opened")
            [*_, log] = await receive_until(client, "log")
            assert (trade["seq"], log["seq"]) == (1, 2)
            assert trade["data"]["trade"]["agent_id"] == agent_id
            assert log["data"]["entries"][0]["level"] == "sl_tp"


def test_only_statuses_are_taken_for_statuses() -> None:
    agent = uuid4()
    text = f'{{"type": "agent_status", "agent_id": "{agent}", "seq": null}}'
    assert read_reported_status(text.encode()) == agent
    for other in (b"", b"\xff", b"[]", text.replace("agent_status", "trade").encode()):
        assert read_reported_status(other) is None


async def test_null_leaves_out_what_there_is_and_no_more(outside: Outside) -> None:
    """A misspelled setting must not look as if it had been taken."""
    for answer in (
        await outside.status(running=True, side=None, last_pric=None),
        await outside.trade(**OPEN, last_pric=None),
        await outside.post("logs", {"agent_id": outside.id, "entries": [], "last_pric": None}),
    ):
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"field": "last_pric", "message": "unknown field"}]
    missing = await outside.status(running=None)
    assert missing.json()["errors"] == [{"field": "running", "message": "required"}]


async def test_its_endpoint_says_running_in_every_answer(outside: Outside) -> None:
    path = f"/internal/agents/{outside.id}/endpoint"
    for running, action in ((True, "BUY"), (False, "HOLD")):
        await outside.status(running=running, last_action=action)
        told = [
            (await outside.http.get(f"{path}/{call}", headers=outside.headers)).json()
            for call in ("health", "status", "logs")
        ]
        assert [each["running"] for each in told] == [running] * 3
        assert told[1]["last_action"] == (None if action == "BUY" else action)
