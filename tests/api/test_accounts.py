"""Register, log in, tokens: who gets in, and what the others are told."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from adapters import passwords, tokens
from adapters.passwords import PasswordHasher, PasswordsBusy
from adapters.settings import Settings
from adapters.tokens import AccessTokens, TokenRefused
from api.hub import Hub
from tests.api.conftest import Account

ALICE = {"email": "Alice@Example.com", "password": "correct horse"}
SECRET, OLD_SECRET = "s" * 40, "o" * 40


async def test_register_and_log_in(http: httpx.AsyncClient) -> None:
    registered = await http.post("/auth/register", json=ALICE)
    assert registered.status_code == 201, registered.text
    assert set(registered.json()) == {"access_token", "refresh_token", "token_type"}
    assert registered.json()["token_type"] == "bearer"
    again = await http.post("/auth/register", json=ALICE | {"email": "alice@example.COM"})
    assert again.status_code == 409
    logged_in = await http.post("/auth/login", json=ALICE | {"email": "alice@example.com"})
    assert logged_in.status_code == 200
    assert logged_in.json()["refresh_token"] != registered.json()["refresh_token"]
    bearer = {"Authorization": f"Bearer {logged_in.json()['access_token']}"}
    me = await http.get("/api/me", headers=bearer)
    assert me.status_code == 200
    assert (me.json()["email"], me.json()["role"]) == ("alice@example.com", "operator")


async def test_a_wrong_password_and_no_account_get_the_same_answer(
    http: httpx.AsyncClient, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is compared by the fastest of interleaved tries, which load can only slow down;
    that the work is the same is also counted.
    """
    await http.post("/auth/register", json=ALICE)
    checked: list[bool] = []
    verify = hub.passwords.verify

    async def counting(password: str, stored: str | None) -> bool:
        checked.append(stored is not None)
        return await verify(password, stored)

    monkeypatch.setattr(hub.passwords, "verify", counting)
    bodies = (ALICE | {"password": "wrong horse"}, ALICE | {"email": "nobody@example.com"})
    answers: list[object] = [None, None]
    fastest = [9.0, 9.0]
    for _ in range(5):
        for i, body in enumerate(bodies):
            began = time.perf_counter()
            answer = await http.post("/auth/login", json=body)
            fastest[i] = min(fastest[i], time.perf_counter() - began)
            del answer.headers["x-request-id"]  # another one for each request
            answers[i] = (answer.status_code, answer.content, sorted(answer.headers.items()))
    assert answers[0] == answers[1]
    assert answer.status_code == 401
    assert checked == [True, False] * 5
    assert 0.6 < fastest[0] / fastest[1] < 1.6, fastest


def test_the_hash_of_no_account_costs_what_a_real_one_does() -> None:
    """Same algorithm, memory, rounds and lengths: only salt and digest differ."""
    real = passwords._hash("any password").split("$")
    unknown = passwords.UNKNOWN_ACCOUNT_HASH.split("$")
    assert real[:4] == unknown[:4]
    assert [len(part) for part in real] == [len(part) for part in unknown]


async def test_only_the_first_account_is_operator(alice: Account, bob: Account) -> None:
    assert (await alice.http.get("/api/me")).json() == {
        "id": str(alice.user_id),
        "email": "alice@example.com",
        "role": "operator",
        "quotas": {"requests_per_minute": 6000, "plans": 2000, "agents": 10000},
        "halt": "active",
    }
    assert (await bob.http.get("/api/me")).json()["role"] == "user"


async def test_without_a_good_token_nobody_gets_in(http: httpx.AsyncClient, hub: Hub) -> None:
    user, family = uuid4(), uuid4()
    good = hub.tokens.issue(user, family)
    old = hub.tokens.issue(user, family, datetime.now(UTC) - timedelta(minutes=16))
    foreign = AccessTokens(["f" * 32]).issue(user, family)
    for header in (
        None, "", "Bearer", "Bearer ", "Basic YTpi", f"Token {good}", f"Bearer {good}x",
        f"Bearer {old}", f"Bearer {foreign}", "Bearer a.b.c", f"Bearer {good} {good}",
    ):  # fmt: skip
        headers = {} if header is None else {"Authorization": header}
        answer = await http.get("/api/agents", headers=headers)
        assert answer.status_code == 401, header
        assert answer.headers["www-authenticate"] == 'Bearer realm="artic"'
        assert answer.json()["title"] == "Unauthorized"
    answer = await http.get("/api/agents", headers={"X-API-Key": "ak_" + "x" * 43})
    assert answer.status_code == 401
    answer = await http.get("/api/agents", headers={"Authorization": f"bearer {good}"})
    assert answer.status_code == 200


