"""JSON answers, encoded by msgspec: structs, UUIDs and floats as the contract writes them."""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response


class Done(msgspec.Struct, frozen=True):
    """The answer of a call that has nothing to tell."""

    ok: bool


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return encoded_answer(msgspec.json.encode(value), status, headers)


def encoded_answer(
    encoded: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer that is JSON already."""
    return Response(encoded, status, headers, "application/json")


def no_content() -> Response:
    """204."""
    return Response(status_code=204)
