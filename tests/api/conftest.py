"""The hub inside a test: the real application on real servers, two accounts, and their clients."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import httpx
import pytest
from starlette.applications import Starlette

from adapters.db import users
from adapters.settings import Settings
from api.app import create_app
from api.hub import Hub

CHEAP_HASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA"
"""Nobody logs in with it: accounts of tests get their tokens straight away."""


@dataclass(frozen=True)
class Account:
    """One user of the hub and a client that speaks for them."""

    user_id: UUID
    email: str
    token: str
    http: httpx.AsyncClient


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[Starlette]:
    """The hub's application, started."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        await app.state.hub.clock.measure()
        yield app


@pytest.fixture
def hub(app: Starlette) -> Hub:
    """What its handlers share."""
    hub = app.state.hub
    assert isinstance(hub, Hub)
    return hub


@pytest.fixture
async def http(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a credential."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
        yield client


async def _account(app: Starlette, hub: Hub, name: str) -> AsyncIterator[Account]:
    user = await users.create_user(hub.database, f"{name}@example.com", CHEAP_HASH)
    token = hub.tokens.issue(user.id, uuid4())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://hub", headers={"Authorization": f"Bearer {token}"}
    ) as client:
        yield Account(user.id, user.email, token, client)


@pytest.fixture
async def alice(app: Starlette, hub: Hub) -> AsyncIterator[Account]:
    """An account."""
    async for account in _account(app, hub, "alice"):
        yield account


@pytest.fixture
async def bob(app: Starlette, hub: Hub) -> AsyncIterator[Account]:
    """Another account."""
    async for account in _account(app, hub, "bob"):
        yield account
