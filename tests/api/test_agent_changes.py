"""PATCH, kill-all, the status filter: what is stored, what is sent, what is refused."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from adapters import redis_keys as keys
from adapters.db import agents, agents_bulk, plans
from adapters.db.agent_edits import AgentMoved, Edit, edit_agent
from adapters.db.agents import NewAgent
from adapters.redis_client import command
from api.hub import Hub
from engine.commands import Wanted
from tests.api.conftest import Account
from tests.api.test_agents import inbox, make

RISK = {
    "max_position_usd": 100.0,
    "stop_loss_pct": 2.0,
    "take_profit_pct": 4.0,
    "leverage": 1,
    "tp_sl_mode": "fixed",
    "atr_multiple": 2.0,
    "reward_risk_ratio": 2.0,
    "trailing_stop_pct": None,
    "max_session_loss_usd": None,
    "max_drawdown_pct": None,
    "fee_bps": 10.0,
    "slippage_bps": 1.0,
    "break_even_pct": None,
    "time_stop_seconds": None,
    "cooldown_seconds": None,
    "max_trades_per_day": None,
    "sizing_mode": "fixed",
}


async def patch(account: Account, agent_id: str, body: Any) -> Any:
    """The agent after an edit."""
    answer = await account.http.patch(f"/api/agents/{agent_id}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_edit_changes_what_it_names_and_nothing_else(alice: Account, hub: Hub) -> None:
    made = await make(alice, name="Mine")
    edited = await patch(
        alice,
        made["id"],
        {
            "symbol": "ethusdt",
            "interval_seconds": 5,
            "strategy_params": {"threshold": 0.7},
            "risk_params": {"take_profit_pct": 9},
        },
    )
    same = {"updated_at", "symbol", "interval_seconds", "strategy_params", "risk_params"}
    assert {k: v for k, v in edited.items() if k not in same} == {
        k: v for k, v in made.items() if k not in same
    }
    assert (edited["symbol"], edited["interval_seconds"]) == ("ETH/USDT", 5)
    assert edited["strategy_params"] == {"lookback": 20, "threshold": 0.7}
    assert edited["risk_params"] == made["risk_params"] | {"take_profit_pct": 9.0}
    assert (await alice.http.get(f"/api/agents/{made['id']}")).json() == edited
    sent = (await inbox(hub, made["id"]))[-1]
    assert (sent.epoch, sent.asked_epoch, sent.wanted) == (2, 1, Wanted.RUNNING)
    assert (sent.plan_id, sent.interval, sent.take_profit_ppm) == (2, 5, 90_000)


async def test_null_puts_a_field_back_to_its_default(alice: Account) -> None:
    risk = {"max_session_loss_usd": 7, "leverage": 3, "stop_loss_pct": 1}
    made = await make(alice, name="Mine", timeframe="1h", risk_params=risk)
    edited = await patch(
        alice,
        made["id"],
        {"name": None, "timeframe": None, "risk_params": {"max_session_loss_usd": None}},
    )
    assert (edited["name"], edited["timeframe"]) == ("momentum_breakout BTC/USDT", "1m")
    assert edited["risk_params"] == made["risk_params"] | {"max_session_loss_usd": None}
    edited = await patch(alice, made["id"], {"risk_params": None, "strategy_params": None})
    assert edited["risk_params"] == RISK
    answer = await alice.http.patch(f"/api/agents/{made['id']}", json={"symbol": None})
    assert answer.json()["errors"] == [{"field": "symbol", "message": "required"}]


async def test_another_strategy_begins_with_its_own_parameters(alice: Account) -> None:
    made = await make(alice, strategy_params={"lookback": 33, "threshold": 0.9})
    edited = await patch(alice, made["id"], {"strategy_name": "simple_momentum"})
    assert edited["strategy_name"] == "simple_momentum"
    assert edited["strategy_params"]["lookback"] != 33
    edited = await patch(alice, made["id"], {"strategy_params": {"threshold": 0.2}})
    edited = await patch(alice, made["id"], {"strategy_name": "simple_momentum"})
    assert edited["strategy_params"]["threshold"] == 0.2


async def test_an_edit_that_changes_nothing_is_no_command(alice: Account, hub: Hub) -> None:
    made = await make(alice)
    bodies: list[dict[str, Any]] = [
        {},
        {"symbol": "BTC"},
        {"risk_params": {}},
        {"interval_seconds": 1},
    ]
    for body in bodies:
        assert await patch(alice, made["id"], body) == made
    assert {sent.epoch for sent in await inbox(hub, made["id"])} == {1}


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"auto_start": False}, "auto_start", "only when an agent is created"),
        ({"status": "running"}, "status", "unknown field"),
        ({"llm": {}}, "llm", "not available yet"),
        ({"risk_params": {"trailing_stop_pct": 0}}, "risk_params.trailing_stop_pct",
         "expected a number >= 0.05"),
        ({"risk_params": {"lever": 1}}, "risk_params.lever", "unknown field"),
        ({"risk_params": 5}, "risk_params", "expected an object"),
        ({"risk_params": {"leverage": 126}}, "risk_params.leverage",
         "expected a whole number <= 125"),
        ({"strategy_name": "luck"}, "strategy_name", "no such strategy; see GET /api/strategies"),
        ({"symbol": "NOPE"}, "symbol", "no prices for NOPE/USDT; see GET /api/market/symbols"),
        ({"interval_seconds": 0}, "interval_seconds", "expected a whole number >= 1"),
        ([], "body", "expected an object"),
        (None, "body", "expected an object"),
    ],
)  # fmt: skip
async def test_bad_edits(alice: Account, body: Any, field: str, message: str) -> None:
    made = await make(alice)
    path = f"/api/agents/{made['id']}"
    answer = await alice.http.patch(path, json=body)
    if body is None:
        answer = await alice.http.patch(
            path, content=b"null", headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"] == [{"field": field, "message": message}]
    assert (await alice.http.get(path)).json() == made


async def test_live_mode_is_refused_by_an_edit_too(alice: Account) -> None:
    made = await make(alice)
    answer = await alice.http.patch(f"/api/agents/{made['id']}", json={"live_mode": True})
    assert (answer.status_code, answer.json()["title"]) == (409, "Conflict")


async def test_edits_at_the_same_time_all_count(alice: Account) -> None:
    made = await make(alice)
    bodies: list[dict[str, Any]] = [
        {"name": "together"},
        {"interval_seconds": 9},
        {"risk_params": {"fee_bps": 3}},
        {"strategy_params": {"lookback": 30}},
    ]
    await asyncio.gather(*(patch(alice, made["id"], body) for body in bodies))
    edited = (await alice.http.get(f"/api/agents/{made['id']}")).json()
    assert (edited["name"], edited["interval_seconds"]) == ("together", 9)
    assert edited["risk_params"]["fee_bps"] == 3
    assert edited["strategy_params"]["lookback"] == 30


async def test_an_edit_of_what_somebody_else_has_changed_is_made_again(
    alice: Account, hub: Hub
) -> None:
    made = await make(alice)
    before = await agents.get_agent(hub.database, alice.user_id, UUID(made["id"]))
    assert before is not None
    await patch(alice, made["id"], {"name": "newer"})
    edit = Edit(**{name: getattr(before, name) for name in Edit.__slots__})
    with pytest.raises(AgentMoved):
        await edit_agent(hub.database, before, edit, None)


async def test_a_stop_stays_what_it_was_through_edits(alice: Account, hub: Hub) -> None:
    made = await make(alice)
    path = f"/api/agents/{made['id']}"
    await alice.http.post(f"{path}/stop", json={"close_position": False})
    await patch(alice, made["id"], {"name": "edited"})
    sent = (await inbox(hub, made["id"]))[-1]
    assert (sent.epoch, sent.asked_epoch) == (3, 2)
    assert (sent.wanted, sent.close_position) == (Wanted.STOPPED, False)
    await alice.http.post(f"{path}/start")
    sent = (await inbox(hub, made["id"]))[-1]
    assert (sent.epoch, sent.asked_epoch, sent.wanted) == (4, 4, Wanted.RUNNING)


async def test_kill_all_stops_every_agent_of_the_caller(
    alice: Account, bob: Account, hub: Hub
) -> None:
    mine = [await make(alice, name=str(number)) for number in range(3)]
    theirs = await make(bob)
    await alice.http.post(f"/api/agents/{mine[0]['id']}/stop", json={"close_position": False})
    await alice.http.delete(f"/api/agents/{mine[2]['id']}")
    for body in ({}, {"confirm": "yes"}, {"confirm": True}, {"confirm": "KILL_ALL", "now": 1}):
        assert (await alice.http.post("/api/agents/kill-all", json=body)).status_code == 422
    answer = await alice.http.post("/api/agents/kill-all", json={"confirm": "KILL_ALL"})
    assert (answer.status_code, answer.json()) == (200, {"stopped": 2})
    for agent in mine[:2]:
        sent = (await inbox(hub, agent["id"]))[-1]
        assert (sent.wanted, sent.close_position) == (Wanted.STOPPED, True)
        assert sent.asked_epoch == sent.epoch
    assert (await inbox(hub, mine[2]["id"]))[-1].wanted == Wanted.DELETED
    assert {sent.epoch for sent in await inbox(hub, theirs["id"])} == {1}
    got = await alice.http.get("/api/agents/kill-all")
    assert got.status_code == 404


async def test_kill_all_of_ten_thousand(alice: Account, hub: Hub) -> None:
    await make(alice)
    plan = min(await plans.plans_of(hub.database, range(20)))
    new = [
        NewAgent(alice.user_id, "one of many", "BTC/USDT", "1m", "momentum_breakout",
                 {"lookback": 20, "threshold": 0.5}, 60, RISK, plan)
        for _ in range(9_999)
    ]  # fmt: skip
    await agents_bulk.create_agents_bulk(hub.database, new)
    async with asyncio.timeout(20):
        answer = await alice.http.post("/api/agents/kill-all", json={"confirm": "KILL_ALL"})
    assert answer.json() == {"stopped": 10_000}
    shards = {agent.shard for agent in await agents.list_agents(hub.database, alice.user_id)}
    waiting = 0
    for shard in shards:
        state = await hub.shards.read(shard)
        assert state is not None
        waiting += len({entry.payload for entry in state.inbox})
    assert waiting >= 10_000
    assert await agents.unapplied(hub.database, 0, 1) != []


async def test_pages_of_one_status_are_full(
    alice: Account, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agents that wait for their first slot are `creating`; rows of others are made up."""
    monkeypatch.setattr("api.agent_lists.SCAN_PAGE", 3)
    monkeypatch.setattr(
        "api.agent_answers.word_of",
        lambda agent, state: ("stopped" if agent.name in "14678" else "creating", None),
    )
    for number in range(10):
        await make(alice, name=str(number))
    path, seen = "/api/agents?status=stopped&limit=2", []
    while path:
        answer = await alice.http.get(path)
        seen.append([agent["name"] for agent in answer.json()])
        path = answer.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert seen == [["1", "4"], ["6", "7"], ["8"]]
    all_at_once = (await alice.http.get("/api/agents?status=stopped")).json()
    assert [agent["name"] for agent in all_at_once] == list("14678")


