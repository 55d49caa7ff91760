"""Refresh, log out, and what an ended login means for tokens and sockets in every hub."""

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from adapters import redis_keys as keys
from adapters.broadcasts import Broadcasts
from adapters.db import logins, users
from adapters.db.connection import connection
from adapters.settings import Settings
from adapters.tokens import AccessTokens, new_refresh_token, refresh_token_hash
from api import logins as api_logins
from api.hub import Hub
from tests.adapters.db.test_logins import LATER
from tests.api.conftest import CHEAP_HASH, Account
from tests.api.serving import AGENT, ServedHub, receive_until, serve
from tests.conftest import wait_for

SAME = "the refresh token is not valid"


@dataclass(frozen=True)
class Login:
    """One login of a user, made without a password."""

    user_id: UUID
    family_id: UUID
    access_token: str
    refresh_token: str

    @property
    def body(self) -> dict[str, str]:
        """Of POST /auth/refresh and /auth/logout."""
        return {"refresh_token": self.refresh_token}


async def log_in(hub: Hub, user_id: UUID) -> Login:
    """A new login of a user."""
    family_id, token = uuid4(), new_refresh_token()
    token_hash = refresh_token_hash(token)
    await logins.store_refresh_token(hub.database, user_id, family_id, token_hash, LATER)
    return Login(user_id, family_id, hub.tokens.issue(user_id, family_id), token)


async def status_with(http: httpx.AsyncClient, token: str) -> int:
    """What GET /api/agents answers to this token."""
    headers = {"Authorization": f"Bearer {token}"}
    return (await http.get("/api/agents", headers=headers)).status_code


async def refresh(http: httpx.AsyncClient, token: str) -> httpx.Response:
    """POST /auth/refresh."""
    return await http.post("/auth/refresh", json={"refresh_token": token})


async def test_refresh_gives_a_new_pair_each_time(
    http: httpx.AsyncClient, hub: Hub, alice: Account
) -> None:
    login = await log_in(hub, alice.user_id)
    seen = {login.refresh_token}
    token = login.refresh_token
    for _ in range(3):
        answer = await refresh(http, token)
        assert answer.status_code == 200, answer.text
        pair = answer.json()
        assert list(pair) == ["access_token", "refresh_token", "token_type"]
        claims = hub.tokens.read(pair["access_token"])
        assert (claims.user_id, claims.family_id) == (alice.user_id, login.family_id)
        assert await status_with(http, pair["access_token"]) == 200
        token = pair["refresh_token"]
        assert token not in seen
        seen.add(token)
    async with connection(hub.database) as con:
        stored = str([tuple(row) for row in await con.fetch("SELECT * FROM refresh_tokens")])
    assert not any(token in stored or token[3:] in stored for token in seen)


async def test_a_spent_token_ends_the_whole_login(
    http: httpx.AsyncClient, hub: Hub, alice: Account, caplog: pytest.LogCaptureFixture
) -> None:
    login, other = await log_in(hub, alice.user_id), await log_in(hub, alice.user_id)
    newest = (await refresh(http, login.refresh_token)).json()
    again = await refresh(http, login.refresh_token)
    assert (again.status_code, again.json()["detail"]) == (401, SAME)
    assert (await refresh(http, newest["refresh_token"])).status_code == 401
    for token in (login.access_token, newest["access_token"]):
        assert await status_with(http, token) == 401
    assert await status_with(http, other.access_token) == 200
    assert (await refresh(http, other.refresh_token)).status_code == 200
    assert f"user {alice.user_id} came back" in caplog.text
    assert login.refresh_token not in caplog.text


@pytest.mark.parametrize("token", ["x", "rt_" + "A" * 43, "rt_\u0000", "é" * 200])
async def test_what_is_no_refresh_token_is_refused(http: httpx.AsyncClient, token: str) -> None:
    answer = await refresh(http, token)
    assert (answer.status_code, answer.json()["detail"]) == (401, SAME)
    assert answer.headers["www-authenticate"] == 'Bearer realm="artic"'


async def test_an_access_token_is_no_refresh_token(
    http: httpx.AsyncClient, hub: Hub, alice: Account
) -> None:
    login = await log_in(hub, alice.user_id)
    assert (await refresh(http, login.access_token[:200])).status_code == 401
    assert await status_with(http, login.refresh_token) == 401


async def test_log_out_ends_the_login_and_is_safe_to_repeat(
    http: httpx.AsyncClient, hub: Hub, alice: Account
) -> None:
    login = await log_in(hub, alice.user_id)
    for _ in range(2):
        answer = await http.post("/auth/logout", json=login.body)
        assert (answer.status_code, answer.content) == (204, b"")
    assert (await http.post("/auth/logout", json={"refresh_token": "x"})).status_code == 204
    assert (await http.post("/auth/logout", json={})).status_code == 422
    assert await status_with(http, login.access_token) == 401
    assert (await refresh(http, login.refresh_token)).status_code == 401


async def test_a_hub_that_starts_later_knows_what_has_ended(
    hub: Hub, alice: Account, settings: Settings
) -> None:
    login = await log_in(hub, alice.user_id)
    await logins.revoke_family_of(hub.database, refresh_token_hash(login.refresh_token))
    async with serve(settings) as served, served.http(login.access_token) as http:

        async def refused() -> bool:
            return (await http.get("/api/agents")).status_code == 401

        await wait_for(refused)
        assert await closed_with(served, login.access_token) == 4401


