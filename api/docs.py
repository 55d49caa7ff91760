"""GET /openapi.json and /docs. Both are made once, when the hub starts."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.call import JSON, Call
from api.docs_page import page_of, page_policy
from api.openapi import openapi_document


@dataclass(frozen=True, slots=True)
class Documentation:
    """Both as they are sent."""

    document: bytes
    page: bytes


def documentation(calls: Iterable[Call]) -> Documentation:
    """What describes these calls."""
    document = openapi_document(calls, _version())
    return Documentation(msgspec.json.encode(document), page_of(document).encode())


def _version() -> str:
    try:
        return version("artic")
    except PackageNotFoundError:
        return "0"  # runs out of a folder


async def get_document(request: Request) -> Response:
    """GET /openapi.json: this interface as OpenAPI 3.1."""
    return Response(_documentation(request).document, media_type=JSON)


async def get_page(request: Request) -> Response:
    """GET /docs: the same as a page that needs no other host and no script."""
    headers = {
        "Content-Security-Policy": page_policy(),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Response(_documentation(request).page, headers=headers, media_type="text/html")


def _documentation(request: Request) -> Documentation:
    made = request.app.state.documentation
    assert isinstance(made, Documentation)
    return made
