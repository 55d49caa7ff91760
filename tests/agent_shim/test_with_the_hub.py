"""The gateway in front of the real hub on real servers: both sides understand each other."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from adapters.db import users
from adapters.settings import Settings
from agent_shim.answers import read_answer
from agent_shim.app import AgentEndpoint
from agent_shim.client import HubClient
from api.app import create_app as create_hub
from tests.agent_shim.wire import EndpointTransport, TransportNetwork

NOBODY_LOGS_IN = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA"
AGENT = {
    "symbol": "BTC/USDT",
    "strategy_name": "momentum_breakout",
    "auto_start": False,
    "risk_params": {"max_position_usd": 150.0, "leverage": 3},
}


@dataclass(frozen=True)
class Callers:
    """The agent's owner at the hub, and somebody at the agent's endpoint."""

    owner: httpx.AsyncClient
    endpoint: httpx.AsyncClient
    agent_id: UUID

    async def agent(self) -> dict[str, Any]:
        """The agent as its owner sees it."""
        agent: dict[str, Any] = (await self.owner.get(f"/api/agents/{self.agent_id}")).json()
        return agent


@pytest.fixture
async def callers(settings: Settings) -> AsyncIterator[Callers]:
    """Both, with an agent that stands still."""
    hub = create_hub(settings)
    async with hub.router.lifespan_context(hub):
        await hub.state.hub.clock.measure()
        user = await users.create_user(hub.state.hub.database, "a@example.com", NOBODY_LOGS_IN)
        token = hub.state.hub.tokens.issue(user.id, uuid4())
        network = httpx.ASGITransport(hub, raise_app_exceptions=False)
        way = TransportNetwork(network)
        endpoint = AgentEndpoint(HubClient("http://hub:9000", settings.internal_secret, way))
        async with (
            aclosing(endpoint),
            httpx.AsyncClient(
                transport=network,
                base_url="http://hub:9000",
                headers={"Authorization": f"Bearer {token}"},
            ) as owner,
        ):
            made = await owner.post("/api/agents", json=AGENT)
            assert made.status_code == 201, made.text
            agent_id = UUID(made.json()["id"])
            async with httpx.AsyncClient(
                transport=EndpointTransport(endpoint),
                base_url=f"http://artic-agent-{agent_id}:8000",
            ) as caller:
                yield Callers(owner, caller, agent_id)


async def test_a_life_at_the_endpoint(callers: Callers) -> None:
    endpoint = callers.endpoint
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
    agent = await callers.agent()
    assert (agent["interval_seconds"], agent["timeframe"]) == (2, "5m")
    assert agent["risk_params"]["max_position_usd"] == 99.9
    assert agent["risk_params"]["take_profit_pct"] == 7.0

    changed = await endpoint.post("/config", json={"amount_usdt": 10, "sl_pct": 0.005})
    assert changed.json() == {"status": "ok", "updated": {"amount_usdt": 10, "sl_pct": 0.005}}
    agent = await callers.agent()
    assert agent["risk_params"]["max_position_usd"] == 30.0
    assert agent["risk_params"]["stop_loss_pct"] == 0.5

    status = (await endpoint.get("/status")).json()
    assert read_answer("status", status) == status
    assert (status["amount_usdt"], status["config_leverage"], status["side"]) == (10, 3, "FLAT")
    assert (await endpoint.get("/logs?limit=5")).json()["logs"] == []

    for _ in range(2):
        stopped = await endpoint.post("/stop?closePosition=false")
        assert stopped.json() == {"stopped": True, "closed": False}
    assert (await endpoint.get("/health")).json() == {"ok": True, "running": False}
    assert (await endpoint.post("/start")).json()["started"] is True


async def test_refusals_of_the_hub(callers: Callers) -> None:
    endpoint = callers.endpoint
    body = {"symbol": "NOPE/USDT", "amount_usdt": 10, "leverage": 1}
    unknown = await endpoint.post("/start", json=body)
    assert unknown.status_code == 422
    assert [error["loc"] for error in unknown.json()["detail"]] == [["body", "symbol"]]
    planned = await endpoint.post("/plan")
    assert (planned.status_code, planned.json()) == (503, {"detail": "LLM not configured"})
    stranger = await endpoint.get("/status", headers={"Host": f"artic-agent-{uuid4()}:8000"})
    assert (stranger.status_code, stranger.json()) == (404, {"detail": "no such agent"})


async def test_a_gateway_with_another_secret(callers: Callers, settings: Settings) -> None:
    hub = create_hub(settings)
    async with hub.router.lifespan_context(hub):
        client = HubClient("http://hub:9000", "x" * 20, TransportNetwork(httpx.ASGITransport(hub)))
        async with httpx.AsyncClient(
            transport=EndpointTransport(AgentEndpoint(client)),
            base_url=f"http://artic-agent-{callers.agent_id}:8000",
        ) as caller:
            answer = await caller.get("/status")
    assert (answer.status_code, answer.json()) == (
        503,
        {"detail": "hub refused the internal secret"},
    )
