"""Agents over REST, without a pool: what is stored, what is in the inbox, what is said."""

from typing import Any
from uuid import uuid4

import msgspec

from adapters import queue as jobs
from adapters import redis_keys as keys
from adapters.db import agents, plans
from adapters.redis_client import command
from api import call_examples as ex
from api.hub import Hub
from engine.commands import Command, Wanted, decode_command
from tests.api.conftest import Account

CREATE: dict[str, Any] = {
    "symbol": "BTC/USDT",
    "strategy_name": "momentum_breakout",
    "interval_seconds": 1,
    "risk_params": {"max_position_usd": 250.5, "stop_loss_pct": 1.25, "leverage": 5},
}


async def make(account: Account, **changes: Any) -> dict[str, Any]:
    """A new agent."""
    answer = await account.http.post("/api/agents", json=CREATE | changes)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/agents/{answer.json()['id']}"
    made: dict[str, Any] = answer.json()
    return made


async def inbox(hub: Hub, agent_id: str) -> list[Command]:
    """The commands that wait for an agent, oldest first."""
    found = [
        decode_command(entry.payload)
        for shard in await hub.shards.open_shards()
        for entry in getattr(await hub.shards.read(shard), "inbox", ())
    ]
    return [each for each in found if each.agent_id.hex() == agent_id.replace("-", "")]


async def test_a_created_agent_is_stored_and_its_command_waits(alice: Account, hub: Hub) -> None:
    made = await make(alice)
    assert (made["status"], made["symbol"], made["timeframe"]) == ("creating", "BTC/USDT", "1m")
    assert made["risk_params"]["take_profit_pct"] == 4.0
    assert list(made["risk_params"])[:2] == ["max_position_usd", "stop_loss_pct"]
    assert made["created_at"].endswith("Z")
    [stored] = await agents.list_agents(hub.database, alice.user_id)
    sent = (await inbox(hub, made["id"]))[-1]
    assert (sent.epoch, sent.wanted, sent.plan_id) == (1, Wanted.RUNNING, stored.plan_id)
    assert (sent.max_position_usd, sent.stop_loss_ppm, sent.take_profit_ppm) == (
        250.5,
        12500,
        40000,
    )
    assert (sent.leverage, sent.fee_cbps, sent.slippage_cbps) == (5, 1000, 100)
    assert (sent.interval, sent.threshold, sent.max_session_loss_usd) == (1, 0.5, 0.0)
    definition = await command(hub.state_redis, "HGET", keys.plans(), stored.plan_id)
    assert msgspec.json.decode(definition)["symbol"] == "BTC/USDT"
    queue = keys.tick_queue(jobs.partition_of(stored.shard))
    assert await command(hub.state_redis, "ZCARD", queue) >= 1


async def test_agents_that_ask_for_the_same_share_a_plan(alice: Account, hub: Hub) -> None:
    await make(alice)
    await make(alice, symbol="btcusdt", strategy_name="breakout", interval_seconds=60)
    await make(alice, strategy_params={"lookback": 21})
    found = await agents.list_agents(hub.database, alice.user_id)
    assert [agent.plan_id for agent in found] == [1, 1, 2]
    made = await plans.plans_of(hub.database, range(20))
    assert [made[number].params for number in sorted(made)] == [{"lookback": 20}, {"lookback": 21}]


async def test_an_agent_that_is_not_to_start(alice: Account, hub: Hub) -> None:
    made = await make(alice, auto_start=False)
    assert made["status"] == "creating"
    assert (await inbox(hub, made["id"]))[-1].wanted == Wanted.STOPPED


async def test_get_and_list(alice: Account) -> None:
    first, second = await make(alice, name="first"), await make(alice, name="second")
    one = await alice.http.get(f"/api/agents/{first['id']}")
    assert one.json() == first
    listed = await alice.http.get("/api/agents")
    assert listed.json() == [first, second]
    assert "link" not in listed.headers
    assert (await alice.http.get("/api/agents?status=running")).json() == []
    assert len((await alice.http.get("/api/agents?status=creating")).json()) == 2


