"""A bad request and the exact answer to it: one row of the tables bad_*.py.

What the answer says is its `detail`, and for 422 the list of (field, message). AGENT stands for the
id of an agent of the caller, in the path and in the body.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Says = str | list[tuple[str, str]]
REGISTER = "/auth/register"
LOGIN = "/auth/login"
GOOD = {"symbol": "BTC/USDT", "strategy_name": "momentum_breakout"}
NOT_BUILT = "not available yet"
UNKNOWN = "unknown field"
TIMEFRAMES = "expected one of: 1m, 5m, 15m, 30m, 1h, 4h, 1d"
NO_LIVE_MODE = (
    "live_mode needs the prices of a market, and here prices are simulated (seeded random walks;"
    " no market is asked)"
)
NO_SUCH_SYMBOL = "no prices for {}; see GET /api/market/symbols"
NO_OBJECT = [("body", "expected an object")]
AGENT = "00000000-aaaa-4000-8000-000000000000"
JSON = "application/json"


@dataclass(frozen=True)
class BadInput:
    """One bad request and what it is told."""

    name: str
    raw: bytes
    status: int
    says: Says
    path: str = "/api/agents"
    content_type: str | None = JSON
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    """These are answered, too."""

    @property
    def request(self) -> tuple[object, ...]:
        """What is sent, to tell rows apart."""
        sent = tuple(sorted(self.headers.items()))
        return self.method, self.path, self.raw, self.content_type, sent


def raw(name: str, body: bytes, status: int, says: Says, **more: Any) -> BadInput:
    """A body as bytes."""
    return BadInput(name, body, status, says, **more)


def body(name: str, path: str, value: Any, says: Says, /, **more: Any) -> BadInput:
    """A body as JSON, refused with 422 if nothing else is said."""
    encoded = value if isinstance(value, bytes) else json.dumps(value).encode()
    more = {"status": 422} | more
    return BadInput(name, encoded, says=says, path=path, **more)


def agent(name: str, says: list[tuple[str, str]], /, **fields: Any) -> BadInput:
    """A create body with these fields beside the required ones."""
    return body(name, "/api/agents", GOOD | fields, says)


def spelled(name: str, status: int, says: Says, json_fields: str) -> BadInput:
    """A create body with fields that are written as JSON, since Python would write them else."""
    text = json.dumps(GOOD)[:-1] + ", " + json_fields + "}"
    return BadInput(name, text.encode(), status, says)


def risk(name: str, message: str, /, **fields: Any) -> BadInput:
    """A create body with one bad risk parameter."""
    return agent(name, [(f"risk_params.{next(iter(fields))}", message)], risk_params=fields)


def account(name: str, path: str, value: Any, says: list[tuple[str, str]]) -> BadInput:
    """A body of an account call."""
    return body(name, path, value, says)


def asked(name: str, path: str, status: int, says: Says, /, **more: Any) -> BadInput:
    """A GET, without a body."""
    more = {"method": "GET"} | more
    return BadInput(name, b"", status, says, path=path, content_type=None, **more)


def query(path: str, message: str, /, *, name: str | None = None) -> BadInput:
    """A GET with one bad parameter, the first in the query if it is not named."""
    parameter = path.partition("?")[2].partition("=")[0] if name is None else name
    return asked(path, path, 422, [(parameter, message)])
