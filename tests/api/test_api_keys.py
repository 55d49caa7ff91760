"""API keys: shown once, stored as a hash, good until the next one is made."""

import hashlib
import re
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from starlette.applications import Starlette

from adapters.db.connection import connection
from adapters.db.migrate import migrate
from adapters.embedded_postgres import EmbeddedPostgres
from adapters.settings import Settings
from api import api_keys
from api.hub import Hub
from tests.api.conftest import Account
from tests.api.serving import AGENT, serve
from tests.api.test_ownership import calls
from tests.conftest import wait_for


async def make_key(http: httpx.AsyncClient) -> str:
    """POST /api/keys."""
    answer = await http.post("/api/keys")
    assert answer.status_code == 200, answer.text
    key = answer.json()["api_key"]
    assert list(answer.json()) == ["api_key"]
    assert re.fullmatch(r"ak_[A-Za-z0-9_-]{43}", key)
    return str(key)


async def test_a_key_opens_every_api_call_as_its_owner(
    app: Starlette, http: httpx.AsyncClient, alice: Account, bob: Account
) -> None:
    keys = {"X-API-Key": await make_key(alice.http)}
    me = (await http.get("/api/me", headers=keys)).json()
    assert me == (await alice.http.get("/api/me")).json()
    for method, path in calls(app, "/api/"):
        if path != "/api/keys":
            target = path.format(agent_id=uuid4(), user_id=uuid4(), key_name="LLM_MODEL")
            answer = await http.request(method, target, headers=keys)
            assert answer.status_code not in (401, 403, 500), (method, path)
    made = await http.post("/api/agents", json=AGENT, headers=keys)
    assert made.status_code == 201
    assert len((await alice.http.get("/api/agents")).json()) == 1
    assert (await bob.http.get(f"/api/agents/{made.json()['id']}")).status_code == 404


async def test_a_new_key_replaces_the_old(http: httpx.AsyncClient, alice: Account) -> None:
    old = {"X-API-Key": await make_key(alice.http)}
    new = {"X-API-Key": await make_key(http_with(http, old))}
    assert (await http.get("/api/me", headers=old)).status_code == 401
    assert (await http.get("/api/me", headers=new)).status_code == 200


def http_with(http: httpx.AsyncClient, headers: dict[str, str]) -> httpx.AsyncClient:
    """The client, with headers from now on."""
    http.headers.update(headers)
    return http


async def test_only_the_hash_is_stored(hub: Hub, alice: Account) -> None:
    key = await make_key(alice.http)
    async with connection(hub.database) as con:
        [row] = await con.fetch("SELECT * FROM users")
    assert row["api_key_hash"] == hashlib.sha256(key.encode()).hexdigest()
    assert key not in str(tuple(row)) and key[3:] not in str(tuple(row))


async def test_what_is_no_key_opens_nothing(http: httpx.AsyncClient, alice: Account) -> None:
    key = await make_key(alice.http)
    for wrong in ("", "ak_", key[:-1], key + "x", key.upper(), key[3:], f" {key[::-1]}", "é" * 46):
        headers = httpx.Headers([(b"X-API-Key", wrong.encode())])
        answer = await http.get("/api/me", headers=headers)
        assert answer.status_code == 401, wrong
        assert answer.json()["detail"] == "the API key is not valid"
    bearer = {"Authorization": f"Bearer {key}"}
    assert (await http.get("/api/me", headers=bearer)).status_code == 401
    # A bad token is not made good by a key; another scheme is none of ours.
    both = {"Authorization": "Bearer x", "X-API-Key": key}
    assert (await http.get("/api/me", headers=both)).status_code == 401
    basic = {"Authorization": "Basic YTpi", "X-API-Key": key}
    assert (await http.get("/api/me", headers=basic)).status_code == 200


async def test_two_credentials_of_a_kind_are_refused(
    http: httpx.AsyncClient, alice: Account, settings: Settings
) -> None:
    """Whichever of them a proxy in front has looked at, the hub would look at the other."""
    good = alice.http.headers["Authorization"]
    key = await make_key(alice.http)
    for name, values in (
        ("Authorization", (good, good)),
        ("Authorization", (good, "Bearer x")),
        ("Authorization", ("Bearer x", good)),
        ("X-API-Key", (key, key)),
        ("X-API-Key", ("ak_x", key)),
    ):
        answer = await http.get("/api/me", headers=[(name, value) for value in values])
        assert answer.status_code == 401
        assert answer.json()["detail"] == f"send one {name.title()} header, not 2"
    secret = settings.internal_secret
    for secrets in ((secret, secret), ("x", secret), (secret, "x")):
        headers = [("X-Internal-Secret", each) for each in secrets]
        assert (await http.post("/internal/logs", headers=headers)).status_code == 403


async def test_a_key_is_no_credential_of_auth(http: httpx.AsyncClient, alice: Account) -> None:
    headers = {"X-API-Key": await make_key(alice.http)}
    answer = await http.post("/auth/refresh", json={"refresh_token": "x"}, headers=headers)
    assert answer.status_code == 401
    assert (await http.post("/internal/trades", headers=headers)).status_code in (403, 404)


async def test_a_body_is_refused(alice: Account) -> None:
    answer = await alice.http.post("/api/keys", json={"name": "mine"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "name", "message": "unknown field"}]


async def test_a_known_key_reads_on_while_postgres_is_away(
    settings: Settings, servers_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = servers_dir / "keys-postgres"
    folder.mkdir(mode=0o711)
    server = EmbeddedPostgres(folder, durable=False)
    settings = replace(settings, database_url=await server.start())
    await migrate(settings.database_url)
    try:
        async with serve(settings) as one, serve(settings) as two:
            _, token = await one.token("alice")
            async with one.http(token) as owner, two.http("x") as http:
                del http.headers["Authorization"]
                body = AGENT | {"auto_start": False}
                path = f"/api/agents/{(await owner.post('/api/agents', json=body)).json()['id']}"
                old, new = await make_key(owner), await make_key(owner)
                http.headers["X-API-Key"] = new
                assert (await http.get(f"{path}/status")).status_code == 200
                newest = await make_key(owner)  # the other hub hears of it
                await wait_for(lambda: not len(two.hub.api_keys))
                http.headers["X-API-Key"] = newest
                assert (await http.get(f"{path}/status")).status_code == 200
                await server.stop()
                assert (await http.get(f"{path}/status")).status_code == 200
                assert (await http.post("/api/keys")).status_code == 503
                for unseen in (old, new):
                    answer = await http.get(f"{path}/status", headers={"X-API-Key": unseen})
                    assert answer.status_code == 503
                    assert answer.headers["retry-after"] == "2"
                monkeypatch.setattr(api_keys, "KEPT_S", -time.monotonic())
                assert (await http.get(f"{path}/status")).status_code == 200
                monkeypatch.setattr(api_keys, "ACCESS_TOKEN_LIFETIME_S", -time.monotonic())
                assert (await http.get(f"{path}/status")).status_code == 503
    finally:
        await server.stop()


async def test_a_replaced_key_ends_at_once_in_every_hub(settings: Settings) -> None:
    async with serve(settings) as one, serve(settings) as two:
        _, token = await one.token("alice")
        async with one.http(token) as owner, two.http("x") as http:
            del http.headers["Authorization"]
            key = await make_key(owner)
            for _ in range(10):
                for _ in range(2):  # the second time by memory
                    answer = await http.get("/api/me", headers={"X-API-Key": key})
                    assert answer.status_code == 200
                replaced, key = key, await make_key(owner)
                answer = await http.get("/api/me", headers={"X-API-Key": replaced})
                assert answer.status_code == 401
