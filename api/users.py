"""Accounts as operators see them, and what each may have."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from adapters import redis_keys as keys
from adapters.db import quotas, users
from adapters.db.quotas import Quotas
from adapters.db.users import Account, Role
from adapters.redis_client import away_as_error, command
from api.answers import answer
from api.auth import check_operator, user_id_of
from api.bodies import Body, read_body, read_query
from api.errors import not_found
from api.hub import Hub, hub_of
from api.status_words import HALT_WORDS, HaltWord

PAGE_MAX = 1_000
QUOTA_MAX = 10_000_000

Quota = Annotated[int, Meta(ge=0, le=QUOTA_MAX)] | None


class SetQuotas(Body, frozen=True, kw_only=True):
    """The body of PUT /api/users/{id}/quotas: all of them; null: the default, 0: no limit."""

    agents: Quota = None
    plans: Quota = None
    requests_per_minute: Quota = None


class ListUsers(Body, frozen=True, kw_only=True):
    """The query of GET /api/users."""

    email: Annotated[str, Meta(min_length=1, max_length=254)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 100
    after: UUID | None = None


class QuotasAnswer(msgspec.Struct, frozen=True):
    """What an account may have; null: no limit."""

    requests_per_minute: int | None
    plans: int | None
    agents: int | None


class UserAnswer(msgspec.Struct, frozen=True):
    """An account; its agents and plans are what it has now."""

    id: UUID
    email: str
    role: Role
    halt: HaltWord
    quotas: QuotasAnswer
    agents: int
    plans: int


class UsersAnswer(msgspec.Struct, frozen=True):
    """Accounts by id; next: what to ask for after the last one, null at the end."""

    users: list[UserAnswer]
    next: UUID | None


async def list_users(request: Request) -> Response:
    """GET /api/users: for operators."""
    hub = hub_of(request)
    await check_operator(request)
    query = read_query(request, ListUsers)
    found = await users.accounts(hub.database, query.email, query.after, query.limit + 1)
    page = found[: query.limit]
    following = page[-1].id if len(found) > len(page) else None
    return answer(UsersAnswer([_told(hub, each) for each in page], following))


async def set_quotas(request: Request) -> Response:
    """PUT /api/users/{id}/quotas: for operators; 200 with the account.

    What an account has beyond a quota stays; it gets no more. Requests count by the new quota as
    soon as the hubs have heard of it.
    """
    hub = hub_of(request)
    await check_operator(request)
    body = await read_body(request, SetQuotas)
    user_id = user_id_of(request)
    wanted = Quotas(body.agents, body.plans, body.requests_per_minute)
    if not await quotas.set_quotas(hub.database, user_id, wanted):
        raise not_found("user")
    async with away_as_error():
        await command(hub.state_redis, "PUBLISH", keys.quotas_channel(), str(user_id))
    found = await users.account(hub.database, user_id)
    if found is None:
        raise not_found("user")
    return answer(_told(hub, found))


def quotas_in_force(hub: Hub, own: Quotas) -> QuotasAnswer:
    """What an account has been given, or the defaults; null: no limit."""

    def effective(given: int | None, default: int) -> int | None:
        return (default if given is None else given) or None

    settings = hub.settings
    return QuotasAnswer(
        requests_per_minute=effective(own.requests_per_minute, hub.requests.per_minute),
        plans=effective(own.plans, settings.plans_per_user),
        agents=effective(own.agents, settings.agents_per_user),
    )


def _told(hub: Hub, account: Account) -> UserAnswer:
    return UserAnswer(
        id=account.id,
        email=account.email,
        role=account.role,
        halt=HALT_WORDS[account.halt],
        quotas=quotas_in_force(hub, account.quotas),
        agents=account.agents,
        plans=account.plans,
    )
