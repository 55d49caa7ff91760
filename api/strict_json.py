"""JSON as the hub reads it: what other parsers let pass quietly is an error here.

Duplicate keys, NaN and infinities, numbers that no float64 holds, half a surrogate pair
and deep nesting are refused, since two readers could understand each of them differently.
"""

import codecs
import json
import math

NESTING_DEPTH_MAX = 16
INTEGER_DIGITS_MAX = 300


class MalformedJson(ValueError):
    """The bytes are not JSON that every reader understands alike; the text says why."""


def parse_json(raw: bytes) -> object:
    """The value that the UTF-8 text stands for, or MalformedJson."""
    if not raw.strip():
        raise MalformedJson("the body is empty")
    if raw.startswith(codecs.BOM_UTF8):
        raise MalformedJson("the body begins with a byte order mark")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedJson("the body is not valid UTF-8") from error
    try:
        value: object = json.loads(
            text,
            object_pairs_hook=_object_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            parse_int=_bounded_integer,
        )
    except MalformedJson:
        raise
    except RecursionError as error:
        raise MalformedJson(_TOO_DEEP) from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedJson(f"the body is not valid JSON ({where})") from error
    _check_texts_and_depth(value)
    return value


_TOO_DEEP = f"the body is nested deeper than {NESTING_DEPTH_MAX} levels"


def _object_without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise MalformedJson(f"the key {key[:64]!r} appears twice in one object")
            seen.add(key)
    return found


def _refuse_constant(name: str) -> object:
    raise MalformedJson(f"{name} is not a JSON number")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise MalformedJson(f"the number {text[:32]} is out of range")
    return number


def _bounded_integer(text: str) -> int:
    if len(text) > INTEGER_DIGITS_MAX:
        raise MalformedJson(f"the number {text[:32]}... is out of range")
    return int(text)


def _check_texts_and_depth(value: object) -> None:
    level: list[object] = [value]
    depth = 0
    while level:
        below: list[object] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, dict):
                for key in item:
                    _check_text(key)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        depth += any(isinstance(item, dict | list) for item in level)
        if depth > NESTING_DEPTH_MAX:
            raise MalformedJson(_TOO_DEEP)
        level = below


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedJson("a string holds half of a surrogate pair") from error
