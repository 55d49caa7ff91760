"""Quotas of accounts: set by operators, enforced for calls at the same time and for two hubs."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from adapters.db import agents, creation, plans, quotas
from adapters.db.agents import NewAgent
from adapters.db.connection import Database
from adapters.db.errors import TooManyAgents
from adapters.db.quotas import Quotas
from adapters.settings import Settings
from api.app import create_app
from api.hub import Hub
from tests.api.conftest import Account
from tests.api.test_agents import CREATE
from tests.conftest import wait_for


@pytest.fixture
def operator(alice: Account) -> Account:
    """The first account of an installation."""
    return alice


@pytest.fixture
async def elsewhere(settings: Settings, bob: Account) -> AsyncIterator[httpx.AsyncClient]:
    """Bob at another hub over the same servers."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        await app.state.hub.clock.measure()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        own = {"Authorization": f"Bearer {bob.token}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://other", headers=own
        ) as client:
            yield client


async def give(operator: Account, account: Account, **wanted: Any) -> dict[str, Any]:
    answer = await operator.http.put(f"/api/users/{account.user_id}/quotas", json=wanted)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def create(http: httpx.AsyncClient, **changes: Any) -> httpx.Response:
    return await http.post("/api/agents", json=CREATE | changes)


async def test_an_operator_sets_what_an_account_may_have(operator: Account, bob: Account) -> None:
    default = {"requests_per_minute": 6000, "plans": 2000, "agents": 10_000}
    assert (await bob.http.get("/api/me")).json()["quotas"] == default
    told = await give(operator, bob, agents=2, plans=0)
    assert told["quotas"] == default | {"agents": 2, "plans": None}
    assert (await bob.http.get("/api/me")).json()["quotas"] == told["quotas"]
    assert (await operator.http.get("/api/me")).json()["quotas"] == default
    assert (await create(bob.http)).status_code == 201
    listed = (await operator.http.get("/api/users", params={"email": bob.email})).json()
    assert listed == {"users": [told | {"agents": 1, "plans": 1}], "next": None}
    assert (await give(operator, bob))["quotas"] == default
    page = (await operator.http.get("/api/users?limit=1")).json()
    rest = (await operator.http.get("/api/users", params={"after": page["next"]})).json()
    ids = {each["id"] for each in page["users"] + rest["users"]}
    assert (ids, rest["next"]) == ({str(operator.user_id), str(bob.user_id)}, None)


async def test_only_operators_see_accounts_and_set_quotas(operator: Account, bob: Account) -> None:
    for path in ("/api/users", "/api/users?email=alice@example.com", "/api/users?x=1"):
        assert (await bob.http.get(path)).status_code == 403
    for user_id in (bob.user_id, operator.user_id, uuid4()):
        answer = await bob.http.put(f"/api/users/{user_id}/quotas", json={"agents": 0})
        assert answer.status_code == 403
    for nobody in (str(uuid4()), "x"):
        answer = await operator.http.put(f"/api/users/{nobody}/quotas", json={})
        assert answer.status_code == 404
    bad = {"agents": -1, "plans": 1.5, "requests_per_minute": "5", "sockets": 1}
    answer = await operator.http.put(f"/api/users/{bob.user_id}/quotas", json=bad)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == list(bad)


