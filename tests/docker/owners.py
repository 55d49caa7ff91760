"""Owners of agents at the hub of a Compose project."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.conftest import wait_for
from tests.docker.engine import ASK_EVERY_S, PATIENCE_S
from tests.docker.project import Project

ANSWER_S = 30.0


@asynccontextmanager
async def logged_in(project: Project, email: str = "") -> AsyncIterator[httpx.AsyncClient]:
    """A client with a new account at the hub of a project, as soon as it answers."""
    async with httpx.AsyncClient(base_url=project.hub_url, timeout=ANSWER_S) as client:

        async def login() -> httpx.Response | None:
            address = email or f"a{time.time_ns()}@example.com"
            account = {"email": address, "password": "a long password"}
            try:
                answer = await client.post("/auth/register", json=account)
            except httpx.TransportError:
                return None
            return answer if answer.status_code == 201 else None

        pair = await wait_for(
            login, seconds=PATIENCE_S, every_s=ASK_EVERY_S, what="the hub takes an account"
        )
        assert pair is not None
        client.headers["Authorization"] = f"Bearer {pair.json()['access_token']}"
        yield client


async def create(owner: httpx.AsyncClient, symbol: str = "BTC/USDT") -> str:
    """The id of a new agent that ticks every second."""
    body = {"symbol": symbol, "strategy_name": "momentum_breakout"}
    made = await owner.post("/api/agents", json=body)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def ticking(owner: httpx.AsyncClient, agent_id: str, ticks: int = 1) -> dict[str, Any]:
    """The agent's status once it has ticked so often."""

    async def status() -> dict[str, Any] | None:
        found: dict[str, Any] = (await owner.get(f"/api/agents/{agent_id}/status")).json()
        return found if found["ticks"] >= ticks else None

    found = await wait_for(
        status,
        seconds=PATIENCE_S,
        every_s=ASK_EVERY_S,
        what=f"agent {agent_id} ticks {ticks} times",
    )
    assert found is not None
    return found
