"""Reading request bodies and queries: every bad field is named at once.

A body type is a msgspec struct that derives from Body. msgspec stops at the first error, so
the walker here converts field by field, and reports unknown fields and fields that the
contract knows but this version does not serve.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin
from uuid import UUID

import msgspec
from starlette.requests import ClientDisconnect, HTTPConnection, Request

from api.errors import WHOLE, FieldError, Problem, bad_input
from api.strict_json import MalformedJson, parse_json

BODY_BYTES_MAX = 1_000_000
PARSED_AT_ONCE = 100_000
"""Bytes of JSON: some two milliseconds."""
BODY_S_MAX = 30.0
HANG_UP = {"Connection": "close"}
"""What is still to come of a body would be read as the next request."""
FIELD_NAME_CHARACTERS_MAX = 64

UNKNOWN = "unknown field"
MISSING = "required"
TWICE = "given more than once"
NOT_BUILT = "not available yet"

Check = Callable[[Any], str | None]
_INTEGER = re.compile("-?[0-9]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """A body whose fields are checked one by one.

    `not_built` names the fields of the contract that are refused until they are served;
    `checks` maps a field to a function that says what is wrong with its converted value; null
    is nothing to check.
    """

    not_built: ClassVar[frozenset[str]] = frozenset()
    checks: ClassVar[Mapping[str, Check]] = {}


class Nothing(Body, frozen=True, kw_only=True):
    """The body of a call that takes none."""


B = TypeVar("B", bound=Body)


async def read_body(request: Request, body: type[B], *, may_be_empty: bool = False) -> B:
    """The checked body, or Problem 400, 413, 415 or 422."""
    return check_fields(await read_json(request, may_be_empty=may_be_empty), body)


async def read_json(
    request: Request, *, may_be_empty: bool = False, bytes_max: int = BODY_BYTES_MAX
) -> object:
    """The body as strict JSON, or Problem 400, 413 or 415; {} for an empty one that may be."""
    raw = await _read_bytes(request, bytes_max)
    if may_be_empty and not raw.strip():
        return {}
    _check_content_type(request)
    try:
        # A long one would keep all others waiting.
        long = len(raw) > PARSED_AT_ONCE
        return await asyncio.to_thread(parse_json, raw) if long else parse_json(raw)
    except MalformedJson as error:
        raise Problem(400, str(error)) from error


def read_query(connection: HTTPConnection, query: type[B]) -> B:
    """The checked query parameters, or Problem 422. Unknown ones are refused, too."""
    return check_query(connection.query_params.multi_items(), query)


def check_query(pairs: Sequence[tuple[str, str]], query: type[B]) -> B:
    """The struct that (name, value) pairs stand for, or Problem 422."""
    given = dict(pairs)
    errors = [
        FieldError(name[:FIELD_NAME_CHARACTERS_MAX], TWICE)
        for name in given
        if sum(other == name for other, _ in pairs) > 1
    ]
    found = _walk(given, query, "", errors, strict=False)
    if found is None or errors:
        raise bad_input(errors, "query")
    return found


def check_fields(value: object, body: type[B]) -> B:
    """The struct that the parsed JSON value stands for, or Problem 422 with every error."""
    found, errors = walk_fields(value, body)
    if found is None:
        raise bad_input(errors)
    return found


def walk_fields(value: object, body: type[B]) -> tuple[B | None, list[FieldError]]:
    """(the struct that the parsed JSON value stands for, or None; everything that is wrong)."""
    errors: list[FieldError] = []
    return _walk(value, body, "", errors, strict=True), errors


def without_nulls(given: object, body: type[Body]) -> object:
    """What is given without the nulls of fields that the contract knows: null leaves such a field
    out. An unknown one stays in, to be refused, since it may be a misspelled setting.
    """
    if not isinstance(given, dict):
        return given
    known = set(contract_fields(body))
    return {name: value for name, value in given.items() if value is not None or name not in known}


def contract_fields(body: type[Body]) -> list[str]:
    """The names of all fields that the contract has, served or not."""
    served = [field.encode_name for field in msgspec.structs.fields(body)]
    return served + sorted(body.not_built)


def usual_uuid(text: str) -> UUID | None:
    """The UUID of a text in its usual form, 8-4-4-4-12; None for any other."""
    return _uuid(text) if _UUID.fullmatch(text) else None


@lru_cache(maxsize=16_384)
def _uuid(text: str) -> UUID:
    return UUID(text)


async def _read_bytes(request: Request, bytes_max: int) -> bytes:
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced[:20]) > bytes_max:
        raise _too_large(bytes_max)
    chunks: list[bytes] = []
    length = 0
    try:
        async with asyncio.timeout(BODY_S_MAX):
            async for chunk in request.stream():
                length += len(chunk)
                if length > bytes_max:
                    raise _too_large(bytes_max)
                chunks.append(chunk)
    except ClientDisconnect as error:
        raise Problem(400, "the body ended early") from error
    except TimeoutError as error:
        raise Problem(400, "the body did not arrive in time", headers=HANG_UP) from error
    return b"".join(chunks)


def _too_large(bytes_max: int) -> Problem:
    return Problem(413, f"the body is larger than {bytes_max} bytes")


def _check_content_type(request: Request) -> None:
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower()
    if kind.strip().lower() != "application/json" or charset not in (
        "",
        "charset=utf-8",
        'charset="utf-8"',
    ):
        raise Problem(415, "send the body as application/json in UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "send the body without a content encoding")


def _walk(
    value: object, body: type[B], prefix: str, errors: list[FieldError], *, strict: bool
) -> B | None:
    """Convert field by field into `body`; append what is wrong and answer None if anything is."""
    if not isinstance(value, dict):
        errors.append(FieldError(prefix.rstrip(".") or WHOLE, "expected an object"))
        return None
    before = len(errors)
    converted: dict[str, object] = {}
    fields = _fields_of(body)
    for name, field in fields.items():
        if name not in value:
            if field.required:
                errors.append(FieldError(prefix + name, MISSING))
            continue
        given = value[name]
        if isinstance(field.type, type) and issubclass(field.type, Body):
            inner = _walk(given, field.type, f"{prefix}{name}.", errors, strict=strict)
            converted[field.name] = inner
            continue
        result, problem = _convert(given, field.type, strict=strict)
        check = body.checks.get(name)
        if problem is None and check is not None and result is not None:
            problem = check(result)
        if problem is None:
            converted[field.name] = result
        else:
            errors.append(FieldError(prefix + name, problem))
    for name in value:
        if name not in fields:
            message = NOT_BUILT if name in body.not_built else UNKNOWN
            errors.append(FieldError(prefix + name[:FIELD_NAME_CHARACTERS_MAX], message))
    return body(**converted) if len(errors) == before else None


@cache
def _fields_of(body: type[Body]) -> Mapping[str, msgspec.structs.FieldInfo]:
    # msgspec evaluates the annotations anew each time
    return {field.encode_name: field for field in msgspec.structs.fields(body)}


def _convert(value: object, wanted: Any, *, strict: bool) -> tuple[object, str | None]:
    """(the converted value, None) or (None, what is wrong)."""
    if _is_integer_type(wanted):
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # 5.0 is an integer to JSON
        elif not strict and not _INTEGER.fullmatch(str(value)):
            return None, "expected a whole number"  # to a query it is none, nor is 1e3
    try:
        return msgspec.convert(value, wanted, strict=strict), None
    except msgspec.ValidationError as error:
        words = _in_plain_words(str(error), wanted)
        # In a query everything is a string, and nothing is null.
        return None, words if strict else words.replace(" or null", "").partition(", got ")[0]


def _is_integer_type(wanted: Any) -> bool:
    return wanted is int or any(_is_integer_type(inner) for inner in get_args(wanted))


_TYPE_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
    "uuid": "a UUID",
}


def _in_plain_words(message: str, wanted: Any) -> str:
    """msgspec's error text in the words of JSON."""
    message = message.partition(" - at `")[0]
    if message.startswith("Invalid enum value"):
        return "expected one of: " + ", ".join(_choices(wanted))
    if message.startswith("Number out of range"):
        return "number out of range"
    kinds = r"Expected `([^`]*)`"
    if bound := re.fullmatch(kinds + r" of length (<=|>=) (\d+)", message):
        words = "at most" if bound[2] == "<=" else "at least"
        one, more = ("entry", "entries") if bound[1] == "array" else ("character", "characters")
        return f"expected {words} {bound[3]} {one if bound[3] == '1' else more}"
    if bound := re.fullmatch(kinds + r" (<=|>=|<|>) (\S+)", message):
        return f"expected {_type_words(bound[1])} {bound[2]} {float(bound[3]):.16g}"
    if mismatch := re.fullmatch(kinds + r", got `([^`]*)`", message):
        return f"expected {_type_words(mismatch[1])}, got {_type_words(mismatch[2])}"
    return message.replace("`", "")


def _type_words(kinds: str) -> str:
    return " or ".join(_TYPE_WORDS.get(kind, kind) for kind in kinds.split(" | "))


def _choices(wanted: Any) -> list[str]:
    if get_origin(wanted) is Literal:
        return [str(choice) for choice in get_args(wanted)]
    return [choice for inner in get_args(wanted) for choice in _choices(inner)]
