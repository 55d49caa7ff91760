"""JSON answers, encoded by msgspec: structs, UUIDs and floats as the contract writes them."""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

_JSON = (b"content-type", b"application/json")


class Done(msgspec.Struct, frozen=True):
    """The answer of a call that has nothing to tell."""

    ok: bool


class EncodedAnswer(Response):
    """An answer that is JSON already, with our own headers only: none of them needs a look."""

    def __init__(self, encoded: bytes, status: int = 200) -> None:
        self.status_code = status
        self.background = None
        self.body = encoded
        self.raw_headers = [_JSON, (b"content-length", b"%d" % len(encoded))]


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return encoded_answer(msgspec.json.encode(value), status, headers)


def encoded_answer(
    encoded: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer that is JSON already."""
    if headers:
        return Response(encoded, status, headers, "application/json")
    return EncodedAnswer(encoded, status)


def no_content() -> Response:
    """204."""
    return Response(status_code=204)
