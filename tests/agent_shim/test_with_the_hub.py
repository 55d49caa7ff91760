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
from agent_shim.app import AgentEndpoint
from agent_shim.client import HubClient
from api.app import create_app as create_hub
from tests.agent_shim.lives import AGENT, live
from tests.agent_shim.wire import EndpointTransport, TransportNetwork

NOBODY_LOGS_IN = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA"


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
    assert (await callers.endpoint.get("/logs?limit=5")).json()["logs"] == []
    await live(callers.endpoint, callers.agent)


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
