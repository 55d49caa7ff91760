"""Secrets of a user: they come in sealed, and never go out again; only their names do.

Only keys that something uses are taken: what is not kept cannot be lost.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from adapters.db.errors import NoSuchUser
from adapters.db.user_secrets import drop_secret, put_secret, secret_names
from adapters.own_keys import TWELVE_DATA
from adapters.vault import SentUnreadable
from api.answers import answer, no_content
from api.auth import caller_of, unauthorized
from api.bodies import NOT_BUILT, Body, Check, read_body
from api.errors import FieldError, Problem, bad_input
from api.hub import hub_of

KNOWN: Final = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "DEEPSEEK_API_KEY",
    "GEMINI_API_KEY",
    "LLM_PROVIDER",
    "LLM_MODEL",
    "HASHKEY_API_KEY",
    "HASHKEY_SECRET",
    "HASHKEY_SANDBOX",
    TWELVE_DATA,
)
USED: Final = frozenset({TWELVE_DATA})
SEALED_CHARACTERS_MAX: Final = 4_000
VALUE_CHARACTERS_MAX: Final = 1_000


def _known(value: str) -> str | None:
    if value not in KNOWN:
        return f"no such key; expected one of {', '.join(KNOWN)}"
    return None if value in USED else NOT_BUILT


class PutSecret(Body, frozen=True, kw_only=True):
    """The body of POST /api/secrets.

    encrypted_value: `v1.<key_id>.<base64url(enc || ciphertext)>`, HPKE to the hub's public key.
    """

    checks: ClassVar[Mapping[str, Check]] = {"key_name": _known}

    key_name: Annotated[str, Meta(max_length=64)]
    encrypted_value: Annotated[str, Meta(min_length=1, max_length=SEALED_CHARACTERS_MAX)]


class PublicKeyAnswer(msgspec.Struct, frozen=True):
    """What secrets are sealed to: an X25519 key in base64url, and its name."""

    key_id: str
    public_key: str


class SecretNames(msgspec.Struct, frozen=True):
    """The names of a user's secrets; values are never told."""

    keys: list[str]


async def get_public_key(request: Request) -> Response:
    """GET /api/secrets/public-key: {key_id, public_key}."""
    hub = hub_of(request)
    caller_of(request)
    return answer(PublicKeyAnswer(hub.vault.key_id, hub.vault.public_key))


async def list_secrets(request: Request) -> Response:
    """GET /api/secrets: {keys}."""
    hub, caller = hub_of(request), caller_of(request)
    return answer(SecretNames(await secret_names(hub.database, caller.user_id)))


async def put(request: Request) -> Response:
    """POST /api/secrets: keeps a secret in place of the one of before; answers as GET does."""
    hub, caller = hub_of(request), caller_of(request)
    body = await read_body(request, PutSecret)
    try:
        value = hub.vault.open_sent(body.key_name, body.encrypted_value)
    except SentUnreadable as error:
        raise bad_input([FieldError("encrypted_value", str(error))]) from error
    if not 0 < len(value) <= VALUE_CHARACTERS_MAX or not (value.isascii() and value.isprintable()):
        # It travels in a header. What it is stays unsaid.
        raise bad_input([FieldError("encrypted_value", "its value is no printable ASCII text")])
    sealed = hub.vault.seal(caller.user_id, body.key_name, value)
    try:
        await put_secret(hub.database, caller.user_id, body.key_name, sealed)
    except NoSuchUser as error:
        raise unauthorized("the account is gone") from error
    await hub.own_keys.changed(caller.user_id)
    return answer(SecretNames(await secret_names(hub.database, caller.user_id)))


async def delete(request: Request) -> Response:
    """DELETE /api/secrets/{key_name}: 204, or 404 where there is none of this name."""
    hub, caller = hub_of(request), caller_of(request)
    name = request.path_params["key_name"]
    if name not in KNOWN or not await drop_secret(hub.database, caller.user_id, name):
        raise Problem(404, "no such secret")
    await hub.own_keys.changed(caller.user_id)
    return no_content()
