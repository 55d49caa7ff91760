"""The page at /docs: the OpenAPI document as HTML for eyes. Pure; no script, no other host."""

import base64
from collections.abc import Iterable, Mapping
from hashlib import sha256
from html import escape
from typing import Any

import msgspec

STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--accent:#0a7d5a}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem}
code,pre,.method{font-family:ui-monospace,monospace;font-size:.9em}
pre{background:var(--soft);padding:.75rem;overflow-x:auto;border-radius:.4rem;margin:.5rem 0}
h2{margin-top:2.5rem;border-bottom:1px solid var(--line);text-transform:capitalize}
details.call{border:1px solid var(--line);border-radius:.4rem;margin:.5rem 0;padding:.5rem .75rem}
summary{cursor:pointer}
.method{display:inline-block;min-width:4.5rem;font-weight:700;color:var(--accent)}
.says{opacity:.75;margin-left:.75rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid var(--line)}
nav a{margin-right:1rem}
"""
SECURITY_WORDS = {
    "bearer": "Authorization: Bearer <access_token>",
    "apiKey": "X-API-Key: <api_key>",
    "internalSecret": "X-Internal-Secret: <secret>",
}
BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "minLength": "length at least",
    "maxLength": "length at most",
}
Schema = Mapping[str, Any]


def page_policy() -> str:
    """The Content-Security-Policy of the page: its own style, and nothing else at all."""
    style = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def page_of(document: Schema) -> str:
    """The whole page."""
    info, groups = document["info"], _by_group(document)
    links = " ".join(f'<a href="#{_anchor(name)}">{escape(name)}</a>' for name in groups)
    parts = [
        f"<h2 id='{_anchor(name)}'>{escape(name)}</h2>{''.join(map(_call, calls))}"
        for name, calls in groups.items()
    ]
    types = "".join(_type(*each) for each in sorted(document["components"]["schemas"].items()))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(info['title'])}</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info['description'])}</p>"
        '<p>For programs: <a href="/openapi.json">openapi.json</a></p>'
        f'<nav>{links} <a href="#types">types</a></nav>{"".join(parts)}'
        f'<h2 id="types">types</h2>{types}</body></html>'
    )


def _by_group(document: Schema) -> dict[str, list[tuple[str, str, Schema]]]:
    groups: dict[str, list[tuple[str, str, Schema]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append((method, path, operation))
    return groups


def _call(call: tuple[str, str, Schema]) -> str:
    method, path, operation = call
    body = "".join(_body(operation)) if "requestBody" in operation else ""
    return (
        f'<details class="call" id="{escape(operation["operationId"])}"><summary>'
        f'<span class="method">{escape(method.upper())}</span><code>{escape(path)}</code>'
        f'<span class="says">{escape(operation["summary"])}</span></summary>'
        f"<p>{_words(operation)}</p>{_credentials(operation['security'])}"
        f"{_parameters(operation['parameters'])}{body}{_answers(operation['responses'])}</details>"
    )


def _credentials(security: Iterable[Schema]) -> str:
    words = [f"<code>{escape(SECURITY_WORDS[name])}</code>" for each in security for name in each]
    return f"<p>Send {' or '.join(words)}.</p>" if words else "<p>No credential is needed.</p>"


def _parameters(parameters: Iterable[Schema]) -> str:
    rows = [
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{escape(each['in'])}</td>"
        f"<td>{'required' if each.get('required') else ''}</td>"
        f"<td>{_kind(each['schema'])}</td><td>{_words(each)}</td></tr>"
        for each in parameters
    ]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _body(operation: Schema) -> Iterable[str]:
    body = operation["requestBody"]
    for content in body["content"].values():
        optional = "" if body["required"] else ", or nothing"
        yield f"<p>Body: {_kind(content['schema'])}{optional}</p>"
        for example in content["examples"].values():
            yield _json(example["value"])


def _answers(responses: Schema) -> str:
    rows = []
    for status, answer in responses.items():
        told = "".join(
            _content(content, int(status)) for content in answer.get("content", {}).items()
        )
        rows.append(
            f"<tr><td><code>{escape(status)}</code></td>"
            f"<td>{escape(answer['description'])} {told}</td></tr>"
        )
    return f"<table>{''.join(rows)}</table>"


def _content(content: tuple[str, Schema], status: int) -> str:
    media_type, about = content
    shown = _json(about["example"]) if "example" in about and status < 300 else ""
    return f"<code>{escape(media_type)}</code> {_kind(about['schema'])}{shown}"


def _type(name: str, schema: Schema) -> str:
    needed = schema.get("required", ())
    rows = [
        f"<tr><td><code>{escape(field)}</code></td><td>{_kind(about)}</td>"
        f"<td>{'required' if field in needed else _default(about)}</td>"
        f"<td>{_words(about)}</td></tr>"
        for field, about in schema.get("properties", {}).items()
    ]
    return (
        f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{escape(schema.get("description", ""))}</p>'
        f"<table>{''.join(rows)}</table>"
    )


def _words(schema: Schema) -> str:
    """What is said of a field, with its `code`."""
    parts = escape(schema.get("description", "")).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def _default(schema: Schema) -> str:
    return f"default <code>{escape(_text(schema['default']))}</code>" if "default" in schema else ""


def _kind(schema: Schema) -> str:
    """A schema in a few words, with links to the types."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for several in ("anyOf", "allOf"):
        if several in schema:
            return " or ".join(_kind(each) for each in schema[several])
    if "enum" in schema:
        words = [f"<code>{escape(_text(each))}</code>" for each in schema["enum"]]
        return f"one of {', '.join(words)}"
    if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
        return f"list of {_kind(schema['items'])}"
    bounds = [f"{word} {_text(schema[key])}" for key, word in BOUNDS.items() if key in schema]
    name = " ".join([str(schema.get("type", "anything")), schema.get("format", "")]).strip()
    return escape(f"{name} ({', '.join(bounds)})" if bounds else name)


def _json(value: object) -> str:
    return f"<pre>{escape(msgspec.json.format(_text(value), indent=2))}</pre>"


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _anchor(name: str) -> str:
    return escape(name.replace(" ", "-"))
