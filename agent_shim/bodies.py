"""Reading what callers of the agent endpoint send: /start, /plan, /config and the queries. Pure.

Every bad field is named at once. What the contract knows and this version does not serve is refused
by name, and nothing is ignored. null stands for a field that is left out. The limits are the hub's,
said here in the words of this port.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from agent_shim.contract import AMOUNT_DECIMALS, decimals, hub_settings, per_cent, whole_seconds
from agent_shim.errors import FieldError, Refusal, bad_input, field_error

LEVERAGE_MAX = 125
SYMBOL_CHARACTERS_MAX = 32
INTERVAL_S_MAX = 2_147_483_647
POSITION_USD_MIN = 0.01
POSITION_USD_MAX = 1_000_000_000.0
PCT_MAX = 400_000.0
PCT_DECIMALS = 4
LOG_LINES_MAX = 1_000
TIMEFRAMES = ("1m", "5m", "15m", "30m", "1h", "4h", "1d")

Query = list[tuple[str, str]]
_Reader = Callable[[Any], Any]


class _Wrong(Exception):
    """What is wrong with one field: the kind of mistake, and plain words."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message


def read_start(raw: bytes, content_type: str, *, passes_all: bool = False) -> dict[str, Any] | None:
    """The fields given in the body of /start and /plan; None where there are none.

    passes_all: fields that are not served go on to the pool, which says so in the agent's log.

    Raises:
        Refusal: 422 for bad fields, 409 for live_mode, which is not served.
    """
    given = _read_object(raw, content_type) or {}
    checked, errors = _read_fields(given, _all_of(_START) if passes_all else _START)
    if not checked and not errors:
        return None
    errors += [
        field_error("body", name, "missing", "required")
        for name in _START_REQUIRED
        if given.get(name) is None
    ]
    if errors:
        raise bad_input(errors)
    if not POSITION_USD_MIN <= hub_settings(checked).max_position_usd <= POSITION_USD_MAX:
        limits = f"from {POSITION_USD_MIN:g} to {POSITION_USD_MAX:,.0f}"
        message = f"expected amount_usdt x leverage {limits}"
        raise bad_input([field_error("body", "amount_usdt", "value_error", message)])
    if checked.get("live_mode"):
        raise Refusal(409, "live_mode is not available yet: leave it out for paper trading")
    return checked


def read_config(raw: bytes, content_type: str, *, passes_all: bool = False) -> dict[str, Any]:
    """The fields given in the body of /config; passes_all as above. Raises Refusal (422)."""
    given = _read_object(raw, content_type)
    if given is None:
        raise bad_input([field_error("body", "", "missing", "required")])
    checked, errors = _read_fields(given, _all_of(_CONFIG) if passes_all else _CONFIG)
    if errors:
        raise bad_input(errors)
    return checked


def read_no_body(raw: bytes) -> None:
    """Refuses a body where none belongs, since what it asks for would be ignored."""
    if raw.strip() not in (b"", b"{}"):
        message = "this call takes no body"
        raise bad_input([field_error("body", "", "extra_forbidden", message)])


def read_stop_query(query: Query) -> bool:
    """closePosition, true by default. Raises Refusal (422)."""
    text = _read_query(query, "closePosition")
    if text is None or text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    message = "expected true or false"
    raise bad_input([field_error("query", "closePosition", "bool_parsing", message)])


def read_logs_query(query: Query) -> int | None:
    """limit, None where it is not given. Raises Refusal (422)."""
    text = _read_query(query, "limit")
    if text is None:
        return None
    if text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= LOG_LINES_MAX:
        return int(text)
    message = f"expected a whole number from 1 to {LOG_LINES_MAX}"
    raise bad_input([field_error("query", "limit", "int_parsing", message)])


def read_no_query(query: Query) -> None:
    """Refuses a query where none belongs. Raises Refusal (422)."""
    _read_query(query, None)


def _read_query(query: Query, name: str | None) -> str | None:
    """The one parameter of a call; any other, and the same one twice, is refused."""
    errors = [
        field_error("query", key, "extra_forbidden", "unknown parameter")
        for key, _ in query
        if key != name
    ]
    values = [value for key, value in query if key == name]
    if name is not None and len(values) > 1:
        errors.append(field_error("query", name, "value_error", "given more than once"))
    if errors:
        raise bad_input(errors)
    return values[0] if values else None


