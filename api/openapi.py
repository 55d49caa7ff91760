"""The OpenAPI 3.1 document, made of the table of calls and of their types."""

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import msgspec

from api.bodies import BODY_BYTES_MAX, Body, contract_fields
from api.call import JSON, Answer, Call, Takes
from api.errors import AGENT_ENDPOINT, TITLES, EndpointError, ProblemAnswer
from api.field_words import words_of
from api.reports import ReportLine

_OWN_NAME = re.compile(r"(GET|POST|PUT|PATCH|DELETE) \S+(: |\.$|\. )")
"""How handlers begin to say what they do: with what the document says elsewhere."""
PROBLEM = "application/problem+json"
REF = "#/components/schemas/"
Schema = dict[str, Any]
UUID_TEXT = {"type": "string", "format": "uuid"}
NULL = {"type": "null"}

SECURITY: Mapping[str, list[dict[str, list[str]]]] = {
    "nobody": [],
    "account": [{"bearer": []}, {"apiKey": []}],
    "internal": [{"internalSecret": []}],
}
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "internalSecret": {"type": "apiKey", "in": "header", "name": "X-Internal-Secret"},
}
GUARD_REFUSALS: Mapping[str, set[int]] = {
    "nobody": set(),
    "account": {401, 429, 503},
    "internal": {403, 503},
}
BODY_REFUSALS = {400, 413, 415, 422}
REFUSAL_WORDS = {
    400: "The body is not valid JSON",
    401: "Without a credential, or with one that is not good",
    403: "Not for this caller, or the internal secret is missing or wrong",
    404: "There is none, or it belongs to somebody else",
    409: "Not as things are",
    413: f"The body is larger than {BODY_BYTES_MAX} bytes",
    415: "The body is not sent as application/json in UTF-8",
    422: "Fields are bad; each is named",
    429: "Too many requests for now",
    503: "Something that the hub needs is away",
}
REFUSAL_HEADERS = {
    401: {"WWW-Authenticate": "what is asked for"},
    429: {"Retry-After": "seconds"},
    503: {"Retry-After": "seconds, where it is known"},
}
REQUEST_ID = {
    "X-Request-ID": "names this request in the hub's log; the caller's own, if it sent one"
}
DESCRIPTION = (
    "Runs trading agents. Times are UTC, ISO 8601; money and prices are numbers. Unknown fields "
    "are refused by name, and so are fields of the contract that are not available yet."
)


def openapi_document(calls: Iterable[Call], version: str) -> Schema:
    """The whole document, plain enough for any JSON encoder."""
    calls = list(calls)
    types = _types_of(calls)
    schemas, components = msgspec.json.schema_components(types, ref_template=REF + "{name}")
    by_type = dict(zip(map(repr, types), schemas, strict=True))
    closed = {each.__name__ for each in _below(Body)}
    for name, component in components.items():
        if name in closed:
            component["additionalProperties"] = False
    paths: dict[str, Any] = {}
    for call in calls:
        described = _operation(call, by_type, components)
        paths.setdefault(call.path, {})[call.method.lower()] = described
    _describe(components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Artic hub", "version": version, "description": DESCRIPTION},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SECURITY_SCHEMES},
    }


def _describe(components: Schema) -> None:
    """Says what fields mean; what stands elsewhere (`$ref`) has words of its own."""
    for name, component in components.items():
        for field, schema in component.get("properties", {}).items():
            words = words_of(name, field)
            if words is not None and "$ref" not in schema:
                schema.setdefault("description", words)


def refusals_of(call: Call) -> list[int]:
    """The statuses of all the refusals that a call may be answered with."""
    found = set(call.refusals) | GUARD_REFUSALS[call.guard]
    if call.takes is not None:
        found |= BODY_REFUSALS
    if (call.query is not None or call.takes_no_query) and not call.is_socket:
        found.add(422)
    if call.path_parameters:
        found.add(404)
    return sorted(found - set(call.answers))


def _types_of(calls: Iterable[Call]) -> list[Any]:
    types: list[Any] = [ProblemAnswer, EndpointError, ReportLine]
    for call in calls:
        types += [answer.type for answer in call.answers.values() if answer.type is not None]
        types += [] if call.takes is None else call.takes.types
        types += [] if call.query is None else [call.query]
    return list({repr(each): each for each in types}.values())


def _below(kind: type[Body]) -> Iterator[type[Body]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _operation(call: Call, by_type: Mapping[str, Schema], components: Schema) -> Schema:
    said = " ".join((call.handler.__doc__ or "").split())
    operation: Schema = {
        "operationId": f"{call.handler.__module__.rpartition('.')[2]}_{call.handler.__name__}",
        "tags": [call.group],
        "summary": call.says,
        "description": _sentence(_OWN_NAME.sub("", said, count=1)),
        "security": SECURITY[call.guard],
        "parameters": _parameters(call, components),
        "responses": _responses(call, by_type),
    }
    if call.takes is not None:
        operation["requestBody"] = _request_body(call.takes, components)
    return operation


def _sentence(said: str) -> str:
    return said[:1].upper() + said[1:]


def _parameters(call: Call, components: Schema) -> list[Schema]:
    found: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": UUID_TEXT}
        for name in call.path_parameters
    ]
    if call.query is not None:
        fields = components.pop(call.query.__name__, None) or _own_schema(call.query)
        for name, schema in fields["properties"].items():
            parameter = {"name": name, "in": "query", "schema": _without_null(schema)}
            if (words := words_of(call.query.__name__, name)) is not None:
                parameter["description"] = words
            parameter["required"] = name in fields.get("required", ())
            if name in call.query_example:
                parameter["example"] = call.query_example[name]
            found.append(parameter)
    for name, says in call.request_headers.items():
        schema = {"type": "string", "pattern": "^[!-~]{1,255}$"}
        found.append({"name": name, "in": "header", "description": says, "schema": schema})
    return found


