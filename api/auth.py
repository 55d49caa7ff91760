"""Who is calling: the access token or API key of a request, or 401.

For a token no database is asked: it says its user, and every query is scoped to that user. The
layer in front of all handlers (api/front.py) finds out once; handlers ask caller_of.
"""

import hmac
from uuid import UUID

from starlette.requests import Request

from adapters.db import users
from adapters.tokens import AccessClaims, TokenRefused
from api.bodies import usual_uuid
from api.callers import Caller
from api.errors import Problem, not_found, too_many_requests
from api.hub import Hub, hub_of
from api.networks import network_of

AUTHORIZATION = b"authorization"
INTERNAL_HEADER = "x-internal-secret"
API_KEY_HEADER = b"x-api-key"
SCOPE_KEY = "artic.caller"
SCOPE_POOL = "artic.pool"
NO_CREDENTIAL = "send Authorization: Bearer <access_token> or X-API-Key: <api_key>"


def unauthorized(detail: str) -> Problem:
    """401; says nothing about which part of a credential was wrong."""
    return Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="artic"'})


def caller_of(request: Request) -> Caller:
    """The caller that the gate has found, or Problem 401 on a path that it does not guard."""
    caller = request.scope.get(SCOPE_KEY)
    if not isinstance(caller, Caller):
        raise unauthorized(NO_CREDENTIAL)
    return caller


async def find_caller(request: Request) -> Caller:
    """Reads the credential of a request, or raises Problem 401.

    A bearer token comes before an API key. Raises DatabaseError where a key can't be looked up.
    """
    hub = hub_of(request)
    header = _only(request, AUTHORIZATION) or b""
    caller = hub.callers.find(header)
    if caller is not None:
        return caller
    scheme, _, text = header.decode("latin-1").partition(" ")
    if scheme.lower() == "bearer" and (token := text.strip()):
        claims = _claims(hub, token)
        caller = Caller(claims.user_id, claims.family_id)
        hub.callers.keep(header, caller, claims.family_id, claims.expires_at.timestamp())
        return caller
    given = _only(request, API_KEY_HEADER)
    if given is None:
        raise unauthorized(NO_CREDENTIAL)
    key = given.decode("latin-1")
    if hub.api_keys.is_guess(key) and (wait_s := hub.requests.wait_s(network_of(request))):
        # PostgreSQL is not asked for guesses without end.
        raise too_many_requests(hub.requests.per_minute, wait_s)
    user_id = await hub.api_keys.user_of(key)
    if user_id is None:
        raise unauthorized("the API key is not valid")
    return Caller(user_id, None)


def caller_of_token(hub: Hub, token: str) -> Caller:
    """Whom an access token speaks for, or Problem 401."""
    claims = _claims(hub, token)
    return Caller(claims.user_id, claims.family_id)


def _claims(hub: Hub, token: str) -> AccessClaims:
    try:
        claims = hub.tokens.read(token)
    except TokenRefused as error:
        raise unauthorized(str(error)) from error
    if hub.logins.has_ended(claims.family_id):
        raise unauthorized("the login of this token has ended")
    return claims


def _only(request: Request, name: bytes) -> bytes | None:
    """The value of a header, if there is one. Problem 401 for more than one: a proxy in front may
    have looked at the other.
    """
    headers: list[tuple[bytes, bytes]] = request.scope["headers"]
    found = [value for key, value in headers if key == name]
    if len(found) > 1:
        raise unauthorized(f"send one {name.decode().title()} header, not {len(found)}")
    return found[0] if found else None


def check_internal_secret(
    request: Request, *, or_pool: bool = False, or_bearer: bool = False
) -> None:
    """403 unless the request carries the secret of the internal network, once.

    or_pool: the pool's secret will do, too; handlers ask came_by_pool_secret what it opens.
    or_bearer: it may come as a bearer token.
    """
    values = request.headers.getlist(INTERNAL_HEADER)
    if or_bearer and not values:
        bearers = request.headers.getlist("authorization")
        values = [text.removeprefix("Bearer ") for text in bearers if text.startswith("Bearer ")]
    given = values[0].encode() if len(values) == 1 else b""
    settings = hub_of(request).settings
    if hmac.compare_digest(given, settings.internal_secret.encode()):
        return
    pool_secret = settings.pool_secret.encode()
    is_pool = hmac.compare_digest(given, pool_secret) and bool(pool_secret)
    if not (or_pool and is_pool):
        raise Problem(403, "the internal secret is missing or wrong")
    request.scope[SCOPE_POOL] = True


def came_by_pool_secret(request: Request) -> bool:
    """Whether an agent container of another hub asks: for the agents of one account only."""
    return SCOPE_POOL in request.scope


async def is_operator(request: Request) -> bool:
    """Whether the caller operates the installation. PostgreSQL is asked: tokens do not say it."""
    user = await users.get(hub_of(request).database, caller_of(request).user_id)
    return user is not None and user.role == "operator"


async def check_operator(request: Request) -> None:
    """403 for everybody else, whatever is asked for: nobody learns which accounts there are."""
    if not await is_operator(request):
        raise Problem(403, "this is for operators")


def user_id_of(request: Request) -> UUID:
    """The account in the path; what is no UUID in its usual form names none (404)."""
    user_id = usual_uuid(request.scope["path_params"]["user_id"])
    if user_id is None:
        raise not_found("user")
    return user_id


def agent_id_of(request: Request) -> UUID:
    """The id in the path; what is no UUID in its usual form names no agent (404)."""
    agent_id = usual_uuid(request.scope["path_params"]["agent_id"])
    if agent_id is None:
        raise not_found("agent")
    return agent_id
