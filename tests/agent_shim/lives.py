"""What any endpoint of an agent has to do, whoever answers there: the gateway or a container of
the agent's own.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from agent_shim.answers import read_answer

AGENT = {
    "symbol": "BTC/USDT",
    "strategy_name": "momentum_breakout",
    "auto_start": False,
    "risk_params": {"max_position_usd": 150.0, "leverage": 3},
}
"""The create body of an agent that stands still, for `live`."""


async def live(
    endpoint: httpx.AsyncClient, seen_by_owner: Callable[[], Awaitable[dict[str, Any]]]
) -> None:
    """Starts, changes, reads and stops an agent made from AGENT."""
    assert (await endpoint.get("/health")).json() == {"ok": True, "running": False}
    standing = await endpoint.post("/config", json={"tp_pct": 0.1})
    assert (standing.status_code, standing.json()) == (400, {"detail": "Engine not running"})

    body = {"symbol": "BTCUSDT", "amount_usdt": 33.3, "leverage": 3, "poll_seconds": 1.5}
    started = await endpoint.post("/start", json=body | {"tp_pct": 0.07, "primary_timeframe": "5m"})
    assert started.json() == {
        "started": True,
        "symbol": "BTC/USDT",
        "live_mode": False,
        "tp_sl_mode": "fixed",
        "supervisor_interval_seconds": None,
    }
    assert (await endpoint.get("/health")).json() == {"ok": True, "running": True}
    agent = await seen_by_owner()
    assert (agent["interval_seconds"], agent["timeframe"]) == (2, "5m")
    assert agent["risk_params"]["max_position_usd"] == 99.9
    assert agent["risk_params"]["take_profit_pct"] == 7.0

    changed = await endpoint.post("/config", json={"amount_usdt": 10, "sl_pct": 0.005})
    assert changed.json() == {"status": "ok", "updated": {"amount_usdt": 10, "sl_pct": 0.005}}
    agent = await seen_by_owner()
    assert agent["risk_params"]["max_position_usd"] == 30.0
    assert agent["risk_params"]["stop_loss_pct"] == 0.5

    status = (await endpoint.get("/status")).json()
    assert read_answer("status", status) == status
    assert (status["amount_usdt"], status["config_leverage"]) == (10, 3)
    logs = (await endpoint.get("/logs?limit=5")).json()
    assert logs["running"] is True and len(logs["logs"]) <= 5

    for _ in range(2):
        stopped = await endpoint.post("/stop?closePosition=false")
        assert stopped.json() == {"stopped": True, "closed": False}
    assert (await endpoint.get("/health")).json() == {"ok": True, "running": False}
    assert (await endpoint.post("/start")).json()["started"] is True

    refused = await endpoint.post("/start", json=body | {"symbol": "NOPE/USDT"})
    assert refused.status_code == 422
    assert [error["loc"] for error in refused.json()["detail"]] == [["body", "symbol"]]
    assert (await endpoint.get("/nothing")).status_code == 404
    assert (await endpoint.get("/start")).status_code == 405
    stranger = await endpoint.get("/status", headers={"Host": "somebody-else:8000"})
    assert stranger.status_code == 421
