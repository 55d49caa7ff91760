"""`python -m api` as a process: it binds what it was told, logs no secret, and ends in order."""

import asyncio
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from adapters.db import users
from adapters.db.connection import close_database, open_database
from adapters.settings import Settings
from adapters.tokens import AccessTokens
from tests.api.conftest import CHEAP_HASH
from tests.conftest import wait_for


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def start(settings: Settings) -> Process:
    """The hub's process."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api", env=settings.environment(), stdout=PIPE, stderr=STDOUT
    )


async def answers(url: str) -> bool:
    """Whether somebody serves there."""
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(f"{url}/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def output_of(process: Process) -> str:
    """Everything it said until its end."""
    async with asyncio.timeout(20):
        said, _ = await process.communicate()
    return said.decode()


async def use_credentials(http: httpx.AsyncClient) -> list[str]:
    """Every credential there is, made and used; a spent refresh token comes back, too."""
    body = {"email": "bob@example.com", "password": "registered-password"}
    pair = (await http.post("/auth/register", json=body)).json()
    spent = {"refresh_token": pair["refresh_token"]}
    newer = (await http.post("/auth/refresh", json=spent)).json()
    assert (await http.post("/auth/refresh", json=spent)).status_code == 401
    assert (await http.post("/auth/logout", json=spent)).status_code == 204
    key = (await http.post("/api/keys")).json()["api_key"]
    other_client = {"Authorization": "", "X-API-Key": key}
    assert (await http.get("/api/me", headers=other_client)).status_code == 200
    tokens = [each[name] for each in (pair, newer) for name in ("access_token", "refresh_token")]
    return [*tokens, key, body["email"], body["password"]]


@pytest.mark.parametrize("log_format", ["plain", "json"])
async def test_it_serves_and_logs_no_secret(settings: Settings, log_format: str) -> None:
    port = free_port()
    settings = replace(
        settings, hub_port=port, hub_url=f"http://127.0.0.1:{port}", log_format=log_format
    )
    database = await open_database(settings.database_url)
    user = await users.create_user(database, "alice@example.com", CHEAP_HASH)
    await close_database(database)
    token = AccessTokens([settings.jwt_secret]).issue(user.id, uuid4())
    process = await start(settings)
    try:
        await wait_for(lambda: answers(settings.hub_url), seconds=20)
        async with httpx.AsyncClient(
            base_url=settings.hub_url,
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
        ) as http:
            named = {"X-Request-ID": "named-by-me"}
            path = "/api/agents?cursor=secret-cursor"
            assert (await http.get(path, headers=named)).status_code == 422
            assert (await http.get("/nothing%0Aforged-line?x=1")).status_code == 404
            body = {"email": "alice@example.com", "password": "secret-password"}
            assert (await http.post("/auth/login", json=body)).status_code == 401
            used = await use_credentials(http)
        async with connect(f"ws://127.0.0.1:{port}/ws?token={token}", proxy=None) as stream:
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                await stream.recv()
    finally:
        if process.returncode is None:
            process.terminate()
        said = await output_of(process)
    assert f"hub ready on {settings.hub_url}" in said
    assert "GET /api/agents 422" in said
    assert "named-by-me" in said
    assert "POST /auth/login 401" in said
    assert "POST /auth/refresh 401" in said
    assert all("request_id" in line for line in said.splitlines() if "artic.access" in line)
    assert "a spent refresh token of user" in said
    for secret in (
        *used, token, token.rpartition(".")[2], "secret-cursor", "secret-password",
        settings.jwt_secret, settings.internal_secret, settings.database_url,
    ):  # fmt: skip
        assert secret not in said
    assert "\nforged-line" not in said
    assert "Traceback" not in said
    assert process.returncode in (0, -signal.SIGTERM)


async def test_a_taken_port_is_one_line_and_exit_1(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = await start(replace(settings, hub_port=taken.getsockname()[1]))
        said = await output_of(process)
    assert process.returncode == 1
    assert said.startswith("error: the hub can't listen on 127.0.0.1:")
    assert said.endswith(": Address already in use\n")
    assert len(said.splitlines()) == 1


async def test_a_wrong_setting_is_one_line_and_exit_1(settings: Settings) -> None:
    process = await start(replace(settings, price_source="replay:/nowhere/BTCUSDT_1m.csv"))
    said = await output_of(process)
    assert process.returncode == 1
    assert said.startswith("error: ARTIC_PRICE_SOURCE")
    assert len(said.strip().splitlines()) == 1
