"""Who is calling: the bearer token of a request, or 401.

No database is asked: a token says its user, and every query is scoped to that user.
"""

import hmac
from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request

from adapters.tokens import AccessTokens, TokenRefused
from api.errors import Problem, not_found
from api.hub import hub_of

INTERNAL_HEADER = "x-internal-secret"


@dataclass(frozen=True, slots=True)
class Caller:
    """The user that a request speaks for, and the login that its token descends from."""

    user_id: UUID
    family_id: UUID


def unauthorized(detail: str) -> Problem:
    """401; says nothing about which part of a credential was wrong."""
    return Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="artic"'})


def caller_of(request: Request) -> Caller:
    """The caller of a request, or Problem 401."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthorized("send Authorization: Bearer <access_token>")
    return caller_of_token(hub_of(request).tokens, token.strip())


def caller_of_token(tokens: AccessTokens, token: str) -> Caller:
    """Whom a token speaks for, or Problem 401."""
    try:
        claims = tokens.read(token)
    except TokenRefused as error:
        raise unauthorized(str(error)) from error
    return Caller(claims.user_id, claims.family_id)


def check_internal_secret(request: Request) -> None:
    """403 unless the request carries the secret of the internal network."""
    given = request.headers.get(INTERNAL_HEADER, "").encode()
    wanted = hub_of(request).settings.internal_secret.encode()
    if not hmac.compare_digest(given, wanted):
        raise Problem(403, "the internal secret is missing or wrong")


def agent_id_of(request: Request) -> UUID:
    """The id in the path; what is no UUID in its usual form names no agent (404)."""
    text = request.path_params["agent_id"]
    try:
        agent_id = UUID(text)
    except ValueError as error:
        raise not_found("agent") from error
    if str(agent_id) != text.lower():
        raise not_found("agent")
    return agent_id