def _read_object(raw: bytes, content_type: str) -> dict[str, Any] | None:
    """The JSON object of a body; None for an empty body and for null."""
    if not raw.strip():
        return None
    if content_type.partition(";")[0].strip().lower() != "application/json":
        message = "send the body as application/json"
        raise bad_input([field_error("body", "", "json_type", message)])
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_without_doubles, parse_constant=_no_number
        )
    except _Malformed as error:
        raise bad_input([field_error("body", "", "json_invalid", str(error))]) from error
    except (ValueError, RecursionError) as error:
        message = "the body is not valid JSON"
        raise bad_input([field_error("body", "", "json_invalid", message)]) from error
    if value is not None and not isinstance(value, dict):
        raise bad_input([field_error("body", "", "dict_type", "expected an object")])
    return value


class _Malformed(ValueError):
    """JSON that two readers could understand differently."""


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Malformed("a key appears twice in one object")
    return found


def _no_number(name: str) -> NoReturn:
    raise _Malformed(f"{name} is not a JSON number")


def _read_fields(
    given: Mapping[str, Any], readers: Mapping[str, _Reader]
) -> tuple[dict[str, Any], list[FieldError]]:
    """(the fields that are not null, what is wrong)."""
    checked: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, value in given.items():
        read = readers.get(name)
        if read is None:
            errors.append(field_error("body", name, "extra_forbidden", "unknown field"))
        elif value is not None:
            try:
                checked[name] = read(value)
            except _Wrong as wrong:
                errors.append(field_error("body", name, wrong.kind, wrong.message))
    return checked, errors


def _number(value: Any) -> float:
    """A finite number > 0, as it was given."""
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
    return value


def _at_most(number: float, largest: float, unit: str = "number") -> None:
    if number > largest:
        raise _Wrong("less_than_equal", f"expected a {unit} <= {largest:.15g}")


def _with_decimals(number: float, most: int) -> None:
    if decimals(number) > most:
        raise _Wrong("decimal_max_places", f"expected at most {most} decimals")


def _amount(value: Any) -> float:
    number = _number(value)
    _at_most(number, POSITION_USD_MAX)
    _with_decimals(number, AMOUNT_DECIMALS)
    return number


def _fraction(value: Any) -> float:
    number = _number(value)
    _at_most(number, PCT_MAX / 100, "fraction")
    if decimals(per_cent(number)) > PCT_DECIMALS:
        raise _Wrong("decimal_max_places", f"expected at most {PCT_DECIMALS + 2} decimals")
    return number


def _leverage(value: Any) -> int:
    number = _number(value)
    if float(number) != int(number):
        raise _Wrong("int_type", "expected a whole number")
    _at_most(number, LEVERAGE_MAX, "whole number")
    return int(number)


def _poll_seconds(value: Any) -> float:
    number = _number(value)
    _at_most(whole_seconds(number), INTERVAL_S_MAX)
    return number


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
    return _choice(value, ("fixed", "dynamic"))


def _choice(value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise _Wrong("literal_error", "expected one of: " + ", ".join(choices))
    return str(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("bool_type", "expected true or false")
    return value


def _not_built(value: Any) -> NoReturn:
    raise _Wrong("not_available", "not available yet")


def _as_it_is(value: Any) -> Any:
    return value


def _all_of(readers: Mapping[str, _Reader]) -> Mapping[str, _Reader]:
    return {name: _as_it_is if read is _not_built else read for name, read in readers.items()}


_CONFIG: Mapping[str, _Reader] = {
    "amount_usdt": _amount,
    "tp_pct": _fraction,
    "sl_pct": _fraction,
    "tp_sl_mode": _tp_sl_mode,
    "supervisor_interval_seconds": _not_built,
    "poll_seconds": _poll_seconds,
    "risk_profile": _not_built,
}
_START: Mapping[str, _Reader] = {
    **_CONFIG,
    "symbol": _symbol,
    "leverage": _leverage,
    "primary_timeframe": _timeframe,
    "live_mode": _boolean,
    "llm_provider": _not_built,
    "indicators": _not_built,
}
_START_REQUIRED = ("symbol", "amount_usdt", "leverage")
