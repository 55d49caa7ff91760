"""Accounts: register, log in, refresh, log out, API keys, and who am I."""

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID, uuid4

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from adapters.attempts import Kind
from adapters.db import logins, users
from adapters.db.errors import EmailTaken, NoSuchUser
from adapters.tokens import (
    REFRESH_TOKEN_LIFETIME,
    api_key_hash,
    new_api_key,
    new_refresh_token,
    refresh_token_hash,
)
from api.answers import answer, no_content
from api.auth import caller_of, unauthorized
from api.bodies import Body, Check, Nothing, read_body
from api.errors import Problem, too_many, too_many_requests
from api.hub import Hub, hub_of
from api.networks import network_of
from api.status_words import HALT_WORDS, HaltWord
from api.users import QuotasAnswer, quotas_in_force

log = logging.getLogger("artic.hub")

PASSWORD_CHARACTERS_MAX = 1024
EMAIL_CHARACTERS_MAX = 254
TOKEN_CHARACTERS_MAX = 200


ADDRESS = r"^[^\s@]+@[^\s@]+\.[^\s@]+$"


def _printable(value: str) -> str | None:
    return None if value.isprintable() else "expected no control characters"


def _address(value: str) -> str | None:
    if re.fullmatch(ADDRESS, value) is None:
        return "expected an address like name@example.com"
    return _printable(value)


Address = Annotated[
    str, Meta(max_length=EMAIL_CHARACTERS_MAX, extra_json_schema={"pattern": ADDRESS})
]


class Register(Body, frozen=True, kw_only=True):
    """The body of POST /auth/register."""

    checks: ClassVar[Mapping[str, Check]] = {"email": _address}

    email: Address
    password: Annotated[str, Meta(min_length=8, max_length=PASSWORD_CHARACTERS_MAX)]


class LogIn(Body, frozen=True, kw_only=True):
    """The body of POST /auth/login: no rules for the password but its length."""

    checks: ClassVar[Mapping[str, Check]] = {"email": _printable}

    email: Annotated[str, Meta(min_length=1, max_length=EMAIL_CHARACTERS_MAX)]
    password: Annotated[str, Meta(min_length=1, max_length=PASSWORD_CHARACTERS_MAX)]


class RefreshBody(Body, frozen=True, kw_only=True):
    """The body of POST /auth/refresh and /auth/logout."""

    refresh_token: Annotated[str, Meta(min_length=1, max_length=TOKEN_CHARACTERS_MAX)]


class TokensAnswer(msgspec.Struct, frozen=True):
    """What lets an account in: the access token for 15 minutes, the refresh token once."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"]


class MeAnswer(msgspec.Struct, frozen=True):
    """The caller's account."""

    id: UUID
    email: str
    role: Literal["operator", "user"]
    quotas: QuotasAnswer
    halt: HaltWord


class KeyAnswer(msgspec.Struct, frozen=True):
    """A new API key, shown this once."""

    api_key: str


async def register(request: Request) -> Response:
    """POST /auth/register: 201 with the tokens of a new account, 409 for a known e-mail."""
    hub = hub_of(request)
    body = await read_body(request, Register)
    await _count_attempt(request, "register", body.email)
    password_hash = await hub.passwords.hash(body.password)
    try:
        user = await users.create_user(hub.database, body.email, password_hash)
    except EmailTaken as error:
        raise Problem(409, "this e-mail address has an account already") from error
    return answer(await _new_login(hub, user.id), 201)


async def log_in(request: Request) -> Response:
    """POST /auth/login: the same answer and time for a wrong password and no account."""
    hub = hub_of(request)
    body = await read_body(request, LogIn)
    await _count_attempt(request, "login", body.email)
    user = await users.find_by_email(hub.database, body.email)
    stored = None if user is None else user.password_hash
    if not await hub.passwords.verify(body.password, stored) or user is None:
        raise unauthorized("wrong e-mail or password")
    return answer(await _new_login(hub, user.id))


async def refresh(request: Request) -> Response:
    """POST /auth/refresh: a new pair for a refresh token, which is good once.

    One that comes back was copied by somebody: its login ends everywhere, the thief's too.
    """
    hub = hub_of(request)
    _count_request(request)
    body = await read_body(request, RefreshBody)
    token = new_refresh_token()
    rotation = await logins.rotate_refresh_token(
        hub.database,
        refresh_token_hash(body.refresh_token),
        refresh_token_hash(token),
        datetime.now(UTC) + REFRESH_TOKEN_LIFETIME,
    )
    if rotation.outcome == "reused" and rotation.family_id is not None:
        log.warning("a spent refresh token of user %s came back, login ended", rotation.user_id)
        await hub.logins.end(rotation.family_id)
    if rotation.outcome != "rotated" or rotation.user_id is None or rotation.family_id is None:
        raise unauthorized("the refresh token is not valid")
    return answer(_tokens(hub, rotation.user_id, rotation.family_id, token))


async def log_out(request: Request) -> Response:
    """POST /auth/logout: ends the login of a refresh token; 204 also if it had ended before."""
    hub = hub_of(request)
    _count_request(request)
    body = await read_body(request, RefreshBody)
    token_hash = refresh_token_hash(body.refresh_token)
    family_id = await logins.revoke_family_of(hub.database, token_hash)
    if family_id is not None:
        await hub.logins.end(family_id)
    return no_content()


async def me(request: Request) -> Response:
    """GET /api/me: the caller's account."""
    hub = hub_of(request)
    found = await users.get(hub.database, caller_of(request).user_id)
    if found is None:
        raise unauthorized("the account is gone")
    given = quotas_in_force(hub, found.quotas)
    return answer(MeAnswer(found.id, found.email, found.role, given, HALT_WORDS[found.halt]))


async def make_api_key(request: Request) -> Response:
    """POST /api/keys: a new API key; the one before it is no good from now on."""
    hub, caller = hub_of(request), caller_of(request)
    await read_body(request, Nothing, may_be_empty=True)
    key = new_api_key()
    key_hash = api_key_hash(key)
    assert key_hash is not None
    try:
        await logins.set_api_key(hub.database, caller.user_id, key_hash)
    except NoSuchUser as error:
        raise unauthorized("the account is gone") from error
    await hub.logins.key_replaced(caller.user_id)
    return answer(KeyAnswer(key))


async def _new_login(hub: Hub, user_id: UUID) -> TokensAnswer:
    family_id = uuid4()
    refresh_token = new_refresh_token()
    expires_at = datetime.now(UTC) + REFRESH_TOKEN_LIFETIME
    try:
        await logins.store_refresh_token(
            hub.database, user_id, family_id, refresh_token_hash(refresh_token), expires_at
        )
    except NoSuchUser as error:
        raise unauthorized("the account is gone") from error
    return _tokens(hub, user_id, family_id, refresh_token)


def _tokens(hub: Hub, user_id: UUID, family_id: UUID, refresh_token: str) -> TokensAnswer:
    return TokensAnswer(hub.tokens.issue(user_id, family_id), refresh_token, "bearer")


async def _count_attempt(request: Request, kind: Kind, email: str) -> None:
    """Problem 429 beyond the limits of the account or of the caller's address."""
    account, address = users.normal_email(email), network_of(request)
    wait_s = await hub_of(request).attempts.wait_s(kind, account, address)
    if wait_s:
        raise too_many("attempts", wait_s)


def _count_request(request: Request) -> None:
    """Problem 429 for more requests from one address than one user may make."""
    requests = hub_of(request).requests
    wait_s = requests.wait_s(network_of(request))
    if wait_s:
        raise too_many_requests(requests.per_minute, wait_s)
