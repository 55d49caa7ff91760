"""Two accounts attack each other: to everybody else an agent does not exist.

Whoever adds a call with an id to the hub adds it to the attack, or a test fails.
"""

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from adapters.db import agents
from api.app import HubApp
from api.hub import Hub
from api.websocket_protocol import Follow
from tests.api.conftest import Account
from tests.api.test_agents import make

AGENT = "/api/agents/{agent_id}"
ATTACKS: Mapping[tuple[str, str], tuple[Any, ...]] = {
    ("GET", AGENT): (),
    ("PATCH", AGENT): ({"name": "mine now"}, {"symbol": "ETH"}, {"live_mode": True}, {"x": 1}),
    ("DELETE", AGENT): (),
    ("PUT", f"{AGENT}/plan"): ({"strategy": "breakout"}, {"strategy": 1}),
    ("POST", f"{AGENT}/start"): ({}, {"x": 1}),
    ("POST", f"{AGENT}/stop"): ({"close_position": False}, {"close_position": 1}),
    ("GET", f"{AGENT}/status"): (),
    ("GET", f"{AGENT}/logs"): (),
    ("GET", f"{AGENT}/trades"): (),
    ("GET", f"{AGENT}/metrics"): (),
    ("PUT", f"{AGENT}/halt"): ({"state": "halted"}, {"state": 1}),
}
"""Every call of an account that takes an id, with the bodies that are tried beside none."""
NAMED = {("DELETE", "/api/secrets/{key_name}")}
"""Calls that take a name among the caller's own; test_secrets.py attacks them."""
OPERATED = {("PUT", "/api/users/{user_id}/halt"), ("PUT", "/api/users/{user_id}/quotas")}
"""Calls of operators, who see every account; to others all accounts are 403 alike."""
QUERIES = ("", "?limit=1", "?limit=0", "?level=start", "?cursor=1", "?x=1")
TRIES, TRIES_MAX = 10, 300


def calls(app: Starlette, prefix: str) -> list[tuple[str, str]]:
    """(method, path) of every call below a prefix; what has GET is served with HEAD, too."""
    assert isinstance(app, HubApp)
    below = [call for call in app.paths.calls if call.path.startswith(prefix)]
    assert below
    heads = [("HEAD", call.path) for call in below if call.method == "GET"]
    return heads + [(call.method, call.path) for call in below]


def test_every_call_with_an_id_is_attacked(app: Starlette) -> None:
    with_id = {(method, path) for method, path in calls(app, "") if "{" in path}
    internal = {call for call in with_id if call[1].startswith("/internal/")}
    assert {call for call in with_id - internal if call[0] != "HEAD"} == set(
        ATTACKS
    ) | NAMED | OPERATED
    sockets = [route.path for route in app.routes if isinstance(route, WebSocketRoute)]
    assert sockets == ["/ws"]  # its attack is in test_live.py
    assert set(Follow.__struct_fields__) == {"token", "agents", "since"}


def all_but_the_id(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """The whole answer, without the header that is another for each request."""
    headers = sorted(pair for pair in answer.headers.items() if pair[0] != "x-request-id")
    return answer.status_code, answer.content, headers


async def test_nobody_else_finds_an_agent(hub: Hub, alice: Account, bob: Account) -> None:
    theirs = [(await make(alice))["id"], (await make(alice, auto_start=False))["id"]]
    mine = await make(bob)
    key = (await bob.http.post("/api/keys")).json()["api_key"]
    credentials: tuple[dict[str, str], ...] = ({}, {"Authorization": "", "X-API-Key": key})
    for (method, path), bodies in ATTACKS.items():
        for headers, body in [*((each, None) for each in credentials), *(({}, b) for b in bodies)]:
            for query in QUERIES if method == "GET" else ("",):
                told = [
                    all_but_the_id(
                        await bob.http.request(
                            method, path.format(agent_id=each) + query, json=body, headers=headers
                        )
                    )
                    for each in (*theirs, str(uuid4()))
                ]
                assert told[0] == told[1] == told[2], (method, path, query, body)
                assert told[0][0] in (404, 422), (method, path, query, body)
                assert told[0][0] == 404 or query, (method, path, body)
    for query in ("", "?limit=1000", "?status=creating"):
        listed = await bob.http.get(f"/api/agents{query}")
        assert [agent["id"] for agent in listed.json()] == [mine["id"]]
        assert "link" not in listed.headers
    killed = await bob.http.post("/api/agents/kill-all", json={"confirm": "KILL_ALL"})
    assert killed.json() == {"stopped": 1}
    for agent_id, wanted in zip(theirs, ("running", "stopped"), strict=True):
        unharmed = await agents.get_agent(hub.database, alice.user_id, UUID(agent_id))
        assert unharmed is not None
        assert (unharmed.epoch, unharmed.wanted) == (1, wanted)


async def test_what_operators_do_to_accounts_nobody_else_does(alice: Account, bob: Account) -> None:
    for method, path in OPERATED:
        for body in (None, {}, {"state": "halted"}, {"state": 1}, {"x": 1}):
            told = [
                all_but_the_id(await bob.http.request(method, path.format(user_id=each), json=body))
                for each in (alice.user_id, bob.user_id, uuid4(), "x")
            ]
            assert told[0][0] == 403
            assert all(each == told[0] for each in told)


async def test_no_time_tells_of_an_agent(alice: Account, bob: Account) -> None:
    """By the fastest of interleaved tries, which load can only slow down; the more, the nearer."""
    theirs = (await make(alice))["id"]
    assert (await alice.http.get(f"/api/agents/{theirs}/status")).status_code == 200
    for (method, path), bodies in ATTACKS.items():
        fastest = [9.0, 9.0]
        for tried in range(TRIES_MAX):
            for i, agent_id in enumerate((theirs, str(uuid4()))):
                target = path.format(agent_id=agent_id)
                began = time.perf_counter()
                await bob.http.request(method, target, json=bodies[0] if bodies else None)
                fastest[i] = min(fastest[i], time.perf_counter() - began)
            if tried >= TRIES and 0.7 < fastest[0] / fastest[1] < 1.4:
                break
        assert 0.7 < fastest[0] / fastest[1] < 1.4, (method, path, fastest)


async def test_a_stranger_makes_the_hub_forget_nothing(
    hub: Hub, alice: Account, bob: Account
) -> None:
    """What is remembered of an agent serves its owner while PostgreSQL is away."""
    made = UUID((await make(alice))["id"])
    assert (await alice.http.get(f"/api/agents/{made}/status")).status_code == 200
    assert (await bob.http.get(f"/api/agents/{made}/status")).status_code == 404
    assert made in hub.directory._kept
    assert (await alice.http.delete(f"/api/agents/{made}")).status_code == 204
    assert made not in hub.directory._kept


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
        target = path.format(agent_id=uuid4(), key_name="TWELVE_DATA_API_KEY", user_id=uuid4())
        answer = await http.request(method, target)
        assert answer.status_code == 401, (method, path)
        with_body = await http.request(method, target, content=b"[[[")
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
        target = path.format(agent_id=made["id"], outside_id=made["id"])
        answer = await alice.http.request(method, target, headers=headers)
        assert answer.status_code == 403, (method, path)
