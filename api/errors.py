"""Every refusal of the hub, as RFC 9457 problem answers.

Handlers raise Problem; nothing else leaves the hub as an error. Below
/internal/agents/{id}/endpoint/ the same refusals keep the shape that agents in the field
know, {"detail": ...}.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from starlette.responses import Response

RETRY_AFTER_S = 2
FIELD_ERRORS_MAX = 100
PATH_BYTES_MAX = 300
"""Of a path in the log; the hub's own are shorter."""

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

AGENT_ENDPOINT = re.compile(r"/internal/agents/[^/]*/endpoint(/|$)")


Where = Literal["body", "query"]
"""Which part of a request is bad."""
WHOLE = "body"
"""The field of an error that is about a body as a whole."""


class FieldError(msgspec.Struct, frozen=True):
    """One bad field of a body or query: its dotted path and what it should be."""

    field: str
    message: str


class ProblemAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A refusal as RFC 9457 has it; errors names every bad field of a 422."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()


class EndpointFieldError(msgspec.Struct, frozen=True):
    """One bad field, as callers of the agent endpoint know it."""

    loc: list[str]
    msg: str
    type: str


class EndpointError(msgspec.Struct, frozen=True):
    """A refusal of the agent endpoint."""

    detail: str | list[EndpointFieldError]


class Problem(Exception):
    """A refusal with its HTTP status; `detail` is meant for the caller's eyes."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        where: Where = "body",
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.where: Where = where
        self.headers = dict(headers or {})


def path_of(scope: Mapping[str, Any]) -> str:
    """The path as it was sent: percent-encoded, so that nobody writes lines of a log."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("ascii", "backslashreplace")
    return raw.partition(b"?")[0][:PATH_BYTES_MAX].decode("ascii", "backslashreplace")


def not_found(what: str) -> Problem:
    """404, said of what is missing and of what belongs to somebody else alike."""
    return Problem(404, f"no such {what}")


def bad_input(errors: Sequence[FieldError], where: Where = "body") -> Problem:
    """422 naming every bad field, up to a hundred of them."""
    names = ", ".join(error.field for error in errors[:5])
    more = f" and {len(errors) - 5} more" if len(errors) > 5 else ""
    told = errors[:FIELD_ERRORS_MAX]
    return Problem(422, f"bad input: {names}{more}", errors=told, where=where)


def away(what: str) -> Problem:
    """503 while a dependency can't be reached."""
    return Problem(503, f"{what} is away, try again", headers={"Retry-After": str(RETRY_AFTER_S)})


def too_many(what: str, wait_s: int) -> Problem:
    """429 with the seconds to wait."""
    return Problem(429, f"too many {what}, try again later", headers={"Retry-After": str(wait_s)})


def problem_answer(path: str, problem: Problem) -> Response:
    """The answer for a refusal, in the shape that callers of that path know."""
    if AGENT_ENDPOINT.match(path):
        return _agent_endpoint_answer(problem)
    encoded = msgspec.json.encode(told_problem(problem))
    return Response(encoded, problem.status, problem.headers, "application/problem+json")


def too_many_requests(per_minute: int, wait_s: int) -> Problem:
    """429 with what the limit is."""
    return too_many(f"requests, more than {per_minute} a minute", wait_s)


def told_problem(problem: Problem) -> ProblemAnswer:
    """A refusal as its caller reads it."""
    title = TITLES.get(problem.status, "Error")
    return ProblemAnswer("about:blank", title, problem.status, problem.detail, problem.errors)


def _agent_endpoint_answer(problem: Problem) -> Response:
    detail: str | list[EndpointFieldError] = problem.detail
    if problem.errors:
        detail = [
            EndpointFieldError(_loc(problem.where, error.field), error.message, "value_error")
            for error in problem.errors
        ]
    encoded = msgspec.json.encode(EndpointError(detail))
    return Response(encoded, problem.status, problem.headers, "application/json")


def _loc(where: Where, field: str) -> list[str]:
    return [where] if (where, field) == ("body", WHOLE) else [where, *field.split(".")]
