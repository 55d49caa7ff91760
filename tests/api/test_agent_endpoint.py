"""The hub's side of the agent endpoint: the field's words, numbers and errors."""

from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
from starlette.applications import Starlette

from adapters.settings import Settings
from api.agent_bodies import read_configuration
from api.agent_endpoint import (
    FIELD_OF,
    Start,
    changed_body,
    endpoint_status,
    margin_usdt,
    notional_usd,
    per_cent,
)
from api.bodies import check_fields
from api.hub import Hub
from api.status import agent_status
from engine.commands import ExitMode, Wanted
from tests.api.conftest import Account
from tests.api.rows import START, TestHead, advanced, agent, sight
from tests.api.test_agents import inbox, make


@pytest.fixture
def endpoint(settings: Settings, http: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client that knows the internal secret."""
    http.headers["X-Internal-Secret"] = settings.internal_secret
    return http


def path_of(agent_id: object) -> str:
    """Where the hub serves an agent's endpoint."""
    return f"/internal/agents/{agent_id}/endpoint"


@pytest.mark.parametrize("fraction", [0.05, 0.07, 0.29, 0.000001, 1.1, 0.57])
def test_a_fraction_is_its_per_cent_digit_for_digit(fraction: float) -> None:
    assert repr(per_cent(fraction)) == repr(float(f"{fraction * 100:.6g}"))


def test_margin_and_notional() -> None:
    assert notional_usd(33.33, 3) == 99.99
    assert notional_usd(0.1, 3) == 0.3
    assert margin_usdt(agent()) == 200.0


def test_start_changes_what_it_names_and_nothing_else() -> None:
    start = {"symbol": "ethusdt", "amount_usdt": 50, "leverage": 3, "tp_pct": 0.07,
             "poll_seconds": 1.5, "primary_timeframe": "1h"}  # fmt: skip
    body = changed_body(agent(), check_fields(start, Start))
    wanted = read_configuration(body, {"ETH/USDT"})
    assert (wanted.symbol, wanted.interval_seconds, wanted.timeframe) == ("ETH/USDT", 2, "1h")
    risk = wanted.risk_params
    assert (risk.max_position_usd, risk.leverage) == (150.0, 3)
    assert (risk.take_profit_pct, risk.stop_loss_pct, risk.slippage_bps) == (7.0, 2.0, 0.0)
    assert (wanted.name, wanted.strategy_name) == ("Mine", "momentum_breakout")


def test_every_translated_field_exists() -> None:
    names = set(Start.__struct_fields__)
    assert set(FIELD_OF.values()) <= names


def test_status_in_the_fields_words() -> None:
    rows = advanced(None, START, 100.0, -0.9, wanted=agent())
    status = agent_status(agent(), rows[0], TestHead(START), sight(99.0))
    told = endpoint_status(agent(), status)
    assert (told.running, told.side, told.last_action) == (True, "SHORT", "OPEN_SHORT")
    assert (told.amount_usdt, told.config_leverage, told.leverage) == (200.0, 5, 5)
    assert (told.entry_price, told.position_size_usdt) == (100.0, 1000.0)
    assert told.unrealized_pnl_usdt == 10.0
    flat = endpoint_status(agent(), agent_status(agent(), None, None, sight(None)))
    assert (flat.running, flat.side, flat.entry_price, flat.last_price) == (
        True,  # it was started, and its first slot will come
        "FLAT",
        None,
        None,
    )
    stands = msgspec.structs.replace(agent(), wanted="stopped")
    assert not endpoint_status(stands, agent_status(stands, None, None, sight(None))).running


async def test_calls_of_a_known_agent(
    endpoint: httpx.AsyncClient, alice: Account, hub: Hub
) -> None:
    made = await make(alice, auto_start=False)
    path = path_of(made["id"])
    assert (await endpoint.get(f"{path}/health")).json() == {"ok": True, "running": False}
    started = await endpoint.post(f"{path}/start")
    assert started.json() == {
        "started": True,
        "symbol": "BTC/USDT",
        "live_mode": False,
        "tp_sl_mode": "fixed",
        "supervisor_interval_seconds": None,
    }
    assert (await endpoint.get(f"{path}/health")).json() == {"ok": True, "running": True}
    assert (await endpoint.post(f"{path}/start", json={})).status_code == 200
    assert (await inbox(hub, made["id"]))[-1].epoch == 2
    status = (await endpoint.get(f"{path}/status")).json()
    assert (status["side"], status["active_strategy"]) == ("FLAT", "momentum_breakout")
    logs = (await endpoint.get(f"{path}/logs?limit=5")).json()
    assert logs == {"logs": [], "running": True}
    planned = await endpoint.post(f"{path}/plan", json={})
    assert (planned.status_code, planned.json()) == (503, {"detail": "LLM not configured"})
    stopped = await endpoint.post(f"{path}/stop?closePosition=false")
    assert stopped.json() == {"stopped": True, "closed": False}
    assert (await inbox(hub, made["id"]))[-1].close_position is False
    refused = await endpoint.post(f"{path}/config", json={"amount_usdt": 5})
    assert (refused.status_code, refused.json()) == (400, {"detail": "Engine not running"})


async def test_start_and_config_with_a_body(
    endpoint: httpx.AsyncClient, alice: Account, hub: Hub
) -> None:
    made = await make(alice)
    path = path_of(made["id"])
    body = {"symbol": "ETHUSDT", "amount_usdt": 40.5, "leverage": 4, "sl_pct": 0.015,
            "live_mode": False, "indicators": None, "tp_sl_mode": "dynamic"}  # fmt: skip
    started = await endpoint.post(f"{path}/start", json=body)
    assert (started.status_code, started.json()["symbol"]) == (200, "ETH/USDT")
    assert started.json()["tp_sl_mode"] == "dynamic"
    sent = (await inbox(hub, made["id"]))[-1]
    assert (sent.wanted, sent.epoch, sent.leverage) == (Wanted.RUNNING, 2, 4)
    assert (sent.max_position_usd, sent.stop_loss_ppm) == (162.0, 15_000)
    assert (sent.tp_sl_mode, sent.atr_multiple_centi) == (ExitMode.DYNAMIC, 200)
    changed = await endpoint.post(f"{path}/config", json={"tp_pct": 0.1, "poll_seconds": 2.2})
    assert changed.json() == {"status": "ok", "updated": {"tp_pct": 0.1, "poll_seconds": 2.2}}
    sent = (await inbox(hub, made["id"]))[-1]
    assert (sent.epoch, sent.interval, sent.take_profit_ppm) == (3, 3, 100_000)
    assert sent.tp_sl_mode == ExitMode.DYNAMIC
    shown = (await alice.http.get(f"/api/agents/{made['id']}")).json()
    assert (shown["symbol"], shown["interval_seconds"]) == ("ETH/USDT", 3)
    assert shown["risk_params"]["max_position_usd"] == 162.0


BAD_STARTS: list[tuple[dict[str, Any], list[list[str]]]] = [
    ({"symbol": "BTC"}, [["body", "amount_usdt"], ["body", "leverage"]]),
    ({"amount_usdt": 0}, [["body", "amount_usdt"]]),
    ({"leverage": 200}, [["body", "leverage"]]),
    ({"poll_seconds": 0}, [["body", "poll_seconds"]]),
    ({"tp_pct": -0.1}, [["body", "tp_pct"]]),
    ({"tp_pct": 0.0123456789}, [["body", "tp_pct"]]),
    ({"symbol": "XYZ"}, [["body", "symbol"]]),
    ({"tp_sl_mode": "trailing"}, [["body", "tp_sl_mode"]]),
    ({"llm_provider": "x"}, [["body", "llm_provider"]]),
    ({"supervisor_interval_seconds": 60}, [["body", "supervisor_interval_seconds"]]),
    ({"amount_usd": None}, [["body", "amount_usd"]]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "locations"), BAD_STARTS)
async def test_bad_bodies_keep_the_fields_shape(
    endpoint: httpx.AsyncClient,
    alice: Account,
    changes: dict[str, Any],
    locations: list[list[str]],
) -> None:
    made = await make(alice)
    good = {"symbol": "BTC", "amount_usdt": 50, "leverage": 2}
    body = changes if changes == {"symbol": "BTC"} else good | changes
    answer = await endpoint.post(f"{path_of(made['id'])}/start", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    assert [each["loc"] for each in answer.json()["detail"]] == locations
    assert all(set(each) == {"loc", "msg", "type"} for each in answer.json()["detail"])


async def test_unknown_agents_and_live_mode(
    app: Starlette, endpoint: httpx.AsyncClient, alice: Account
) -> None:
    for agent_id in (uuid4(), "nobody"):
        answer = await endpoint.get(f"{path_of(agent_id)}/status")
        assert (answer.status_code, answer.json()) == (404, {"detail": "no such agent"})
    made = await make(alice)
    body = {"symbol": "BTC", "amount_usdt": 50, "leverage": 2, "live_mode": True}
    answer = await endpoint.post(f"{path_of(made['id'])}/start", json=body)
    assert answer.status_code == 409
    assert list(answer.json()) == ["detail"]
