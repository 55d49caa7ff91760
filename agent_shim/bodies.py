"""Reading what callers of the agent endpoint send: /start, /plan, /config and the queries.

Every bad field is named at once, in the shape of the field: {loc, msg, type}. What the contract
knows and this version does not serve is refused by name; nothing is ignored. null stands for a
field that is left out. Limits of sizes and per cents are the hub's.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from agent_shim.contract import whole_seconds

BODY_BYTES_MAX = 65_536
LEVERAGE_MAX = 125
SYMBOL_CHARACTERS_MAX = 32
POLL_SECONDS_MAX = 2_147_483_647
LOG_LINES_MAX = 1000
FIELD_ERRORS_MAX = 50
FIELD_NAME_CHARACTERS_MAX = 64
TIMEFRAMES = ("1m", "5m", "15m", "30m", "1h", "4h", "1d")

Detail = str | list[dict[str, Any]]
Query = list[tuple[str, str]]


class Refusal(Exception):
    """An answer of the agent endpoint that is no success: its status and its detail."""

    def __init__(
        self, status: int, detail: Detail, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


class _Wrong(Exception):
    """What is wrong with one field: the field's word for it, and plain words."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message


_Reader = Callable[[Any], Any]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong("float_type", "expected a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Wrong("finite_number", "number out of range")
    if number <= 0:
        raise _Wrong("greater_than", "expected a number > 0")
    return number


def _leverage(value: Any) -> int:
    number = _number(value)
    if not number.is_integer():
        raise _Wrong("int_type", "expected a whole number")
    if number > LEVERAGE_MAX:
        raise _Wrong("less_than_equal", f"expected a whole number <= {LEVERAGE_MAX}")
    return int(number)


def _poll_seconds(value: Any) -> int:
    number = _number(value)
    if number > POLL_SECONDS_MAX:
        raise _Wrong("less_than_equal", f"expected a number <= {POLL_SECONDS_MAX}")
    return whole_seconds(number)


def _symbol(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong("string_type", "expected a string")
    if not 1 <= len(value) <= SYMBOL_CHARACTERS_MAX or not value.isprintable():
        message = f"expected 1 to {SYMBOL_CHARACTERS_MAX} printable characters"
        raise _Wrong("string_length", message)
    return value


def _timeframe(value: Any) -> str:
    return _choice(value, TIMEFRAMES)


def _tp_sl_mode(value: Any) -> str:
    mode = _choice(value, ("fixed", "dynamic"))
    if mode != "fixed":
        raise _Wrong("not_available", f"{mode} is not available yet")
    return mode


def _choice(value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise _Wrong("literal_error", "expected one of: " + ", ".join(choices))
    return str(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("bool_type", "expected true or false")
    return value


def _not_built(value: Any) -> None:
    raise _Wrong("not_available", "not available yet")


_START: Mapping[str, _Reader] = {
    "symbol": _symbol,
    "amount_usdt": _number,
    "leverage": _leverage,
    "poll_seconds": _poll_seconds,
    "tp_pct": _number,
    "sl_pct": _number,
    "risk_profile": _not_built,
    "primary_timeframe": _timeframe,
    "live_mode": _boolean,
    "tp_sl_mode": _tp_sl_mode,
    "supervisor_interval_seconds": _not_built,
    "llm_provider": _not_built,
    "indicators": _not_built,
}
_START_REQUIRED = ("symbol", "amount_usdt", "leverage")
_CONFIG: Mapping[str, _Reader] = {
    key: _START[key]
    for key in (
        "amount_usdt",
        "tp_pct",
        "sl_pct",
        "tp_sl_mode",
        "supervisor_interval_seconds",
        "poll_seconds",
        "risk_profile",
    )
}


def read_start(raw: bytes, content_type: str) -> dict[str, Any] | None:
    """The checked body of /start and /plan, with poll_seconds whole; None for an empty one.

    Raises:
        Refusal: 422 for bad fields, 409 for live_mode, which is not served.
    """
    given = _read_object(raw, content_type)
    if not given:
        return None
    checked = _read_fields(given, _START, _START_REQUIRED)
    if checked.get("live_mode"):
        raise Refusal(409, "live_mode is not available yet: leave it out for paper trading")
    return {"poll_seconds": 1} | checked


def read_config(raw: bytes, content_type: str) -> dict[str, Any]:
    """The checked body of /config: the fields given, at least one. Raises Refusal (422)."""
    given = _read_object(raw, content_type)
    checked = _read_fields(given or {}, _CONFIG, ())
    if not checked:
        raise _refuse([_error(("body",), "missing", "expected at least one field to change")])
    return checked


def read_no_body(raw: bytes) -> None:
    """Refuses a body where none belongs: what it asks for would be ignored."""
    if raw.strip() not in (b"", b"{}"):
        raise _refuse([_error(("body",), "extra_forbidden", "this call takes no body")])


def read_stop_query(query: Query) -> bool:
    """closePosition, true by default. Raises Refusal (422)."""
    text = _read_query(query, "closePosition")
    if text is None or text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise _refuse([_error(("query", "closePosition"), "bool_parsing", "expected true or false")])


def read_logs_query(query: Query) -> int | None:
    """limit, None where it is not given. Raises Refusal (422)."""
    text = _read_query(query, "limit")
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= LOG_LINES_MAX:
        return int(text)
    message = f"expected a whole number from 1 to {LOG_LINES_MAX}"
    raise _refuse([_error(("query", "limit"), "int_parsing", message)])


def read_no_query(query: Query) -> None:
    """Refuses a query where none belongs."""
    _read_query(query, None)


def _read_query(query: Query, name: str | None) -> str | None:
    """The one parameter of a call; any other, and the same one twice, is refused."""
    errors = [
        _error(("query", key[:FIELD_NAME_CHARACTERS_MAX]), "extra_forbidden", "unknown parameter")
        for key, _ in query
        if key != name
    ]
    values = [value for key, value in query if key == name]
    if len(values) > 1:
        errors.append(_error(("query", str(name)), "value_error", "given more than once"))
    if errors:
        raise _refuse(errors)
    return values[0] if values else None


def _read_object(raw: bytes, content_type: str) -> dict[str, Any] | None:
    if not raw.strip():
        return None
    if content_type.partition(";")[0].strip().lower() != "application/json":
        message = "send the body as application/json"
        raise _refuse([_error(("body",), "json_type", message)])
    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=_without_doubles, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, _Malformed) else "the body is not valid JSON"
        raise _refuse([_error(("body",), "json_invalid", reason)]) from error
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _refuse([_error(("body",), "dict_type", "expected an object")])
    return value


class _Malformed(ValueError):
    """JSON that two readers could understand differently."""


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Malformed("a key appears twice in one object")
    return found


def _refuse_constant(name: str) -> Any:
    raise _Malformed(f"{name} is not a JSON number")


def _read_fields(
    given: Mapping[str, Any], readers: Mapping[str, _Reader], required: tuple[str, ...]
) -> dict[str, Any]:
    errors = [
        _error(("body", name), "missing", "field required")
        for name in required
        if given.get(name) is None
    ]
    checked: dict[str, Any] = {}
    for name, value in given.items():
        reader = readers.get(name)
        loc = ("body", name[:FIELD_NAME_CHARACTERS_MAX])
        if reader is None:
            errors.append(_error(loc, "extra_forbidden", "unknown field"))
        elif value is not None:
            try:
                checked[name] = reader(value)
            except _Wrong as wrong:
                errors.append(_error(loc, wrong.kind, wrong.message))
    if errors:
        raise _refuse(errors)
    return checked


def _error(loc: tuple[str, ...], kind: str, message: str) -> dict[str, Any]:
    return {"loc": list(loc), "msg": message, "type": kind}


def _refuse(errors: list[dict[str, Any]]) -> Refusal:
    return Refusal(422, errors[:FIELD_ERRORS_MAX])
