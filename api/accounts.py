"""Accounts: register, log in, and who am I."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, ClassVar
from uuid import UUID, uuid4

from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from adapters.db import users
from adapters.db.errors import EmailTaken
from adapters.tokens import REFRESH_TOKEN_LIFETIME, new_refresh_token, refresh_token_hash
from api.answers import answer
from api.auth import caller_of, unauthorized
from api.bodies import Body, Check, read_body
from api.errors import Problem
from api.hub import Hub, hub_of

PASSWORD_CHARACTERS_MAX = 1024
EMAIL_CHARACTERS_MAX = 254


def _email(value: str) -> str | None:
    return None if value.isprintable() else "expected no control characters"


Email = Annotated[str, Meta(pattern=r"^[^\s@]+@[^\s@]+\.[^\s@]+$", max_length=EMAIL_CHARACTERS_MAX)]


class Register(Body, frozen=True, kw_only=True):
    """The body of POST /auth/register."""

    checks: ClassVar[Mapping[str, Check]] = {"email": _email}

    email: Email
    password: Annotated[str, Meta(min_length=8, max_length=PASSWORD_CHARACTERS_MAX)]


class LogIn(Body, frozen=True, kw_only=True):
    """The body of POST /auth/login: no rules for the password but its length."""

    checks: ClassVar[Mapping[str, Check]] = {"email": _email}

    email: Annotated[str, Meta(min_length=1, max_length=EMAIL_CHARACTERS_MAX)]
    password: Annotated[str, Meta(min_length=1, max_length=PASSWORD_CHARACTERS_MAX)]


async def register(request: Request) -> Response:
    """POST /auth/register: 201 with the tokens of a new account, 409 for a known e-mail."""
    hub = hub_of(request)
    body = await read_body(request, Register)
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
    user = await users.find_by_email(hub.database, body.email)
    stored = None if user is None else user.password_hash
    if not await hub.passwords.verify(body.password, stored) or user is None:
        raise unauthorized("wrong e-mail or password")
    return answer(await _new_login(hub, user.id))


async def me(request: Request) -> Response:
    """GET /api/me: the caller's account."""
    user = await users.get(hub_of(request).database, caller_of(request).user_id)
    if user is None:
        raise unauthorized("the account is gone")
    return answer({"id": user.id, "email": user.email, "role": user.role, "quotas": {}})


async def _new_login(hub: Hub, user_id: UUID) -> dict[str, str]:
    family_id = uuid4()
    refresh_token = new_refresh_token()
    expires_at = datetime.now(UTC) + REFRESH_TOKEN_LIFETIME
    await users.store_refresh_token(
        hub.database, user_id, family_id, refresh_token_hash(refresh_token), expires_at
    )
    return {
        "access_token": hub.tokens.issue(user_id, family_id),
        "refresh_token": refresh_token,
        "token_type": "bearer",
    }
