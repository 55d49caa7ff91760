"""Parameters that are no numbers, over HTTP: ensembles, hours and weekdays."""

from dataclasses import replace
from typing import Any

from adapters.db import plans
from api.hub import Hub
from tests.api.conftest import Account
from tests.api.test_agent_changes import patch
from tests.api.test_agents import inbox, make

MEMBERS: list[Any] = [
    "momentum_breakout",
    {"strategy_name": "rsi_signal", "params": {"lookback": 9.0}, "weight": 2},
]
KEPT = [
    {"strategy_name": "breakout", "params": {}, "weight": 1.0},
    {"strategy_name": "rsi_signal", "params": {"lookback": 9}, "weight": 2.0},
]


async def plan_of(hub: Hub, agent: Any) -> int:
    return (await inbox(hub, agent["id"]))[-1].plan_id


async def test_an_ensemble_is_made_and_edited(alice: Account, hub: Hub) -> None:
    made = await make(
        alice, strategy_name="ensemble", strategy_params={"members": MEMBERS, "threshold": 0.3}
    )
    assert made["name"] == "ensemble BTC/USDT"
    assert made["strategy_params"] == {"lookback": 0, "threshold": 0.3, "members": KEPT}
    assert (await alice.http.get(f"/api/agents/{made['id']}")).json() == made
    plan_id = await plan_of(hub, made)
    stored = (await plans.plans_of(hub.database, [plan_id]))[plan_id]
    assert (stored.strategy, len(stored.params["members"])) == ("ensemble", 2)

    halved = [{**KEPT[1], "weight": 1}, {**KEPT[0], "weight": 0.5}]
    edited = await patch(alice, made["id"], {"strategy_params": {"members": halved}})
    assert edited["strategy_params"]["members"] == halved
    assert await plan_of(hub, edited) == plan_id
    edited = await patch(alice, made["id"], {"strategy_params": {"members": None}})
    assert edited["strategy_params"] == {"lookback": 0, "threshold": 0.3}
    assert await plan_of(hub, edited) != plan_id


async def test_hours_and_days_belong_to_the_plan(alice: Account, hub: Hub) -> None:
    plain = await make(alice)
    made = await make(alice, strategy_params={"session_filter": "us", "day_of_week_filter": True})
    assert made["strategy_params"] == {
        "lookback": 20,
        "threshold": 0.5,
        "session_filter": [13, 21],
        "day_of_week_filter": ["mon", "tue", "wed", "thu", "fri"],
    }
    assert await plan_of(hub, made) != await plan_of(hub, plain)
    other = await patch(alice, made["id"], {"strategy_name": "rsi_signal"})
    assert other["strategy_params"]["session_filter"] == [13, 21]
    assert other["strategy_params"]["oversold"] == 30.0
    back = {"session_filter": None, "day_of_week_filter": None}
    cleared = await patch(
        alice, made["id"], {"strategy_name": "momentum_breakout", "strategy_params": back}
    )
    assert cleared["strategy_params"] == plain["strategy_params"]
    assert await plan_of(hub, cleared) == await plan_of(hub, plain)


async def test_what_makes_no_sense_is_told_at_once(alice: Account) -> None:
    answer = await alice.http.post(
        "/api/agents",
        json={
            "symbol": "BTC/USDT",
            "strategy_name": "ensemble",
            "strategy_params": {
                "members": ["ensemble", {"strategy_name": "rsi_signal", "params": {"lookback": 0}}],
                "session_filter": [5, 5],
                "day_of_week_filter": ["noday"],
                "lookback": "5",
            },
        },
    )
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {
        "strategy_params.members[0].strategy_name",
        "strategy_params.members[1].params.lookback",
        "strategy_params.session_filter",
        "strategy_params.day_of_week_filter",
        "strategy_params.lookback",
    }


async def test_an_account_makes_a_bounded_number_of_plans(
    alice: Account, bob: Account, hub: Hub
) -> None:
    hub.settings = replace(hub.settings, plans_per_user=2)
    assert (await alice.http.get("/api/me")).json()["quotas"]["plans"] == 2
    first, _ = await make(alice), await make(alice, strategy_params={"lookback": 21})
    third = {"strategy_params": {"lookback": 22}}
    for answer in (
        await alice.http.patch(f"/api/agents/{first['id']}", json=third),
        await alice.http.post(
            "/api/agents", json={"symbol": "BTC", "strategy_name": "breakout", **third}
        ),
    ):
        assert answer.status_code == 409, answer.text
        assert "2 different plans" in answer.json()["detail"]
    await make(alice, strategy_params={"lookback": 21, "threshold": 0.9})
    await make(bob, **third)
    await patch(alice, first["id"], third)  # bob's by now
