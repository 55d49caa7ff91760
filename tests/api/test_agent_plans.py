"""A plan of four fields, applied to a running agent: translated, checked, sent like any edit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.agent_plans import planned_configuration, stop_loss_pct
from api.errors import Problem
from api.hub import Hub
from engine.commands import Wanted
from tests.api.conftest import Account
from tests.api.test_agents import inbox, make

BODY: dict[str, Any] = {
    "symbol": "BTC/USDT",
    "strategy_name": "momentum_breakout",
    "strategy_params": {"lookback": 33, "threshold": 0.9, "session_filter": [13, 21]},
    "risk_params": {"max_position_usd": 500.0, "stop_loss_pct": 1.5},
}
SYMBOLS = ("BTC/USDT",)
RANGE = "expected a fraction from 0.000001 to 1: 0.02 is 2 %"


async def apply(account: Account, agent_id: str, plan: object, status: int = 200) -> Any:
    answer = await account.http.put(f"/api/agents/{agent_id}/plan", json=plan)
    assert answer.status_code == status, answer.text
    return answer.json()


def errors_of(plan: object) -> dict[str, str]:
    with pytest.raises(Problem) as refusal:
        planned_configuration(BODY, plan, SYMBOLS)
    assert refusal.value.status == 422
    return {error.field: error.message for error in refusal.value.errors}


async def test_a_plan_is_an_edit_from_the_next_slot_on(alice: Account, hub: Hub) -> None:
    made = await make(alice, strategy_params={"day_of_week_filter": True})
    plan = {"strategy": "rsi_signal", "lookback": 9, "threshold": 0.4, "max_loss_pct": 0.025}
    edited = await apply(alice, made["id"], plan)
    assert edited["strategy_name"] == "rsi_signal"
    assert edited["strategy_params"] == {
        "lookback": 9,
        "oversold": 30.0,
        "overbought": 70.0,
        "threshold": 0.4,
        "day_of_week_filter": ["mon", "tue", "wed", "thu", "fri"],
    }
    assert edited["risk_params"] == made["risk_params"] | {"stop_loss_pct": 2.5}
    sent = (await inbox(hub, made["id"]))[-1]
    assert (sent.epoch, sent.wanted, sent.threshold) == (2, Wanted.RUNNING, 0.4)
    assert sent.stop_loss_ppm == 25_000
    assert await apply(alice, made["id"], plan) == edited
    assert (await inbox(hub, made["id"]))[-1] == sent


async def test_what_a_plan_leaves_out_stays(alice: Account) -> None:
    made = await make(alice, strategy_params={"lookback": 33, "threshold": 0.9})
    same = await apply(alice, made["id"], {"strategy": "momentum_breakout", "lookback": None})
    assert same["strategy_params"] == {"lookback": 33, "threshold": 0.9}
    assert same["risk_params"] == made["risk_params"]


async def test_only_its_owner_applies_a_plan(alice: Account, bob: Account) -> None:
    made = await make(alice)
    await apply(bob, made["id"], {"strategy": "rsi_signal"}, status=404)


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ({}, {"strategy": "required"}),
        (
            {"strategy": "rsi", "max_loss_pct": 2, "threshold": "high", "lookback": 2.5},
            {
                "strategy": "no such strategy; did you mean rsi_signal?",
                "max_loss_pct": RANGE,
                "threshold": "expected a number or null, got a string",
                "lookback": "expected a whole number or null, got a number",
            },
        ),
        (
            {"strategy": "ema_crossover", "lookback": 5, "threshold": 0, "max_loss_pct": 0},
            {
                "lookback": "must be above fast, which is 9",
                "threshold": "must be between 0.01 and 1",
                "max_loss_pct": RANGE,
            },
        ),
        (
            {"strategy": "z_score", "reasoning": "so", "leverage": 3},
            {"reasoning": "not available yet", "leverage": "unknown field"},
        ),
        ({"strategy": "z_score", "max_loss_pct": -0.02}, {"max_loss_pct": RANGE}),
    ],
)
def test_nonsense_is_told_in_the_words_of_the_plan(plan: object, told: dict[str, str]) -> None:
    assert errors_of(plan) == told


def test_a_plan_is_an_object() -> None:
    nothing: list[object] = [[], "rsi_signal", None, 3]
    assert all(errors_of(plan) for plan in nothing)


@given(st.floats(0.000001, 1))
def test_any_fraction_is_a_stop_loss_that_the_hub_takes(fraction: float) -> None:
    wanted = planned_configuration(BODY, {"strategy": "z_score", "max_loss_pct": fraction}, SYMBOLS)
    assert wanted.risk_params.stop_loss_pct == stop_loss_pct(fraction)
    assert wanted.risk_params.stop_loss_pct == pytest.approx(fraction * 100, abs=0.000_050_1)
    assert wanted.strategy_params["session_filter"] == [13, 21]
