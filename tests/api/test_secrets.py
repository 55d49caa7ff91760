"""Secrets of users: sealed when they come, sealed while they lie, and never told again."""

import json
import logging
from dataclasses import replace

import httpx
import pytest

from adapters.db.connection import connection
from adapters.settings import Settings
from api.hub import Hub
from tests.adapters.test_vault import sealed_by_a_client
from tests.api.conftest import Account
from tests.api.serving import serve
from tests.conftest import wait_for

NAME = "TWELVE_DATA_API_KEY"
VALUE = "0123456789abcdef-a-key-of-mine"


async def sealed(http: httpx.AsyncClient, value: str = VALUE, name: str = NAME) -> str:
    """As a client does it: with the key that the hub shows."""
    shown = (await http.get("/api/secrets/public-key")).json()
    return sealed_by_a_client(shown["key_id"], shown["public_key"], name, value.encode())


async def put(http: httpx.AsyncClient, value: str = VALUE) -> httpx.Response:
    body = {"key_name": NAME, "encrypted_value": await sealed(http, value)}
    return await http.post("/api/secrets", json=body)


async def test_a_secret_is_kept_used_replaced_and_forgotten(
    hub: Hub, alice: Account, bob: Account
) -> None:
    assert (await alice.http.get("/api/secrets")).json() == {"keys": []}
    assert (await alice.http.delete(f"/api/secrets/{NAME}")).status_code == 404
    assert await hub.own_keys.twelve_data_key(alice.user_id) is None
    kept = await put(alice.http)
    assert (kept.status_code, kept.json()) == (200, {"keys": [NAME]})
    assert (await alice.http.get("/api/secrets")).json() == {"keys": [NAME]}
    assert await hub.own_keys.twelve_data_key(alice.user_id) == VALUE
    await put(alice.http, "another")
    assert await hub.own_keys.twelve_data_key(alice.user_id) == "another"
    # Nobody else has it, and nobody else can take it away.
    assert (await bob.http.get("/api/secrets")).json() == {"keys": []}
    assert (await bob.http.delete(f"/api/secrets/{NAME}")).status_code == 404
    assert await hub.own_keys.twelve_data_key(bob.user_id) is None
    assert (await alice.http.delete(f"/api/secrets/{NAME}")).status_code == 204
    assert (await alice.http.get("/api/secrets")).json() == {"keys": []}
    assert await hub.own_keys.twelve_data_key(alice.user_id) is None


async def test_it_is_in_no_record_log_or_answer(
    hub: Hub, alice: Account, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = [await put(alice.http), await alice.http.get("/api/secrets")]
    assert await hub.own_keys.twelve_data_key(alice.user_id) == VALUE
    told.append(await alice.http.get("/api/market/sources"))
    assert all(VALUE not in answer.text for answer in told)
    assert VALUE not in caplog.text
    async with connection(hub.database) as con:
        rows = await con.fetch("SELECT * FROM user_secrets")
    assert [row["key_name"] for row in rows] == [NAME]
    assert VALUE.encode() not in b"".join(row["sealed"] for row in rows)
    redis = hub.state_redis
    async for key in redis.scan_iter():
        dumped = await redis.dump(key)
        assert VALUE.encode() not in (dumped or b""), key


async def test_every_hub_hears_of_a_change(settings: Settings) -> None:
    async with serve(settings) as one, serve(settings) as two:
        user_id, token = await one.token("carol")
        assert await two.hub.own_keys.twelve_data_key(user_id) is None
        async with one.http(token) as http:
            await put(http)

        async def heard() -> bool:
            return await two.hub.own_keys.twelve_data_key(user_id) == VALUE

        await wait_for(heard, what="the other hub's new key")


async def test_a_key_of_another_master_key_is_left_out_and_said(
    settings: Settings, hub: Hub, alice: Account, caplog: pytest.LogCaptureFixture
) -> None:
    await put(alice.http)
    async with serve(replace(settings, master_key="B" * 43)) as other:
        assert await other.hub.own_keys.twelve_data_key(alice.user_id) is None
    assert "was sealed under another ARTIC_MASTER_KEY" in caplog.text


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"key_name": "NOPE", "encrypted_value": "x"}, "key_name", "no such key; expected one of"),
        ({"key_name": "LLM_MODEL", "encrypted_value": "x"}, "key_name", "not available yet"),
        ({"key_name": NAME, "encrypted_value": "x"}, "encrypted_value", "expected v1."),
        ({"key_name": NAME, "encrypted_value": "x" * 5_000}, "encrypted_value", "at most 4000"),
        ({"key_name": NAME}, "encrypted_value", "required"),
    ],
)
async def test_what_is_refused(alice: Account, body: dict[str, str], field: str, says: str) -> None:
    refused = await alice.http.post("/api/secrets", json=body)
    assert refused.status_code == 422
    [error] = refused.json()["errors"]
    assert error["field"] == field and says in error["message"]


@pytest.mark.parametrize("value", ["", "two\r\nlines", "kéy", "x" * 1_001])
async def test_a_value_that_fits_in_no_header_is_refused(alice: Account, value: str) -> None:
    refused = await put(alice.http, value)
    assert refused.status_code == 422
    assert json.dumps(value)[1:-1] not in refused.text or not value
    assert (await alice.http.get("/api/secrets")).json() == {"keys": []}
