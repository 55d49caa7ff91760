"""What hubs keep of agents: never older than what anybody was told, whichever hub told it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from starlette.applications import Starlette

from adapters.agent_news import tell_moved
from adapters.db import agents
from adapters.db.connection import connection
from adapters.db.errors import DatabaseAway
from adapters.settings import Settings
from api import directory
from api.app import create_app
from api.hub import Hub
from tests.api.conftest import Account
from tests.api.test_agents import make


@pytest.fixture
async def other_app(settings: Settings, app: Starlette) -> AsyncIterator[Starlette]:
    """A second hub on the same servers."""
    other = create_app(settings)
    async with other.router.lifespan_context(other):
        await other.state.hub.clock.measure()
        yield other


@pytest.fixture
async def there(other_app: Starlette, alice: Account) -> AsyncIterator[httpx.AsyncClient]:
    """Alice at the second hub."""
    transport = httpx.ASGITransport(other_app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {alice.token}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://hub", headers=headers
    ) as client:
        yield client


async def shown(client: httpx.AsyncClient, path: str) -> Any:
    """The answer's JSON."""
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_what_one_hub_has_answered_the_other_shows(
    alice: Account, there: httpx.AsyncClient
) -> None:
    here = alice.http
    made = await make(alice)
    path = f"/api/agents/{made['id']}"
    for _ in range(2):  # read, so that both keep it
        for client in (here, there):
            assert await shown(client, path) == made
            assert await shown(client, "/api/agents") == [made]
    for number in range(8):
        # now one hub changes it, now the other
        changing, looking = (here, there) if number % 2 else (there, here)
        name = f"number {number}"
        assert (await changing.patch(path, json={"name": name})).status_code == 200
        assert (await shown(looking, path))["name"] == name
        assert [each["name"] for each in await shown(looking, "/api/agents")] == [name]
        assert (await shown(changing, path))["name"] == name
    assert (await here.patch(path, json={"symbol": "ETH/USDT"})).status_code == 200
    assert (await shown(there, f"{path}/status"))["symbol"] == "ETH/USDT"
    other = await make(alice, name="other")
    assert [each["name"] for each in await shown(there, "/api/agents")][1:] == ["other"]
    confirmed = {"confirm": "KILL_ALL"}
    assert (await there.post("/api/agents/kill-all", json=confirmed)).json() == {"stopped": 2}
    assert [each["symbol"] for each in await shown(here, "/api/agents")] == ["ETH/USDT", "BTC/USDT"]
    assert (await here.delete(path)).status_code == 204
    for client in (here, there):
        assert (await client.get(path)).status_code == 404
        assert (await client.get(f"{path}/status")).status_code == 404
        assert [each["id"] for each in await shown(client, "/api/agents")] == [other["id"]]


async def test_nobody_asks_postgresql_again_for_what_stands(
    alice: Account, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await make(alice)
    path = f"/api/agents/{made['id']}"
    await shown(alice.http, "/api/agents")

    async def unexpected(*arguments: object, **more: object) -> None:
        raise DatabaseAway("nobody should ask")

    monkeypatch.setattr(agents, "get_agent", unexpected)
    monkeypatch.setattr(agents, "list_agents", unexpected)
    assert await shown(alice.http, path) == made
    assert await shown(alice.http, "/api/agents") == [made]
    assert (await alice.http.get(f"/api/agents/{uuid4()}")).status_code == 503


async def test_somebody_elses_agent_is_asked_for_like_none_at_all(
    alice: Account, bob: Account, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await make(alice)
    await shown(alice.http, f"/api/agents/{made['id']}")
    asked: list[UUID] = []
    get_agent = agents.get_agent

    async def noting(database: Any, user_id: UUID, agent_id: UUID) -> Any:
        asked.append(agent_id)
        return await get_agent(database, user_id, agent_id)

    monkeypatch.setattr(agents, "get_agent", noting)
    ids = [made["id"], str(uuid4())]
    refused = [await bob.http.get(f"/api/agents/{agent_id}") for agent_id in ids]
    assert [answer.status_code for answer in refused] == [404, 404]
    assert refused[0].content == refused[1].content
    assert [str(agent_id) for agent_id in asked] == ids
    await shown(alice.http, f"/api/agents/{made['id']}")  # and stays known to its owner
    assert len(asked) == 2


async def test_a_reading_that_a_change_overtakes_is_not_kept(
    alice: Account, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await make(alice)
    agent_id = UUID(made["id"])
    hub.directory._on_subscribed("")  # what is kept has to be read again
    get_agent, list_agents = agents.get_agent, agents.list_agents
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any, **more: Any) -> Any:
        found = await (list_agents if len(arguments) == 2 else get_agent)(*arguments, **more)
        reading.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(agents, "get_agent", slow)
    monkeypatch.setattr(agents, "list_agents", slow)
    one = asyncio.create_task(hub.directory.get(alice.user_id, agent_id))
    whole = asyncio.create_task(hub.directory.list_all(alice.user_id))
    await reading.wait()
    await asyncio.sleep(0)
    monkeypatch.undo()
    assert (await alice.http.patch(f"/api/agents/{agent_id}", json={"name": "new"})).is_success
    go_on.set()
    await asyncio.gather(one, whole)
    assert (await shown(alice.http, f"/api/agents/{agent_id}"))["name"] == "new"
    assert [each["name"] for each in await shown(alice.http, "/api/agents")] == ["new"]


async def test_a_change_that_another_hub_overtakes_is_not_kept(
    alice: Account, there: httpx.AsyncClient, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the transaction here and its telling, another hub commits and tells a newer one."""
    path = f"/api/agents/{(await make(alice))['id']}"
    changed = hub.directory.changed

    async def overtaken(told: Any) -> None:
        monkeypatch.undo()
        assert (await there.patch(path, json={"name": "newer"})).is_success
        await hub.broadcasts.caught_up()
        await changed(told)

    monkeypatch.setattr(hub.directory, "changed", overtaken)
    assert (await alice.http.patch(path, json={"name": "older"})).is_success
    for client in (alice.http, there):
        assert (await shown(client, path))["name"] == "newer"
        assert [each["name"] for each in await shown(client, "/api/agents")] == ["newer"]


async def test_what_nobody_told_of_is_found_in_time(
    alice: Account, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a hub dies between its transaction and the telling."""
    made = await make(alice)
    path = f"/api/agents/{made['id']}"

    async def rename(name: str) -> None:
        async with connection(hub.database) as con:
            await con.execute("UPDATE agents SET name = $1", name)

    async def names() -> tuple[str, str]:
        one, whole = await shown(alice.http, path), await shown(alice.http, "/api/agents")
        return one["name"], whole[0]["name"]

    before = (made["name"], made["name"])
    for _ in range(2):  # an agent that the pool has not met is read twice
        assert await names() == before
    await rename("moved")
    assert await names() == before
    await tell_moved(hub.state_redis)
    assert await names() == ("moved", "moved")
    await rename("old")
    monkeypatch.setattr(directory, "KEPT_S", 0.0)
    assert await names() == ("old", "old")


async def test_lists_that_are_kept_are_bounded(
    alice: Account, bob: Account, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "LISTED_MAX", 2)
    monkeypatch.setattr(directory, "KEPT_MAX", 2)
    for account, count in ((alice, 2), (bob, 1), (bob, 2)):
        await make(account, name=f"{count}")
        await account.http.get("/api/agents")
    assert hub.directory.kept <= 2
    assert hub.directory.listed <= 2
    await make(bob)  # a list of three is too long to be kept
    assert len(await shown(bob.http, "/api/agents")) == 3
    assert hub.directory.listed <= 2