async def test_settings_wait_until_the_pool_is_upgraded(
    alice: Account, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await make(alice)
    path = f"/api/agents/{made['id']}"
    trailing = {"risk_params": {"trailing_stop_pct": 1.5, "stop_loss_pct": 3}}
    monkeypatch.setattr(hub, "settings", replace(hub.settings, row_schema=1))
    refused = await alice.http.patch(path, json=trailing)
    assert (refused.status_code, "being upgraded" in refused.json()["detail"]) == (409, True)
    body = {"symbol": "BTC", "strategy_name": "breakout", **trailing}
    assert (await alice.http.post("/api/agents", json=body)).status_code == 409
    edited = await patch(alice, made["id"], {"risk_params": {"stop_loss_pct": 3}})
    assert edited["risk_params"]["trailing_stop_pct"] is None
    assert (await inbox(hub, made["id"]))[-1].stop_loss_ppm == 30_000
    monkeypatch.undo()
    edited = await patch(alice, made["id"], trailing)
    assert edited["risk_params"]["trailing_stop_pct"] == 1.5
    assert (await inbox(hub, made["id"]))[-1].trailing_stop_bps == 150


async def test_a_hub_that_is_older_than_its_pool_says_so(alice: Account, hub: Hub) -> None:
    made = await make(alice)
    agent = await agents.get_agent(hub.database, alice.user_id, UUID(made["id"]))
    assert agent is not None
    head = keys.shard_head(agent.shard)
    await command(hub.state_redis, "HSET", head, "schema", 9)
    answer = await alice.http.patch(f"/api/agents/{agent.id}", json={"interval_seconds": 2})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
