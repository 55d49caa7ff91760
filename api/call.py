"""What one call of the hub is: its path and handler, who may make it, what it takes and answers.

The routes, /openapi.json and /docs are made of these. Types are those that validate and answer.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from api.bodies import Body

Handler = Callable[[Any], Awaitable[Any]]
Guard = Literal["nobody", "account", "internal"]
"""Who is asked for: nothing, an account's credential, the internal secret."""
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """One successful answer; type None: no body. Headers by name with what they say."""

    says: str
    type: Any = None
    example: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = JSON


@dataclass(frozen=True, slots=True)
class Takes:
    """A request body: one of these types; may_be_empty: also nothing at all.

    nulls_left_out: null stands for a known field that is left out. merge_patch: what RFC 7396
    makes of the type, without the fields that can't be changed.
    """

    types: tuple[type[Body], ...]
    examples: Mapping[str, object]
    may_be_empty: bool = False
    nulls_left_out: bool = False
    merge_patch: bool = False
    not_in_patch: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One method of one path. `refusals` are those beside the ones that every such call has."""

    method: str
    path: str
    handler: Handler
    group: str
    says: str
    guard: Guard = "account"
    or_pool_secret: bool = False
    """Where the internal secret is asked for: the pool's, too, for the agents of other hubs."""
    or_bearer: bool = False
    """Where the internal secret is asked for: as Authorization: Bearer, too, for who has no other
    header."""
    takes: Takes | None = None
    query: type[Body] | None = None
    query_example: Mapping[str, str] = field(default_factory=dict)
    request_headers: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[int, Answer] = field(default_factory=dict)
    refusals: tuple[int, ...] = ()

    @property
    def is_socket(self) -> bool:
        """Whether it becomes a WebSocket."""
        return 101 in self.answers

    @property
    def takes_no_query(self) -> bool:
        """Whether a query is refused. What everybody may ask for is served with any."""
        return self.query is None and (self.guard != "nobody" or self.method != "GET")

    @property
    def path_parameters(self) -> list[str]:
        """Names between braces."""
        parts = self.path.split("/")
        return [part[1:-1] for part in parts if part.startswith("{")]
