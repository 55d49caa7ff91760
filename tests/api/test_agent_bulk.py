"""POST /api/agents/bulk: many at once, each as if it had come alone."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from adapters import redis_keys as keys
from adapters.db import agents, repeatable
from adapters.redis_client import command
from adapters.shard_records import decode_inbox
from api import agent_bulk
from api.hub import Hub
from engine.commands import decode_command
from tests.api.conftest import Account
from tests.api.test_agents import CREATE, inbox, make

BAD: dict[str, Any] = {"symbol": "XXX", "strategy_name": "momentum_breakout", "interval_seconds": 0}


async def bulk(account: Account, bodies: Any, key: str | None = None) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await account.http.post("/api/agents/bulk", json={"agents": bodies}, headers=headers)


async def test_each_is_answered_as_it_is_alone(hub: Hub, alice: Account) -> None:
    bodies = [
        CREATE | {"name": "one"},
        BAD,
        5,
        CREATE | {"live_mode": True},
        CREATE | {"name": "2"},
    ]
    answer = (await bulk(alice, bodies)).json()
    assert (answer["created"], answer["refused"]) == (2, 3)
    results = answer["results"]
    assert [each["index"] for each in results] == list(range(5))
    assert [each["status"] for each in results] == [201, 422, 422, 409, 201]
    for body, told in zip(bodies[1:4], results[1:4], strict=True):
        alone = await alice.http.post("/api/agents", json=body)
        assert (alone.status_code, alone.json()) == (told["status"], told["problem"])
    listed = (await alice.http.get("/api/agents")).json()
    assert listed == [results[0]["agent"], results[4]["agent"]]
    for made in listed:
        assert {each.agent_id for each in await inbox(hub, made["id"])} == {UUID(made["id"]).bytes}


async def test_a_thousand_are_commands_in_few_shards(hub: Hub, alice: Account) -> None:
    answer = await bulk(alice, [CREATE | {"name": f"n{i}"} for i in range(1000)])
    assert answer.json()["created"] == 1000
    names = [each["name"] for each in (await alice.http.get("/api/agents")).json()]
    assert sorted(names) == sorted(f"n{i}" for i in range(1000))
    told: dict[int, set[bytes]] = {}
    for shard in await hub.shards.open_shards():
        waiting = await command(hub.state_redis, "LRANGE", keys.shard_inbox(shard), 0, -1)
        told[shard] = {decode_command(each.payload).agent_id for each in decode_inbox(waiting)}
    assert sum(len(each) for each in told.values()) == 1000
    assert 1 <= len(told) <= 16


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"agents": []}, 422),
        ({"agents": {}}, 422),
        ({}, 422),
        ([CREATE], 422),
        ({"agents": [CREATE], "atomic": True}, 422),
        ({"agents": [0] * 10_001}, 422),
    ],
)
async def test_what_is_no_list_of_agents_makes_none(
    hub: Hub, alice: Account, body: Any, status: int
) -> None:
    answer = await alice.http.post("/api/agents/bulk", json=body)
    assert answer.status_code == status
    assert await agents.count(hub.database) == 0


async def test_a_body_has_an_end(alice: Account) -> None:
    long = b'{"agents": [' + b" " * agent_bulk.BULK_BYTES_MAX + b"]}"
    headers = {"Content-Type": "application/json"}
    answer = await alice.http.post("/api/agents/bulk", content=long, headers=headers)
    assert answer.status_code == 413
    assert str(agent_bulk.BULK_BYTES_MAX) in answer.json()["detail"]


async def test_the_same_request_makes_nothing_twice(hub: Hub, alice: Account) -> None:
    bodies = [CREATE, BAD, CREATE]
    first, second = await asyncio.gather(bulk(alice, bodies, "k"), bulk(alice, bodies, "k"))
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert await agents.count(hub.database) == 2
    assert (await bulk(alice, bodies[1:], "k")).status_code == 422
    assert (
        await alice.http.post("/api/agents", json=CREATE, headers={"Idempotency-Key": "k"})
    ).status_code == 422
    assert await agents.count(hub.database) == 2


async def test_a_request_that_broke_off_is_finished_by_its_repetition(
    hub: Hub, alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that dies between parts, and one that dies before it has told the pool."""
    monkeypatch.setattr(agent_bulk, "PART", 2)
    bodies = [CREATE | {"name": f"n{i}"} for i in range(5)]
    once = repeatable.create_part_once

    async def dies_in_the_second(*asked: Any) -> Any:
        if asked[2] == 1:
            raise ConnectionError("PostgreSQL is gone")
        return await once(*asked)

    with monkeypatch.context() as broken:
        broken.setattr(agent_bulk, "send_commands", lambda *_: asyncio.sleep(0))
        broken.setattr(repeatable, "create_part_once", dies_in_the_second)
        answer = (await bulk(alice, bodies, "k")).json()
    assert [each["status"] for each in answer["results"]] == [201, 201, 503, 503, 201]
    made = [each["agent"]["id"] for each in answer["results"] if each["status"] == 201]
    assert all([not await inbox(hub, each) for each in made])
    again = (await bulk(alice, bodies, "k")).json()
    assert again["created"] == 5
    assert [again["results"][i] for i in (0, 1, 4)] == [answer["results"][i] for i in (0, 1, 4)]
    assert await agents.count(hub.database) == 5
    assert all([await inbox(hub, each["agent"]["id"]) for each in again["results"]])