async def test_at_the_same_time_at_two_hubs_there_are_no_more_agents(
    hub: Hub, operator: Account, bob: Account, elsewhere: httpx.AsyncClient
) -> None:
    await give(operator, bob, agents=5)
    key = {"Idempotency-Key": "k"}
    calls = [create(http) for http in (bob.http, elsewhere) for _ in range(4)]
    calls += [http.post("/api/agents", json=CREATE, headers=key) for http in (bob.http, elsewhere)]
    bulk = {"agents": [CREATE] * 4}
    many = [http.post("/api/agents/bulk", json=bulk) for http in (bob.http, elsewhere)]
    answers = await asyncio.gather(*calls, *many)
    alone = Counter(each.status_code for each in answers[:-2])
    made = sum(each.json()["created"] for each in answers[-2:])
    assert set(alone) <= {201, 409}
    assert await agents.count(hub.database, bob.user_id) == 5
    assert alone[201] + made in (5, 6)  # both with the key may have been told of one
    refused = await create(bob.http)
    assert refused.status_code == 409
    assert "its 5 agents" in refused.json()["detail"]
    assert (await create(operator.http)).status_code == 201
    first = (await bob.http.get("/api/agents")).json()[0]
    await give(operator, bob, agents=3)
    assert (await bob.http.get(f"/api/agents/{first['id']}")).status_code == 200
    await give(operator, bob, agents=0)
    assert (await create(bob.http)).status_code == 201


async def test_who_has_too_many_holds_up_nobody_else(
    hub: Hub, operator: Account, bob: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of agents that are made together those of others stay together when bob's are refused."""
    await give(operator, bob, agents=1)
    assert (await create(bob.http)).status_code == 201
    first = (await create(operator.http)).json()
    agent = await agents.get_agent(hub.database, operator.user_id, UUID(first["id"]))
    assert agent is not None
    wanted = {name: getattr(agent, name) for name in NewAgent.__slots__ if name != "id"}
    owners = [operator.user_id] * 5 + [bob.user_id] * 5
    new = [NewAgent(**wanted | {"user_id": owner}) for owner in owners]
    pieces: list[int] = []
    create_agents = creation.create_agents

    async def counted(
        database: Database, asked: Sequence[NewAgent], quota: int
    ) -> list[agents.Agent]:
        pieces.append(len(asked))
        return await create_agents(database, asked, quota)

    monkeypatch.setattr(creation, "create_agents", counted)
    plan = (await plans.plans_of(hub.database, [agent.plan_id]))[agent.plan_id]
    first_piece = asyncio.create_task(hub.desk.create(new[0], plan))
    await asyncio.sleep(0)
    asked = [hub.desk.create(each, plan) for each in new[1:]]
    made = await asyncio.gather(first_piece, *asked, return_exceptions=True)
    assert [type(each) for each in made] == [agents.Agent] * 5 + [TooManyAgents] * 5
    assert pieces == [1, 9, 4, 5, 1, 1, 1, 1, 1]


async def test_plans_are_counted_by_the_account_s_own_quota(
    operator: Account, bob: Account, elsewhere: httpx.AsyncClient
) -> None:
    await give(operator, bob, plans=2)
    params = [{"strategy_params": {"lookback": 20 + i}} for i in range(6)]
    answers = await asyncio.gather(
        *(create(http, **each) for each in params for http in (bob.http, elsewhere))
    )
    assert Counter(each.status_code for each in answers) == {201: 4, 409: 8}
    [told] = {each.json()["detail"] for each in answers if each.status_code == 409}
    assert "its 2 different plans" in told
    assert (await create(operator.http, **params[5])).status_code == 201


async def test_requests_are_counted_by_the_account_s_own_quota(
    hub: Hub, operator: Account, bob: Account
) -> None:
    await give(operator, bob, requests_per_minute=2)
    who = str(bob.user_id)
    await wait_for(lambda: hub.requests.per_minute_of(who) == 2, seconds=5)
    statuses = [(await bob.http.get("/api/me")).status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    refused = await bob.http.get("/api/me")
    assert "more than 2 a minute" in refused.json()["detail"]
    assert (await operator.http.get("/api/me")).status_code == 200
    await give(operator, bob, requests_per_minute=0)
    await wait_for(lambda: hub.requests.per_minute_of(who) == 0, seconds=5)
    assert (await bob.http.get("/api/me")).json()["quotas"]["requests_per_minute"] is None


async def test_a_quota_of_nobody_is_none(hub: Hub) -> None:
    assert await quotas.quotas_of(hub.database, uuid4()) is None
    assert not await quotas.set_quotas(hub.database, uuid4(), Quotas(agents=1))