def _own_schema(kind: Any) -> Schema:
    (_,), components = msgspec.json.schema_components([kind], ref_template=REF + "{name}")
    schema: Schema = components[kind.__name__]
    return schema


def _without_null(schema: Schema) -> Schema:
    """In a query nothing is null."""
    schema = {name: value for name, value in schema.items() if value is not None}
    if isinstance(schema.get("enum"), list):
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    kinds = [each for each in schema.get("anyOf", ()) if each != NULL]
    if not kinds:
        return schema
    del schema["anyOf"]
    return schema | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})


def _request_body(takes: Takes, components: Schema) -> Schema:
    kinds = []
    for kind in takes.types:
        if takes.merge_patch:
            kinds.append(_merge_patch(kind.__name__, takes.not_in_patch, components))
            continue
        if takes.nulls_left_out and not msgspec.structs.fields(kind):
            kinds.append(_only_nulls(takes.types))
            continue
        if takes.nulls_left_out:
            _allow_nulls(components[kind.__name__], kind)
        kinds.append({"$ref": REF + kind.__name__})
    schema = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    examples = {name.replace(" ", "-"): {"value": value} for name, value in takes.examples.items()}
    content = {JSON: {"schema": schema, "examples": examples}}
    return {"required": not takes.may_be_empty, "content": content}


def _only_nulls(kinds: Iterable[type[Body]]) -> Schema:
    """Nothing is given: no field, or null for those that there are."""
    names = [name for kind in kinds for name in contract_fields(kind)]
    nulls = dict.fromkeys(names, NULL)
    return {"type": "object", "properties": nulls, "additionalProperties": False}


def _allow_nulls(schema: Schema, kind: type[Body]) -> None:
    """null stands for a field that is left out, so only required ones can't be null, and those
    that are not served yet can be nothing else.
    """
    schema["properties"] |= dict.fromkeys(sorted(kind.not_built), NULL)
    for name, field in schema["properties"].items():
        nullable = field == NULL or NULL in field.get("anyOf", [])
        if name not in schema.get("required", ()) and not nullable:
            schema["properties"][name] = {"anyOf": [field, NULL]}


def _merge_patch(name: str, left_out: tuple[str, ...], components: Schema) -> Schema:
    """Every field may be left out, and null puts one back to its default."""
    patch = deepcopy(components[name])
    patch["title"] = f"{name}Patch"
    patch["description"] = f"What is to change of {name}; null: back to the default."
    needed = patch.pop("required", ())
    fields: Schema = {}
    for field, schema in patch["properties"].items():
        if field in left_out:
            continue
        schema.pop("default", None)
        inner = schema.pop("$ref", None) or _only_ref(schema)
        if inner is not None:
            schema = _merge_patch(inner.removeprefix(REF), (), components)
        fields[field] = schema if field in needed else {"anyOf": [schema, NULL]}
    patch["properties"] = fields
    components[patch["title"]] = patch
    return {"$ref": REF + patch["title"]}


def _only_ref(schema: Schema) -> str | None:
    """msgspec puts a reference that has a default into allOf."""
    inside = schema.get("allOf") or [{}]
    found = inside[0].get("$ref")
    return found if isinstance(found, str) else None


def _responses(call: Call, by_type: Mapping[str, Schema]) -> Schema:
    found = {str(status): _answer(answer, by_type) for status, answer in call.answers.items()}
    endpoint = AGENT_ENDPOINT.match(call.path) is not None
    kind, media_type = (EndpointError, JSON) if endpoint else (ProblemAnswer, PROBLEM)
    for status in refusals_of(call):
        example: Schema = {"detail": REFUSAL_WORDS[status]}
        if not endpoint:
            told = {"type": "about:blank", "title": TITLES[status], "status": status}
            example = told | example
        found[str(status)] = {
            "description": REFUSAL_WORDS[status],
            "headers": _headers(REFUSAL_HEADERS.get(status, {})),
            "content": {media_type: {"schema": by_type[repr(kind)], "example": example}},
        }
    return found


def _answer(answer: Answer, by_type: Mapping[str, Schema]) -> Schema:
    found: Schema = {"description": answer.says, "headers": _headers(answer.headers)}
    if answer.type is not None:
        content: Schema = {"schema": by_type[repr(answer.type)]}
        if answer.example is not None:
            content["example"] = answer.example
        found["content"] = {answer.media_type: content}
    return found


def _headers(headers: Mapping[str, str]) -> Schema:
    return {
        name: {"description": says, "schema": {"type": "string"}}
        for name, says in (REQUEST_ID | dict(headers)).items()
    }