async def test_pages(alice: Account) -> None:
    made = [await make(alice, name=str(number)) for number in range(5)]
    path, seen = "/api/agents?limit=2", []
    while path:
        answer = await alice.http.get(path)
        seen.append([agent["name"] for agent in answer.json()])
        link = answer.headers.get("link", "")
        path = link.partition(">")[0].removeprefix("<")
        assert not link or link.endswith('; rel="next"')
    assert seen == [["0", "1"], ["2", "3"], ["4"]]
    assert len(made) == 5


async def test_start_and_stop_are_safe_to_repeat(alice: Account, hub: Hub) -> None:
    made = await make(alice)
    path = f"/api/agents/{made['id']}"
    for _ in range(3):
        started = await alice.http.post(f"{path}/start")
        assert (started.status_code, started.json()["status"]) == (200, "creating")
    assert {sent.epoch for sent in await inbox(hub, made["id"])} == {1}
    for _ in range(3):
        stopped = await alice.http.post(f"{path}/stop")
        assert (stopped.status_code, stopped.json()["status"]) == (200, "creating")
    sent = (await inbox(hub, made["id"]))[-1]
    assert (sent.epoch, sent.wanted, sent.close_position) == (2, Wanted.STOPPED, True)
    kept = await alice.http.post(f"{path}/stop", json={"close_position": False})
    assert kept.status_code == 200
    sent = (await inbox(hub, made["id"]))[-1]
    assert (sent.epoch, sent.wanted, sent.close_position) == (3, Wanted.STOPPED, False)
    await alice.http.post(f"{path}/start")
    sent = (await inbox(hub, made["id"]))[-1]
    assert (sent.epoch, sent.wanted) == (4, Wanted.RUNNING)


async def test_a_deleted_agent_is_gone_at_once(alice: Account, hub: Hub) -> None:
    made = await make(alice)
    path = f"/api/agents/{made['id']}"
    gone = await alice.http.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await inbox(hub, made["id"]))[-1].wanted == Wanted.DELETED
    for method, rest in [("GET", ""), ("POST", "/start"), ("GET", "/status"), ("GET", "/trades")]:
        assert (await alice.http.request(method, path + rest)).status_code == 404
    assert (await alice.http.get("/api/agents")).json() == []
    # Until its record is gone a repeated delete is the same delete.
    assert (await alice.http.delete(path)).status_code == 204
    assert {sent.epoch for sent in await inbox(hub, made["id"])} == {1, 2}
    assert (await alice.http.delete(f"/api/agents/{uuid4()}")).status_code == 404


async def test_before_the_first_tick_everything_answers(alice: Account) -> None:
    made = await make(alice)
    path = f"/api/agents/{made['id']}"
    status = (await alice.http.get(f"{path}/status")).json()
    assert (status["status"], status["price"], status["stale"]) == ("creating", None, True)
    assert (await alice.http.get(f"{path}/logs")).json() == {"entries": []}
    assert (await alice.http.get(f"{path}/trades")).json() == {"trades": [], "next": None}
    price = await alice.http.get("/api/market/price?symbol=btc")
    assert (price.status_code, price.headers["retry-after"]) == (503, "2")


async def test_catalogue_and_symbols(alice: Account) -> None:
    catalogue = (await alice.http.get("/api/strategies")).json()
    breakout = next(each for each in catalogue if each["name"] == "momentum_breakout")
    assert set(breakout) == {
        "name", "family", "description", "warm_up_bars", "needs_volume", "params",
    }  # fmt: skip
    assert [param["name"] for param in breakout["params"]] == [
        "lookback", "threshold", "session_filter", "day_of_week_filter",
    ]  # fmt: skip
    assert breakout["params"][-1]["choices"][:2] == ["mon", "tue"]
    assert catalogue[-1]["name"] == "ensemble"
    symbols = (await alice.http.get("/api/market/symbols")).json()["symbols"]
    assert len(symbols) == 50
    assert "BTC/USDT" in symbols


async def test_health_needs_no_credential(alice: Account) -> None:
    alice.http.headers.pop("authorization")
    assert (await alice.http.get("/health")).json() == {"ok": True}
    assert (await alice.http.get("/ready")).json() == {
        "ready": True,
        "dependencies": {"database": "ok", "redis": "ok"},
        "prices": "prices are simulated (seeded random walks; no market is asked)",
        "sources": [ex.READY["sources"][0]],
        "frozen_shards": [],
    }
