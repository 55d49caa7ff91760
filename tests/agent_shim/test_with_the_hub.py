"""The endpoint in front of the real hub on real servers: as the gateway of every agent, as the
container of one, and as that of another hub's agent that the pool runs.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID, uuid4

import httpx
import pytest

from adapters.db import users
from adapters.settings import Settings
from agent_shim.app import AgentEndpoint
from agent_shim.client import HubClient
from agent_shim.pool import PoolClient
from agent_shim.settings import OwnHub
from api.app import create_app as create_hub
from tests.agent_shim.lives import AGENT, live
from tests.agent_shim.wire import EndpointTransport, TransportNetwork

NOBODY_LOGS_IN = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA"


OLD_HUB = "http://old-hub:9000"
POOL_SECRET = "pool-" * 4
OUTSIDE = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
Kind = Literal["gateway", "container", "drop-in"]


@dataclass(frozen=True)
class Callers:
    """The agent's owner at the hub, and somebody at the agent's endpoint."""

    kind: Kind
    owner: httpx.AsyncClient
    endpoint: httpx.AsyncClient

    async def agent(self) -> dict[str, Any]:
        """The agent as its owner sees it."""
        agents: list[dict[str, Any]] = (await self.owner.get("/api/agents")).json()
        assert len(agents) == 1
        return agents[0]


def told(settings: Settings) -> Settings:
    """A hub that takes agents of another one, too."""
    return replace(
        settings, pool_secret=POOL_SECRET, shim_owner="a@example.com", callback_hubs=OLD_HUB
    )


def endpoint_of(kind: Kind, agent_id: UUID, way: TransportNetwork, secret: str) -> AgentEndpoint:
    """The endpoint as each of the three has it."""
    if kind == "drop-in":
        own_hub = OwnHub(url=OLD_HUB, secret="old-secret", symbol="BTC/USDT")
        pool = PoolClient("http://hub:9000", POOL_SECRET, agent_id, own_hub, way)
        return AgentEndpoint(pool, agent_id, passes_all=True)
    hub = HubClient("http://hub:9000", secret, way)
    return AgentEndpoint(hub, None if kind == "gateway" else agent_id)


@pytest.fixture(params=["gateway", "container", "drop-in"])
async def callers(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Callers]:
    """Both, with an agent that stands still; a drop-in makes its own."""
    kind: Kind = request.param
    hub = create_hub(told(settings))
    async with hub.router.lifespan_context(hub):
        await hub.state.hub.clock.measure()
        user = await users.create_user(hub.state.hub.database, "a@example.com", NOBODY_LOGS_IN)
        token = hub.state.hub.tokens.issue(user.id, uuid4())
        network = httpx.ASGITransport(hub, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=network,
            base_url="http://hub:9000",
            headers={"Authorization": f"Bearer {token}"},
        ) as owner:
            agent_id = OUTSIDE
            if kind != "drop-in":
                made = await owner.post("/api/agents", json=AGENT)
                assert made.status_code == 201, made.text
                agent_id = UUID(made.json()["id"])
            way = TransportNetwork(network)
            async with (
                aclosing(endpoint_of(kind, agent_id, way, settings.internal_secret)) as endpoint,
                httpx.AsyncClient(
                    transport=EndpointTransport(endpoint),
                    base_url=f"http://artic-agent-{agent_id}:8000",
                ) as caller,
            ):
                yield Callers(kind, owner, caller)


async def test_a_life_at_the_endpoint(callers: Callers) -> None:
    assert (await callers.endpoint.get("/logs?limit=5")).json()["logs"] == []
    await live(callers.endpoint, callers.agent)
    agent = await callers.agent()
    assert (agent["strategy_name"], agent["status"]) == ("momentum_breakout", "creating")


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


@pytest.mark.parametrize("field", ["risk_profile", "llm_provider", "indicators"])
async def test_fields_that_are_not_served(callers: Callers, field: str) -> None:
    body = {"symbol": "BTC/USDT", "amount_usdt": 10, "leverage": 1, field: "anything"}
    started = await callers.endpoint.post("/start", json=body)
    logs = (await callers.endpoint.get("/logs")).json()
    if callers.kind == "drop-in":
        assert started.status_code == 200, started.text
        line = f"not served here and left out: {field}"
        assert [entry["message"] for entry in logs["logs"] if entry["level"] == "warn"] == [line]
    else:
        assert (started.status_code, logs) == (422, {"logs": [], "running": False})


async def test_money_is_never_taken_for_paper(callers: Callers) -> None:
    body = {"symbol": "BTC/USDT", "amount_usdt": 10, "leverage": 1, "live_mode": True}
    assert (await callers.endpoint.post("/start", json=body)).status_code == 409
    assert (await callers.endpoint.get("/health")).json() == {"ok": True, "running": False}


async def test_an_agent_that_the_pool_has_lost(callers: Callers) -> None:
    await callers.endpoint.get("/health")
    before = (await callers.agent())["id"]
    assert (await callers.owner.delete(f"/api/agents/{before}")).status_code == 204
    health = await callers.endpoint.get("/health")
    if callers.kind == "drop-in":
        assert health.json() == {"ok": True, "running": False}
        assert (await callers.agent())["id"] != before, "its hub's agent begins anew"
    else:
        assert (health.status_code, health.json()) == (404, {"detail": "no such agent"})


@pytest.mark.parametrize("kind", ["gateway", "container", "drop-in"])
async def test_another_secret(settings: Settings, kind: Kind) -> None:
    hub = create_hub(replace(told(settings), pool_secret="other-" * 4))
    async with hub.router.lifespan_context(hub):
        way = TransportNetwork(httpx.ASGITransport(hub))
        async with httpx.AsyncClient(
            transport=EndpointTransport(endpoint_of(kind, OUTSIDE, way, "x" * 20)),
            base_url=f"http://artic-agent-{OUTSIDE}:8000",
        ) as caller:
            answer = await caller.get("/status")
    assert (answer.status_code, answer.json()) == (
        503,
        {"detail": "hub refused the internal secret"},
    )
