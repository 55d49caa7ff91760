"""Too much is answered with 429 and Retry-After: attempts to get in, and requests of a user."""

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request

from adapters.redis_client import command
from adapters.settings import Settings, load_settings
from api import request_limit
from api.hub import Hub
from api.networks import network_of
from api.request_limit import RequestLimit
from tests.api.conftest import Account


class Hasher:
    """Says no, at no cost."""

    async def verify(self, password: str, stored: str | None) -> bool:
        """Never the right one."""
        return False


@pytest.fixture
def cheap(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Passwords that are wrong at once: the limits are what is looked at."""
    monkeypatch.setattr(hub.passwords, "verify", Hasher().verify)
    yield


def client_at(app: Starlette, address: str) -> httpx.AsyncClient:
    """A client whose requests come from an address."""
    transport = httpx.ASGITransport(app, client=(address, 1234), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://hub")


async def attempt(http: httpx.AsyncClient, email: str, path: str = "login") -> httpx.Response:
    """One try to get in."""
    return await http.post(f"/auth/{path}", json={"email": email, "password": "some password"})


def check_refused(answer: httpx.Response, detail: str) -> None:
    """A 429 as the contract has it."""
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert (answer.json()["title"], answer.json()["detail"]) == ("Too Many Requests", detail)


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("email", ["alice@example.com", "nobody@example.com"])
async def test_an_account_is_tried_ten_times_a_minute_whether_it_exists_or_not(
    app: Starlette, alice: Account, email: str
) -> None:
    for i in range(10):
        async with client_at(app, f"198.51.100.{i}") as http:
            assert (await attempt(http, email.upper() if i % 2 else email)).status_code == 401
    async with client_at(app, "198.51.100.99") as http:
        check_refused(await attempt(http, f" {email}"), "too many attempts, try again later")
        assert (await attempt(http, "bob@example.com")).status_code == 401
        # A body that is refused is no attempt, and comes before the limit.
        assert (await http.post("/auth/login", json={"email": email})).status_code == 422


@pytest.mark.usefixtures("cheap")
async def test_an_address_tries_sixty_accounts_a_minute(app: Starlette) -> None:
    async with client_at(app, "2001:db8:1:2::1") as http:
        for i in range(60):
            assert (await attempt(http, f"user{i}@example.com")).status_code == 401
    async with client_at(app, "2001:db8:1:2:ffff::9") as http:  # the same customer
        answer = await attempt(http, "new@example.com")
        check_refused(answer, "too many attempts, try again later")
        check_refused(await attempt(http, "new@example.com"), answer.json()["detail"])
    async with client_at(app, "2001:db8:1:3::1") as http:
        assert (await attempt(http, "new@example.com")).status_code == 401


async def test_registrations_are_counted_for_themselves(
    app: Starlette, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cheap(password: str) -> str:
        return "hash"

    monkeypatch.setattr(hub.passwords, "hash", cheap)
    monkeypatch.setattr(hub.passwords, "verify", Hasher().verify)
    async with client_at(app, "198.51.100.1") as http:
        statuses = [
            (await attempt(http, "ann@example.com", "register")).status_code for _ in range(11)
        ]
        assert statuses == [201] + [409] * 9 + [429]
        assert (await attempt(http, "ann@example.com")).status_code == 401
    names = await command(hub.state_redis, "KEYS", "artic:{attempts}:*")
    assert names
    assert not any(b"ann" in name or b"198" in name for name in names)


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("who knows", "who knows"),
        (None, ""),
    ],
)
def test_what_counts_as_one_address(host: str | None, counted: str) -> None:
    client = None if host is None else (host, 1)
    assert network_of(Request({"type": "http", "client": client, "headers": []})) == counted


async def test_requests_of_a_user_are_limited_by_whatever_credential(
    http: httpx.AsyncClient, hub: Hub, alice: Account, bob: Account
) -> None:
    key = (await alice.http.post("/api/keys")).json()["api_key"]
    hub.requests = RequestLimit(3)
    assert (await alice.http.get("/api/me")).json()["quotas"]["requests_per_minute"] == 3
    assert (await http.get("/api/me", headers={"X-API-Key": key})).status_code == 200
    assert (await alice.http.get("/api/nothing")).status_code == 404
    for credential in (alice.http, http):
        answer = await credential.get("/api/me", headers={"X-API-Key": key})
        check_refused(answer, "too many requests, try again later")
        assert int(answer.headers["retry-after"]) <= 20
    assert (await bob.http.get("/api/me")).status_code == 200
    assert (await http.get("/health")).status_code == 200
    for _ in range(5):  # who is nobody has no allowance to use up
        assert (await http.get("/api/me", headers={"X-API-Key": "x"})).status_code == 401


async def test_who_has_no_credential_is_counted_by_address(app: Starlette, hub: Hub) -> None:
    """Where PostgreSQL would be asked: nobody makes it look up guesses without end."""
    hub.requests = RequestLimit(3)
    guess = {"X-API-Key": "ak_" + "x" * 43}
    token = {"refresh_token": "rt_x"}
    async with client_at(app, "192.0.2.1") as one, client_at(app, "192.0.2.2") as other:
        assert (await one.get("/api/me", headers=guess)).status_code == 401
        assert (await one.post("/auth/refresh", json=token)).status_code == 401
        assert (await one.post("/auth/logout", json=token)).status_code == 204
        for answer in (
            await one.get("/api/me", headers=guess),
            await one.post("/auth/refresh", json=token),
            await one.post("/auth/logout", json=token),
        ):
            check_refused(answer, "too many requests, try again later")
        assert (await other.post("/auth/refresh", json=token)).status_code == 401


async def test_no_limit_is_said_as_null(hub: Hub, alice: Account, settings: Settings) -> None:
    unlimited = settings.environment() | {"ARTIC_REQUESTS_PER_MINUTE": "0"}
    read = load_settings(unlimited)
    assert read.requests_per_minute == 0
    assert load_settings(read.environment()) == read
    hub.requests = RequestLimit(read.requests_per_minute)
    assert (await alice.http.get("/api/me")).json()["quotas"]["requests_per_minute"] is None
    assert replace(settings, requests_per_minute=0) == read


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@given(
    per_minute=st.integers(1, 500),
    steps=st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=200),
)
def test_a_minute_at_once_then_its_share(per_minute: int, steps: list[float]) -> None:
    """Never more than the burst and what time has brought; and who waits as told is served."""
    clock = Clock()
    limit = RequestLimit(per_minute, clock)
    user = uuid4()
    for served, step in enumerate(steps, start=1):
        clock.now += step
        wait_s = limit.wait_s(user)
        assert 0 <= wait_s <= 60
        if wait_s:
            clock.now += wait_s
            assert limit.wait_s(user) == 0
        passed_s = clock.now - 1_000.0
        assert served <= per_minute + passed_s * per_minute / 60 + 0.5


def test_a_whole_burst_is_let_through_exactly() -> None:
    for per_minute in (1, 3, 7, 60, 6_000):
        limit = RequestLimit(per_minute, Clock())
        assert sum(limit.wait_s("ann") == 0 for _ in range(per_minute + 5)) == per_minute


def test_the_number_of_users_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limit, "USERS_MAX", 10)
    limit = RequestLimit(2, Clock())
    for user in range(50):
        limit.wait_s(user)
        limit.wait_s("regular")
    assert len(limit) == 10
    assert limit.wait_s("regular")  # heard of all the time, and so not forgotten
