"""Agents of other hubs: who may bring them, which hubs may be told of them, and what the pool's
secret opens.
"""

import asyncio
import logging
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from adapters.db import callbacks
from adapters.db.connection import connection
from adapters.redis_client import command
from adapters.settings import Settings, SettingsError, load_settings
from api.hub import Hub
from tests.api.conftest import Account

OLD_HUB = "http://127.0.0.1:1"
POOL = {"X-Internal-Secret": "pool-" * 4}
OLD_SECRET = "a-secret-nobody-else-may-see"
BODY = {"hub_url": OLD_HUB, "internal_secret": OLD_SECRET, "symbol": "BTC/USDT"}
AGENT = {"symbol": "BTC/USDT", "strategy_name": "momentum_breakout"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Alice owns the agents of other hubs."""
    return replace(
        settings,
        pool_secret=POOL["X-Internal-Secret"],
        shim_owner="Alice@Example.com",
        callback_hubs=f"http://elsewhere:9000,{OLD_HUB}",
    )


async def hosted(http: httpx.AsyncClient, outside: str, **changes: Any) -> httpx.Response:
    """What a container of another hub says first."""
    return await http.put(f"/internal/hosted/{outside}", json=BODY | changes, headers=POOL)


async def test_one_agent_for_one_of_another_hub(http: httpx.AsyncClient, alice: Account) -> None:
    outside = str(uuid4())
    answers = await asyncio.gather(*(hosted(http, outside) for _ in range(4)))
    ids = {answer.json()["agent_id"] for answer in answers}
    assert [answer.status_code for answer in answers] == [200] * 4 and len(ids) == 1
    agents = (await alice.http.get("/api/agents")).json()
    assert [agent["id"] for agent in agents] == list(ids)
    assert (await hosted(http, outside, hub_url="http://elsewhere:9000/")).json()[
        "agent_id"
    ] not in ids, "the same id at another hub is another agent"
    assert outside not in ids


@pytest.mark.parametrize(
    "hub_url",
    [
        "http://169.254.169.254", "http://127.0.0.1:2", "http://127.0.0.1:1@evil:80",
        "http://127.0.0.1:1/internal", "https://127.0.0.1:1", "http://localhost:1",
        "file:///etc/passwd", "http://127.0.0.1:1?x", "",
    ],
)  # fmt: skip
async def test_no_hub_is_told_anything_that_the_operator_has_not_named(
    http: httpx.AsyncClient, alice: Account, hub_url: str
) -> None:
    refused = await hosted(http, str(uuid4()), hub_url=hub_url)
    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == ["hub_url"]
    assert (await alice.http.get("/api/agents")).json() == []


async def test_what_the_pools_secret_opens(
    hub: Hub, http: httpx.AsyncClient, alice: Account, bob: Account
) -> None:
    own = (await hosted(http, str(uuid4()))).json()["agent_id"]
    others = (await bob.http.post("/api/agents", json=AGENT)).json()["id"]

    async def asked(agent_id: str, call: str = "endpoint/health") -> int:
        path = f"/internal/agents/{agent_id}/{call}"
        return (await http.get(path, headers=POOL)).status_code

    assert (await asked(own), await asked(others)) == (200, 404)
    assert (await http.post(f"/internal/agents/{others}/endpoint/stop", headers=POOL)).status_code
    for path, body in (
        (f"/internal/agents/{own}/status", {"running": True}),
        ("/internal/trades", {"agent_id": own, "side": "long", "entry_price": 1}),
        ("/internal/logs", {"agent_id": own, "entries": []}),
    ):
        assert (await http.post(path, json=body, headers=POOL)).status_code == 403, path
    for header in ({}, {"X-Internal-Secret": ""}, {"X-Internal-Secret": "pool-"}):
        answer = await http.put(f"/internal/hosted/{uuid4()}", json=BODY, headers=header)
        assert answer.status_code == 403


async def test_without_an_owner_none_is_taken(http: httpx.AsyncClient) -> None:
    refused = await hosted(http, str(uuid4()))
    assert refused.status_code == 409
    assert "ARTIC_SHIM_OWNER" in refused.json()["detail"]


async def test_the_other_hubs_secret_is_nowhere_in_the_clear(
    hub: Hub, http: httpx.AsyncClient, alice: Account, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    outside = str(uuid4())
    answer = await hosted(http, outside)
    assert OLD_SECRET not in answer.text
    async with connection(hub.database) as con:
        sealed = await con.fetchval("SELECT secret FROM callbacks")
    assert OLD_SECRET.encode() not in sealed
    found = (await callbacks.list_callbacks(hub.database, alice.user_id))[0]
    assert hub.hosted.unseal(found.secret, found.agent_id) == OLD_SECRET
    assert (await hosted(http, outside, internal_secret="a newer one")).status_code == 200
    found = (await callbacks.list_callbacks(hub.database, alice.user_id))[0]
    assert hub.hosted.unseal(found.secret, found.agent_id) == "a newer one"
    for key in await command(hub.state_redis, "KEYS", "*"):
        kept = await command(hub.state_redis, "DUMP", key)
        assert OLD_SECRET.encode() not in kept, key
    assert OLD_SECRET not in caplog.text


async def test_refusals_name_no_value(http: httpx.AsyncClient, alice: Account) -> None:
    refused = await hosted(http, str(uuid4()), internal_secret="söcret", symbol="NOPE/USDT")
    assert refused.status_code == 422 and "söcret" not in refused.text
    refused = await hosted(http, str(uuid4()), symbol="NOPE/USDT")
    assert [error["field"] for error in refused.json()["errors"]] == ["symbol"]
    assert (await hosted(http, "seven")).status_code == 404


def test_two_secrets_that_are_one(settings: Settings) -> None:
    told = settings.environment() | {"ARTIC_POOL_SECRET": settings.internal_secret}
    with pytest.raises(SettingsError, match="ARTIC_POOL_SECRET must not be"):
        load_settings(told)
