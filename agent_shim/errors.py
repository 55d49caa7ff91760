"""Every refusal of the agent endpoint, in the shape that its callers know: {"detail": ...}."""

from collections.abc import Mapping, Sequence
from typing import Any

FIELD_ERRORS_MAX = 50
NAME_CHARACTERS_MAX = 64

FieldError = dict[str, Any]
"""{loc, msg, type} of one bad field."""
Detail = str | list[FieldError]


class Refusal(Exception):
    """An answer that is no success: its status, its detail, headers such as Retry-After."""

    def __init__(
        self, status: int, detail: Detail, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def field_error(where: str, name: str, kind: str, message: str) -> FieldError:
    """What is wrong with one field; `where` is body or query, an empty name the whole of it."""
    loc = [where, name[:NAME_CHARACTERS_MAX]] if name else [where]
    return {"loc": loc, "msg": message, "type": kind}


def bad_input(errors: Sequence[FieldError]) -> Refusal:
    """422 naming every bad field."""
    return Refusal(422, list(errors[:FIELD_ERRORS_MAX]))
