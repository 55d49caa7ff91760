"""The hub over a running pool, through a real socket: REST, the stream, and both together."""

from collections.abc import AsyncIterator

import pytest

from adapters.settings import Settings
from tests.api.serving import AGENT, ServedHub, receive, serve
from tests.integration.pool import TestPool, open_test_pool


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[TestPool]:
    async with open_test_pool(settings) as test_pool:
        test_pool.start()
        yield test_pool


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[ServedHub]:
    async with serve(settings) as hub:
        yield hub


async def test_first(pool: TestPool, served: ServedHub) -> None:
    _, token = await served.token("alice")
    async with served.http(token) as http, served.socket(token) as stream:
        made = await http.post("/api/agents", json=AGENT)
        assert made.status_code == 201
        for _ in range(30):
            print(await receive(stream))
        print((await http.get(f"/api/agents/{made.json()['id']}/status")).json())
        print((await http.get(f"/api/agents/{made.json()['id']}/logs")).json())
