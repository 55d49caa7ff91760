"""POST /api/agents with an Idempotency-Key: one request is one agent, whatever happens."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from adapters.db import agents, repeatable
from adapters.db.agents import Agent
from adapters.db.connection import connection
from api import commands
from api.hub import Hub
from tests.api.conftest import Account
from tests.api.test_agents import CREATE, inbox

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


async def create(account: Account, body: Any = CREATE, key: dict[str, str] = KEY) -> Any:
    return await account.http.post("/api/agents", json=body, headers=key)


async def test_the_same_request_has_the_same_answer(alice: Account, hub: Hub) -> None:
    first = await create(alice)
    assert first.status_code == 201
    path = f"/api/agents/{first.json()['id']}"
    await alice.http.patch(path, json={"name": "edited since"})
    again = await create(alice, dict(reversed(CREATE.items())))
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["location"] == first.headers["location"] == path
    assert await agents.count(hub.database) == 1
    await alice.http.delete(path)
    assert (await create(alice)).content == first.content
    assert await agents.count(hub.database) == 0


async def test_another_body_is_refused(alice: Account, hub: Hub) -> None:
    await create(alice)
    other = await create(alice, CREATE | {"interval_seconds": 2})
    assert other.status_code == 422
    assert other.json()["errors"] == [
        {
            "field": "Idempotency-Key",
            "message": "was used with another body in the last 24 hours",
        }
    ]
    assert await agents.count(hub.database) == 1


async def test_keys_belong_to_their_accounts(alice: Account, bob: Account, hub: Hub) -> None:
    mine, theirs = await create(alice), await create(bob, CREATE | {"interval_seconds": 7})
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["id"] != theirs.json()["id"]
    assert await agents.count(hub.database) == 2


async def test_at_the_same_time_there_is_one_agent(alice: Account, hub: Hub) -> None:
    answers = await asyncio.gather(*(create(alice) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert await agents.count(hub.database) == 1


async def test_a_hub_that_dies_before_it_answers(
    alice: Account, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in PostgreSQL is answered, and the command that was never sent is sent."""

    async def die(_: Hub, agent: Agent) -> None:
        raise RuntimeError(f"killed before the command of {agent.id}")

    with monkeypatch.context() as broken:
        broken.setattr(commands, "send_command", die)
        assert (await create(alice)).status_code == 500
    [made] = await agents.list_agents(hub.database, alice.user_id)
    assert await inbox(hub, str(made.id)) == []
    answer = await create(alice)
    assert (answer.status_code, UUID(answer.json()["id"])) == (201, made.id)
    assert {sent.epoch for sent in await inbox(hub, str(made.id))} == {1}
    assert await agents.count(hub.database) == 1


async def test_a_key_is_new_again_after_a_day(alice: Account, hub: Hub) -> None:
    first = await create(alice)
    async with connection(hub.database) as con:
        await con.execute("UPDATE repeatable_requests SET at = at - interval '24 hours'")
        now = await con.fetchval("SELECT now()")
    second = await create(alice, CREATE | {"interval_seconds": 3})
    assert second.status_code == 201
    assert second.json()["id"] != first.json()["id"]
    assert await repeatable.prune_requests(hub.database, now - repeatable.KEPT) == 0
    assert await repeatable.prune_requests(hub.database, now + timedelta(minutes=1)) == 1


async def test_a_refused_request_leaves_its_key_free(alice: Account) -> None:
    assert (await create(alice, {"symbol": "BTC"})).status_code == 422
    assert (await create(alice)).status_code == 201


@pytest.mark.parametrize("key", ["", "with space", "x" * 256, "café"])
async def test_bad_keys(alice: Account, key: str) -> None:
    answer = await alice.http.post(
        "/api/agents", json=CREATE, headers=[(b"Idempotency-Key", key.encode())]
    )
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["Idempotency-Key"]
