"""Strict JSON: what it lets pass is what every reader understands alike."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.strict_json import NESTING_DEPTH_MAX, MalformedJson, parse_json

texts = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(values)
def test_valid_json_is_read_as_it_is(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        value = parse_json(raw)
    except MalformedJson:
        return
    assert json.loads(raw) == value


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    inner = "1"
    deepest = opening * NESTING_DEPTH_MAX + inner + closing * NESTING_DEPTH_MAX
    parse_json(deepest.encode())
    with pytest.raises(MalformedJson, match="nested deeper"):
        parse_json((opening + deepest + closing).encode())
    with pytest.raises(MalformedJson, match="nested deeper"):
        parse_json((opening * 50_000).encode())


def test_numbers_at_the_edge() -> None:
    assert parse_json(b"1.7976931348623157e308") == 1.7976931348623157e308
    assert parse_json(b"5e-324") == math.ulp(0.0)
    assert parse_json(b"-0.0") == 0.0
    for text in (b"1.8e308", b"-1e999", b"1" * 301, b"-" + b"9" * 5000):
        with pytest.raises(MalformedJson, match="out of range"):
            parse_json(text)