async def test_all_are_started_and_stopped(hub: Hub, alice: Account, bob: Account) -> None:
    theirs = await make(bob)
    ids = [(await make(alice, auto_start=i % 2 == 0))["id"] for i in range(4)]

    async def wanted() -> list[tuple[str, bool, int]]:
        found = await agents.list_agents(hub.database, alice.user_id)
        return [(each.wanted, each.close_position, each.epoch) for each in found]

    assert (await alice.http.post("/api/agents/start-all")).json() == {"started": 2}
    assert [each[0] for each in await wanted()] == ["running"] * 4
    assert (await alice.http.post("/api/agents/start-all", json={})).json() == {"started": 0}
    stopped = await alice.http.post("/api/agents/stop-all", json={"close_position": False})
    assert stopped.json() == {"stopped": 4}
    assert [each[:2] for each in await wanted()] == [("stopped", False)] * 4
    assert (await alice.http.post("/api/agents/stop-all")).json() == {"stopped": 4}
    assert [each[:2] for each in await wanted()] == [("stopped", True)] * 4
    for agent_id in ids:
        sent = await inbox(hub, agent_id)
        assert sent[-1].epoch == max(each.epoch for each in sent)
        assert (int(sent[-1].wanted), sent[-1].close_position) == (2, True)
    unharmed = await agents.list_agents(hub.database, bob.user_id)
    assert [(str(each.id), each.epoch) for each in unharmed] == [(theirs["id"], 1)]
    assert (await alice.http.post("/api/agents/start-all", json={"x": 1})).status_code == 422


async def test_calls_about_many_agents_take_turns(hub: Hub, alice: Account, bob: Account) -> None:
    """Of one user, a few; somebody else is not kept waiting by them."""
    async with hub.turns.of(alice.user_id):
        waiting = [asyncio.create_task(bulk(alice, [CREATE])) for _ in range(3)]
        await asyncio.sleep(0)
        while len(hub.turns) and hub.turns._turns[alice.user_id].calls < 4:
            await asyncio.sleep(0)
        refused = await alice.http.post("/api/agents/stop-all")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert (await bulk(bob, [CREATE])).status_code == 200
        assert not any(each.done() for each in waiting)
    assert [(await each).status_code for each in waiting] == [200] * 3
    assert len(hub.turns) == 0


async def test_a_quota_ends_a_list(hub: Hub, alice: Account) -> None:
    hub.settings = replace(hub.settings, agents_per_user=3)
    answer = (await bulk(alice, [CREATE, BAD, CREATE, CREATE, CREATE])).json()
    assert [each["status"] for each in answer["results"]] == [201, 422, 201, 201, 409]
    assert "3 agents" in answer["results"][4]["problem"]["detail"]