async def test_a_token_of_no_account_can_make_nothing(http: httpx.AsyncClient, hub: Hub) -> None:
    headers = {"Authorization": f"Bearer {hub.tokens.issue(uuid4(), uuid4())}"}
    body = {"symbol": "BTC", "strategy_name": "breakout"}
    assert (await http.post("/api/agents", json=body, headers=headers)).status_code == 401
    assert (await http.get("/api/me", headers=headers)).status_code == 401


def forged(settings: Settings, alg: str = "HS256", kid: str | None = "", **changes: object) -> str:
    """A token signed with the right key and something else wrong."""
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": tokens.ISSUER, "aud": tokens.AUDIENCE, "sub": str(uuid4()), "fam": str(uuid4()),
        "iat": now, "exp": now + 60,
    }  # fmt: skip
    real = AccessTokens([settings.jwt_secret]).issue(uuid4(), uuid4())
    real_kid = jwt.get_unverified_header(real)["kid"]
    kept = {name: value for name, value in (claims | changes).items() if value is not None}
    key = settings.jwt_secret if alg.startswith("HS") else ""
    return jwt.encode(kept, key, alg, headers=None if kid is None else {"kid": kid or real_kid})


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_tokens_are_pinned(settings: Settings) -> None:
    ours = AccessTokens([settings.jwt_secret])
    ours.read(forged(settings))
    wrong: list[dict[str, Any]] = [
        {"iss": "else"}, {"aud": "else"}, {"aud": [tokens.AUDIENCE, "else"]}, {"iss": None},
        {"aud": None}, {"sub": None}, {"sub": "alice"}, {"fam": None}, {"fam": 5}, {"exp": None},
        {"exp": 1}, {"exp": 10**30}, {"iat": None}, {"alg": "HS384"}, {"alg": "none"},
        {"kid": "else"}, {"kid": None},
    ]  # fmt: skip
    for changes in wrong:
        with pytest.raises(TokenRefused):
            ours.read(forged(settings, **changes))


def test_a_hub_whose_clock_is_ahead_issues_good_tokens() -> None:
    ahead = datetime.now(UTC) + timedelta(seconds=5)
    tokens_of_two = AccessTokens([SECRET]), AccessTokens([SECRET])
    user = uuid4()
    assert tokens_of_two[1].read(tokens_of_two[0].issue(user, uuid4(), ahead)).user_id == user


def test_a_signing_key_can_be_replaced() -> None:
    user, family = uuid4(), uuid4()
    old = AccessTokens([OLD_SECRET]).issue(user, family)
    both = AccessTokens([SECRET, OLD_SECRET])
    assert both.read(old).user_id == user
    with pytest.raises(TokenRefused):
        AccessTokens([OLD_SECRET]).read(both.issue(user, family))
    with pytest.raises(ValueError, match="at least 32 bytes"):
        AccessTokens(["short"])


async def test_passwords() -> None:
    hasher = PasswordHasher(threads=1, waiting_max=0)
    stored = await hasher.hash("pässword ﬁ")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert await hasher.verify("pässword fi", stored)  # NFKC: however a keyboard makes it
    assert not await hasher.verify("password fi", stored)
    assert not await hasher.verify("anything", None)
    hasher.close()


async def test_a_full_queue_is_said_at_once(
    http: httpx.AsyncClient, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(password: str, stored: str | None) -> bool:
        raise PasswordsBusy("too many logins at once")

    monkeypatch.setattr(hub.passwords, "verify", busy)
    answer = await http.post("/auth/login", json=ALICE)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert answer.json()["detail"] == "too many logins at once, try again"
