"""Two accounts attack each other: to everybody else an agent does not exist.

The endpoints are taken from the application itself, so that a new one is attacked, too.
"""

from uuid import UUID, uuid4

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from adapters.db import agents
from api.hub import Hub
from tests.api.conftest import Account
from tests.api.test_agents import make

BODIES = {"/stop": {"close_position": False}}


def calls(app: Starlette, prefix: str) -> list[tuple[str, str]]:
    """(method, path) of every call below a prefix."""
    return [
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route) and route.path.startswith(prefix)
        for method in sorted(route.methods or ())
    ]


def all_but_the_id(answer: httpx.Response) -> list[tuple[str, str]]:
    """The headers, without the one that is another for each request."""
    return sorted(pair for pair in answer.headers.items() if pair[0] != "x-request-id")


async def test_nobody_else_finds_an_agent(
    app: Starlette, hub: Hub, alice: Account, bob: Account
) -> None:
    made = await make(alice)
    mine = await make(bob)
    attacked = calls(app, "/api/agents/{agent_id}")
    assert len(attacked) >= 7
    for method, path in attacked:
        answers = []
        for agent_id in (made["id"], str(uuid4())):
            target = path.format(agent_id=agent_id)
            answers.append(await bob.http.request(method, target))
        theirs, missing = answers
        assert theirs.status_code == 404, (method, path)
        assert theirs.content == missing.content, (method, path)
        assert all_but_the_id(theirs) == all_but_the_id(missing)
    for query in ("", "?limit=1000", "?status=creating"):
        listed = (await bob.http.get(f"/api/agents{query}")).json()
        assert [agent["id"] for agent in listed] == [mine["id"]]
    unharmed = await agents.get_agent(hub.database, alice.user_id, UUID(made["id"]))
    assert unharmed is not None
    assert (unharmed.epoch, unharmed.wanted) == (1, "running")


async def test_a_cursor_of_somebody_else_shows_nothing_of_theirs(
    hub: Hub, alice: Account, bob: Account
) -> None:
    await make(alice)
    await make(alice)
    await make(bob)
    [first, _] = await agents.list_agents(hub.database, alice.user_id)
    listed = (await bob.http.get("/api/agents", params={"cursor": first.cursor})).json()
    assert len(listed) == 1


async def test_every_api_call_wants_a_credential(app: Starlette, http: httpx.AsyncClient) -> None:
    attacked = calls(app, "/api/")
    assert len(attacked) >= 12
    for method, path in attacked:
        answer = await http.request(method, path.format(agent_id=uuid4()))
        assert answer.status_code == 401, (method, path)
        with_body = await http.request(method, path.format(agent_id=uuid4()), content=b"[[[")
        assert with_body.status_code == 401, (method, path)


@pytest.mark.parametrize("secret", [None, "", "internal", "internal-" * 5, "é"])
async def test_every_internal_call_wants_the_secret(
    app: Starlette, alice: Account, secret: str | None
) -> None:
    made = await make(alice)
    attacked = calls(app, "/internal/")
    assert len(attacked) >= 7
    headers = httpx.Headers()
    if secret is not None:
        headers = httpx.Headers([(b"X-Internal-Secret", secret.encode())])
    for method, path in attacked:
        target = path.format(agent_id=made["id"])
        answer = await alice.http.request(method, target, headers=headers)
        assert answer.status_code == 403, (method, path)
