"""Too much is answered with 429 and Retry-After: attempts to get in, and requests of a user."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_test
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request

from adapters import redis_keys as keys
from adapters.allowances import Allowances
from adapters.errors import RedisAway
from adapters.redis_client import command
from adapters.settings import Settings, load_settings
from api import request_limit
from api.hub import Hub
from api.networks import network_of
from api.request_limit import RequestLimit
from tests.api.conftest import Account
from tests.conftest import wait_for


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
        check_refused(answer, "too many requests, more than 3 a minute, try again later")
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
            check_refused(answer, "too many requests, more than 3 a minute, try again later")
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
    user = str(uuid4())
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


class Shared:
    """What all hubs know, by the clock of the test."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._whole_at: dict[str, float] = {}
        self.is_away = False
        self.asked = 0

    async def use(self, used_s: Mapping[str, float]) -> dict[str, float]:
        """As adapters.allowances, of which the test below is about the real one."""
        if self.is_away:
            raise RedisAway("away")
        behind_s = {}
        for user, used in used_s.items():
            self.asked += 1
            now = self._clock()
            whole_at = min(max(self._whole_at.get(user, 0.0), now) + used, now + 60.0)
            self._whole_at[user] = whole_at
            behind_s[user] = whole_at - now
        return behind_s


@given(
    hubs=st.integers(1, 5),
    per_minute=st.sampled_from((1, 60, 600, 6_000)),
    between=st.integers(1, 300),
)
@settings_of_test(max_examples=30, deadline=None)
async def test_many_hubs_let_through_little_more_than_one(
    hubs: int, per_minute: int, between: int
) -> None:
    """A burst that goes round all hubs: what each serves between two sharings is the excess."""
    clock = Clock()
    shared = Shared(clock)
    limits = [RequestLimit(per_minute, clock) for _ in range(hubs)]
    served = 0
    before = -1
    while served > before:
        before = served
        for limit in limits:
            served += sum(limit.wait_s("ann") == 0 for _ in range(between))
        for limit in limits:
            await limit.share(shared)
    unshared = math.ceil(per_minute / 100)
    assert per_minute <= served <= per_minute + (hubs - 1) * (between + unshared) + hubs


async def test_a_hub_without_redis_counts_for_itself_and_tells_later() -> None:
    clock = Clock()
    shared = Shared(clock)
    here, there = RequestLimit(100, clock), RequestLimit(100, clock)
    shared.is_away = True
    assert sum(here.wait_s("ann") == 0 for _ in range(110)) == 100
    with pytest.raises(RedisAway):
        await here.share(shared)
    assert there.wait_s("ann") == 0
    shared.is_away = False
    await here.share(shared)
    await there.share(shared)
    assert there.wait_s("ann")
    clock.now += 30  # half of it is there again, for both together
    served = sum(here.wait_s("ann") == 0 for _ in range(60))
    assert 48 <= served <= 50


async def test_few_requests_cost_redis_nothing() -> None:
    clock = Clock()
    shared, limit = Shared(clock), RequestLimit(6_000, clock)
    for user in range(100):
        for _ in range(59):
            limit.wait_s(f"user {user}")
    await limit.share(shared)
    assert shared.asked == 0
    limit.wait_s("user 7")
    await limit.share(shared)
    await limit.share(shared)
    assert shared.asked == 1


async def test_whose_limit_was_taken_away_costs_redis_nothing_more() -> None:
    clock = Clock()
    shared, limit = Shared(clock), RequestLimit(100, clock)
    assert limit.wait_s("ann") == 0
    limit.own = {"ann": 0}
    for _ in range(5):
        await limit.share(shared)
    assert shared.asked == 1


async def test_who_is_forgotten_while_hubs_share_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_limit, "USERS_MAX", 1)
    clock = Clock()
    limit = RequestLimit(100, clock)

    class Slow(Shared):
        async def use(self, used_s: Mapping[str, float]) -> dict[str, float]:
            for user in ("bob", "ann"):
                limit.wait_s(user)
            return await super().use(used_s)

    for _ in range(3):
        limit.wait_s("ann")
    shared = Slow(clock)
    await limit.share(shared)
    told_s = await Shared.use(shared, {"ann": 0.0})
    await limit.share(Shared(clock))  # the one request since is still to be told
    assert told_s["ann"] == pytest.approx(3 * 0.6)
    assert limit._users["ann"].unshared == 0


async def test_two_hubs_share_one_allowance_in_redis(hub: Hub) -> None:
    allowances = Allowances(hub.state_redis, 60.0)
    here, there = RequestLimit(600), RequestLimit(600)
    assert sum(here.wait_s("ann") == 0 for _ in range(600)) == 600
    await here.share(allowances)
    assert there.wait_s("ann") == 0
    for _ in range(5):
        there.wait_s("ann")
    await there.share(allowances)
    assert there.wait_s("ann")
    assert there.wait_s("bob") == 0
    left_ms = await command(hub.state_redis, "PTTL", keys.allowance("ann"))
    assert 0 < left_ms <= 60_000
    behind = await allowances.use({"ann": 0.0, "bob": 1.5, "cid": 0.0})
    assert 55 < behind["ann"] <= 60
    assert 1.4 < behind["bob"] <= 1.5
    assert behind["cid"] == 0.0
    assert await command(hub.state_redis, "EXISTS", keys.allowance("cid")) == 0


async def test_the_hub_tells_by_itself(hub: Hub, alice: Account) -> None:
    hub.requests.per_minute = 100
    assert (await alice.http.get("/api/me")).status_code == 200
    key = keys.allowance(str(alice.user_id))

    async def is_told() -> bool:
        return bool(await command(hub.state_redis, "EXISTS", key))

    await wait_for(is_told)


def test_the_number_of_users_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limit, "USERS_MAX", 10)
    limit = RequestLimit(2, Clock())
    for user in range(50):
        limit.wait_s(str(user))
        limit.wait_s("regular")
    assert len(limit) == 10
    assert limit.wait_s("regular")  # heard of all the time, and so not forgotten
