"""A call of the agent endpoint and what it is answered, as values: no socket, no framework."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from agent_shim.errors import Detail

BODY_BYTES_MAX = 65_536

Pairs = Sequence[tuple[bytes, bytes]]
"""Headers: names in lower case, in the order in which they came."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. body is None where it is larger than BODY_BYTES_MAX."""

    method: str
    path: str
    query: str
    headers: Pairs
    body: bytes | None

    def header(self, name: str) -> list[str]:
        """Every value of a header."""
        key = name.lower().encode()
        return [value.decode("latin-1") for given, value in self.headers if given == key]

    @property
    def query_items(self) -> list[tuple[str, str]]:
        """The query's parameters, repeated ones and empty ones, too."""
        return parse_qsl(self.query, keep_blank_values=True)


@dataclass(frozen=True, slots=True)
class Reply:
    """One response; the body is JSON."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(status: int, value: object, headers: Mapping[str, str] | None = None) -> Reply:
    """A value as the body. In ASCII: a caller's own broken text, named in an error, must not
    break the answer.
    """
    return Reply(status, json.dumps(value, separators=(",", ":")).encode(), dict(headers or {}))


def refused(status: int, detail: Detail, headers: Mapping[str, str] | None = None) -> Reply:
    """{"detail": ...}, which everything has that is no success."""
    return as_json(status, {"detail": detail}, headers)