async def test_tokens_of_the_previous_signing_secret_are_good_until_they_expire(
    settings: Settings,
) -> None:
    old_secret = settings.jwt_secret
    settings = replace(settings, jwt_secret="n" * 32, jwt_secret_previous=old_secret)
    async with serve(settings) as served:
        user_id, new = await served.token("alice")
        old = AccessTokens([old_secret]).issue(user_id, uuid4())
        gone = AccessTokens(["g" * 32]).issue(user_id, uuid4())
        for token, status in ((new, 200), (old, 200), (gone, 401)):
            async with served.http(token) as http:
                assert (await http.get("/api/agents")).status_code == status
        login = await log_in(served.hub, user_id)
        async with served.http(old) as http:
            pair = (await refresh(http, login.refresh_token)).json()
        AccessTokens(["n" * 32]).read(pair["access_token"])  # signed with the new one


async def closed_with(served: ServedHub, token: str) -> int | None:
    """The code with which a socket is closed."""
    async with served.socket(token) as stream:
        return await closing_code(stream)


async def closing_code(stream: ClientConnection) -> int | None:
    """Reads until the socket is closed."""
    async with asyncio.timeout(10):
        while True:
            try:
                await stream.recv()
            except ConnectionClosed as closed:
                return None if closed.rcvd is None else closed.rcvd.code


async def streaming(stream: ClientConnection) -> None:
    """The hub serves this socket."""
    await receive_until(stream, "agent_status")


async def two_logins(served: ServedHub) -> tuple[Login, Login]:
    """Two logins of a user who has an agent."""
    user = await users.create_user(served.hub.database, "alice@example.com", CHEAP_HASH)
    login, other = await log_in(served.hub, user.id), await log_in(served.hub, user.id)
    async with served.http(login.access_token) as http:
        body: dict[str, Any] = AGENT | {"auto_start": False}
        assert (await http.post("/api/agents", json=body)).status_code == 201
    return login, other


@pytest.mark.parametrize("how", ["logout", "reuse"])
async def test_an_ended_login_closes_its_sockets_in_every_hub(settings: Settings, how: str) -> None:
    async with serve(settings) as one, serve(settings) as two:
        login, other = await two_logins(one)
        token = login.access_token
        async with (
            one.http(token) as http,
            one.socket(token) as here,
            two.socket(token) as there,
            two.socket(other.access_token) as others,
        ):
            for stream in (here, there, others):
                await streaming(stream)
            if how == "logout":
                assert (await http.post("/auth/logout", json=login.body)).status_code == 204
            else:
                assert (await refresh(http, login.refresh_token)).status_code == 200
                assert (await refresh(http, login.refresh_token)).status_code == 401
            began = time.perf_counter()
            assert [await closing_code(stream) for stream in (here, there)] == [4401, 4401]
            # by the word of the other hub, not by the next look at the record
            assert time.perf_counter() - began < api_logins.READ_EVERY_S / 2
            await (await others.ping())
            assert await closed_with(two, token) == 4401
        await wait_for(lambda: one.hub.logins.open_logins + two.hub.logins.open_logins == 0)


async def test_what_redis_loses_the_record_tells(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login is ended by somebody who could not tell: the hub finds it in the record."""
    monkeypatch.setattr(api_logins, "READ_EVERY_S", 0.2)
    async with serve(settings) as served:
        login, _ = await two_logins(served)
        async with served.socket(login.access_token) as stream:
            await streaming(stream)
            token_hash = refresh_token_hash(login.refresh_token)
            await logins.revoke_family_of(served.hub.database, token_hash)
            # Long ago, so that only the open socket still makes anybody ask.
            async with connection(served.hub.database) as con:
                await con.execute("UPDATE refresh_tokens SET revoked_at = now() - interval '1 day'")
            assert await closing_code(stream) == 4401


async def test_without_redis_a_login_ends_all_the_same(settings: Settings) -> None:
    nowhere = replace(settings, redis_url="redis://127.0.0.1:1/0")
    async with serve(nowhere, measured=False) as served:
        user = await users.create_user(served.hub.database, "alice@example.com", CHEAP_HASH)
        login = await log_in(served.hub, user.id)
        async with served.http(login.access_token) as http:
            pair = (await refresh(http, login.refresh_token)).json()
            assert (await http.get("/api/me")).status_code == 200
            answer = await http.post("/auth/logout", json={"refresh_token": pair["refresh_token"]})
            assert answer.status_code == 204
            assert (await http.get("/api/me")).status_code == 401


async def test_only_what_ended_lately_is_remembered(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = uuid4()
    await hub.logins.end(family)
    assert hub.logins.has_ended(family)
    monkeypatch.setattr(api_logins, "REMEMBERED_S", -1.0)
    await hub.logins.end(family)
    assert not hub.logins.has_ended(family)


async def test_channels_have_one_form(hub: Hub, redis_url: str) -> None:
    """What one hub says is what every other understands."""
    heard: list[tuple[str, bytes]] = []
    subscribed = asyncio.Event()
    broadcasts = Broadcasts(hub.state_redis)
    broadcasts.listen(
        keys.ended_channel(),
        lambda channel, data: heard.append((channel, data)),
        lambda _: subscribed.set(),
    )
    listening = asyncio.create_task(broadcasts.run())
    await subscribed.wait()
    family = uuid4()
    await hub.logins.end(family)
    await wait_for(lambda: heard)
    listening.cancel()
    assert heard[0][0] == "artic:ended"
    assert family.hex.encode() in heard[0][1]
    assert hub.logins.has_ended(family)
