"""Halts through the API: who may set what, and what everybody is shown of it."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from adapters import redis_keys as keys
from adapters.redis_client import command
from adapters.shard_records import decode_inbox
from api.hub import Hub
from engine.commands import decode_command
from engine.rows import Halt
from tests.api.conftest import Account
from tests.api.test_agents import make

HALTED = {"state": "halted", "why": "a test"}


@pytest.fixture
def operator(alice: Account) -> Account:
    """The first account of an installation."""
    return alice


async def put(http: httpx.AsyncClient, path: str, body: Any = HALTED) -> httpx.Response:
    return await http.put(path, json=body)


async def last_command(hub: Hub, agent_id: str) -> Any:
    """The newest command for an agent, in whichever inbox."""
    found = []
    for shard in await hub.shards.open_shards():
        waiting = await command(hub.state_redis, "LRANGE", keys.shard_inbox(shard), 0, -1)
        found += [decode_command(entry.payload) for entry in decode_inbox(waiting)]
    mine = [each for each in found if each.agent_id.hex() == agent_id.replace("-", "")]
    return max(mine, key=lambda each: each.epoch)


async def shown(account: Account, agent_id: str) -> set[str]:
    """Everywhere that an agent is shown."""
    agent = (await account.http.get(f"/api/agents/{agent_id}")).json()
    status = (await account.http.get(f"/api/agents/{agent_id}/status")).json()
    listed = (await account.http.get("/api/agents")).json()
    paged = (await account.http.get("/api/agents?limit=100")).json()
    mine = [each for each in (*listed, *paged) if each["id"] == agent_id]
    assert len(mine) == 2
    return {each["halt"] for each in (agent, status, *mine)}


async def test_an_owner_holds_back_an_agent_and_lets_it_go_on(
    hub: Hub, operator: Account, bob: Account
) -> None:
    made = await make(bob)
    assert made["halt"] == "active"
    answer = await put(bob.http, f"/api/agents/{made['id']}/halt", {"state": "reducing"})
    assert (answer.status_code, answer.json()["halt"]) == (200, "reducing")
    assert await shown(bob, made["id"]) == {"reducing"}
    sent = await last_command(hub, made["id"])
    assert (sent.halt, sent.asked_epoch, sent.epoch) == (Halt.REDUCING, 1, 2)
    edited = await bob.http.patch(f"/api/agents/{made['id']}", json={"name": "other"})
    assert edited.json()["halt"] == "reducing", "an edit lifts nothing"
    answer = await put(bob.http, f"/api/agents/{made['id']}/halt", {"state": "active"})
    assert answer.json()["halt"] == "active"
    assert await shown(bob, made["id"]) == {"active"}


async def test_an_operator_holds_back_anybody_and_only_operators_lift_it(
    operator: Account, bob: Account
) -> None:
    made = await make(bob)
    path = f"/api/agents/{made['id']}/halt"
    assert (await put(operator.http, path)).json()["halt"] == "halted"
    assert (await put(bob.http, path, {"state": "active"})).json()["halt"] == "halted"
    assert (await put(operator.http, path, {"state": "active"})).json()["halt"] == "active"
    path = f"/api/users/{bob.user_id}/halt"
    assert (await put(operator.http, path)).json() == {"state": "halted", "agents": 1}
    assert await shown(bob, made["id"]) == {"halted"}
    assert (await put(bob.http, "/api/me/halt", {"state": "active"})).json()["state"] == "halted"
    later = await make(bob)
    assert later["halt"] == "halted", "agents to come are held back, too"
    lifted = await put(operator.http, path, {"state": "active"})
    assert lifted.json() == {"state": "active", "agents": 2}
    assert await shown(bob, made["id"]) == {"active"}
    for user_id in (uuid4(), "x"):
        assert (await put(operator.http, f"/api/users/{user_id}/halt")).status_code == 404


async def test_an_account_holds_itself_back_and_nobody_else(
    hub: Hub, operator: Account, bob: Account
) -> None:
    mine, theirs = await make(bob), await make(operator)
    assert (await put(bob.http, "/api/me/halt")).json() == {"state": "halted", "agents": 1}
    assert await shown(bob, mine["id"]) == {"halted"}
    assert (await last_command(hub, mine["id"])).halt == Halt.HALTED
    assert await shown(operator, theirs["id"]) == {"active"}
    for path in (f"/api/users/{operator.user_id}/halt", f"/api/users/{uuid4()}/halt", "/api/halt"):
        refused = await put(bob.http, path)
        assert (refused.status_code, refused.json()["detail"]) == (403, "this is for operators")


async def test_the_fleet_is_held_back_by_its_shards(
    hub: Hub, operator: Account, bob: Account
) -> None:
    made = await make(bob)
    before = await last_command(hub, made["id"])
    assert await shown(bob, made["id"]) == {"active"}
    assert (await put(operator.http, "/api/halt")).json() == {"state": "halted"}
    assert (await bob.http.get("/api/halt")).json() == {"state": "halted"}
    assert await shown(bob, made["id"]) == {"halted"}
    [shard] = await hub.shards.open_shards()
    head = await hub.shards.read_head(shard)
    assert head is not None and head.halts[-1].halt == Halt.HALTED
    assert await last_command(hub, made["id"]) == before, "no agent is told"
    assert (await put(operator.http, "/api/halt", {"state": "active"})).status_code == 200
    assert await shown(bob, made["id"]) == {"active"}
    head = await hub.shards.read_head(shard)
    assert head is not None
    assert [each.halt for each in head.halts] == [Halt.HALTED, Halt.ACTIVE]


async def test_who_and_why_is_kept_for_those_it_concerns(operator: Account, bob: Account) -> None:
    made = await make(bob)
    await put(bob.http, f"/api/agents/{made['id']}/halt", {"state": "reducing"})
    await put(operator.http, "/api/me/halt", {"state": "reducing", "why": "my own affair"})
    await put(operator.http, "/api/halt")
    mine = (await bob.http.get("/api/halt/changes")).json()["changes"]
    assert [each["scope"] for each in mine] == ["fleet", "agent"]
    assert mine[0] | {"at": ""} == {
        "at": "",
        "scope": "fleet",
        "agent_id": None,
        "user_id": None,
        "state": "halted",
        "made_by": str(operator.user_id),
        "as_operator": True,
        "why": "a test",
    }
    every = (await operator.http.get("/api/halt/changes?limit=2")).json()["changes"]
    assert [each["scope"] for each in every] == ["fleet", "account"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["state"]),
        ({"state": "HALTED"}, ["state"]),
        ({"state": "halted", "why": ""}, ["why"]),
        ({"state": "halted", "why": "a\nb"}, ["why"]),
        ({"state": "halted", "until": 5}, ["until"]),
        ([], ["body"]),
    ],
)
async def test_a_bad_halt_is_refused_everywhere(
    operator: Account, body: Any, fields: list[str]
) -> None:
    made = await make(operator)
    for path in (f"/api/agents/{made['id']}/halt", "/api/me/halt", "/api/halt"):
        refused = await put(operator.http, path, body)
        assert refused.status_code == 422
        assert [error["field"] for error in refused.json()["errors"]] == fields
    assert (await operator.http.get("/api/halt/changes")).json() == {"changes": []}


async def test_a_pool_that_is_being_upgraded_holds_nobody_back(
    hub: Hub, operator: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    object.__setattr__(hub.settings, "row_schema", 1)
    assert (await put(operator.http, "/api/halt")).status_code == 409
    assert (await put(operator.http, "/api/halt", {"state": "active"})).status_code == 200
