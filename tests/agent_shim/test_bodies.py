"""What callers may send, and the exact answer to what they may not."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.db.agents import Agent
from agent_shim import bodies
from agent_shim.contract import AMOUNT_DECIMALS
from agent_shim.errors import FIELD_ERRORS_MAX, Refusal
from api import agent_bodies, agent_endpoint, agent_logs, risk_params
from api.bodies import check_fields

JSON = "application/json"
START = {"symbol": "BTC/USDT", "amount_usdt": 100, "leverage": 2}
LIVE = "live_mode is not available yet: leave it out for paper trading"
NOT_YET = ("not_available", "not available yet")
BROKEN = ("json_invalid", "the body is not valid JSON")
DOUBLED = ("json_invalid", "a key appears twice in one object")
RANGE = ("value_error", "expected amount_usdt x leverage from 0.01 to 1,000,000,000")


def start(body: object, content_type: str = JSON) -> dict[str, Any] | None:
    """read_start of a value, or of bytes as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return bodies.read_start(raw, content_type)


def config(body: object, content_type: str = JSON) -> dict[str, Any]:
    """read_config of a value, or of bytes as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return bodies.read_config(raw, content_type)


def refused(call: Callable[..., object], *arguments: object) -> Refusal:
    """What the call raises."""
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    return caught.value


@pytest.mark.parametrize(
    "body", [b"", b" \n", b"{}", b"null", b'{"symbol": null, "llm_provider": null}']
)
def test_a_known_agent_starts_without_a_body(body: bytes) -> None:
    assert start(body) is None


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"poll_seconds": 0.5, "tp_pct": 0.05, "sl_pct": 0.000001, "primary_timeframe": "1h"},
        {"live_mode": False, "tp_sl_mode": "fixed"},
        {"tp_pct": 4000, "leverage": 125, "amount_usdt": 8_000_000},
        {"amount_usdt": 0.005},
        {"amount_usdt": 0.12345678},
    ],
)
def test_a_good_body_is_passed_on_as_it_was_given(more: dict[str, Any]) -> None:
    assert start(START | more) == START | more


def test_fields_that_are_null_are_left_out() -> None:
    nulls = dict.fromkeys(
        ["tp_pct", "sl_pct", "risk_profile", "supervisor_interval_seconds", "indicators"]
    )
    assert start(START | nulls) == START
    assert config({"tp_pct": 0.1, "sl_pct": None}) == {"tp_pct": 0.1}


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert start(START | {"leverage": 5.0}) == START | {"leverage": 5}


BAD_FIELDS: list[tuple[str, object, str, str]] = [
    ("symbol", 7, "string_type", "expected a string"),
    ("symbol", "", "string_length", "expected 1 to 32 printable characters"),
    ("symbol", "B" * 33, "string_length", "expected 1 to 32 printable characters"),
    ("symbol", "BTC\n", "string_length", "expected 1 to 32 printable characters"),
    ("symbol", "\ud800", "string_length", "expected 1 to 32 printable characters"),
    ("symbol", ["BTC"], "string_type", "expected a string"),
    ("amount_usdt", "100", "float_type", "expected a number"),
    ("amount_usdt", True, "float_type", "expected a number"),
    ("amount_usdt", 0, "greater_than", "expected a number > 0"),
    ("amount_usdt", -5, "greater_than", "expected a number > 0"),
    ("amount_usdt", 1e300, "less_than_equal", "expected a number <= 1000000000"),
    ("amount_usdt", 10**400, "finite_number", "number out of range"),
    ("amount_usdt", 0.123456789, "decimal_max_places", "expected at most 8 decimals"),
    ("amount_usdt", 0.001, *RANGE),
    ("amount_usdt", 600_000_000, *RANGE),
    ("leverage", 0, "greater_than", "expected a number > 0"),
    ("leverage", 2.5, "int_type", "expected a whole number"),
    ("leverage", 126, "less_than_equal", "expected a whole number <= 125"),
    ("leverage", "5", "float_type", "expected a number"),
    ("leverage", False, "float_type", "expected a number"),
    ("poll_seconds", 0, "greater_than", "expected a number > 0"),
    ("poll_seconds", "1", "float_type", "expected a number"),
    ("poll_seconds", 2_147_483_647.5, "less_than_equal", "expected a number <= 2147483647"),
    ("tp_pct", 0, "greater_than", "expected a number > 0"),
    ("tp_pct", "5%", "float_type", "expected a number"),
    ("tp_pct", 4000.5, "less_than_equal", "expected a fraction <= 4000"),
    ("tp_pct", 0.0000001, "decimal_max_places", "expected at most 6 decimals"),
    ("sl_pct", -0.05, "greater_than", "expected a number > 0"),
    ("sl_pct", [], "float_type", "expected a number"),
    (
        "primary_timeframe",
        "2m",
        "literal_error",
        "expected one of: 1m, 5m, 15m, 30m, 1h, 4h, 1d",
    ),
    ("primary_timeframe", 60, "literal_error", "expected one of: 1m, 5m, 15m, 30m, 1h, 4h, 1d"),
    ("live_mode", "false", "bool_type", "expected true or false"),
    ("live_mode", 0, "bool_type", "expected true or false"),
    ("tp_sl_mode", "trailing", "literal_error", "expected one of: fixed, dynamic"),
    ("tp_sl_mode", {}, "literal_error", "expected one of: fixed, dynamic"),
    ("risk_profile", "aggressive", *NOT_YET),
    ("supervisor_interval_seconds", 60, *NOT_YET),
    ("llm_provider", "openai", *NOT_YET),
    ("indicators", ["rsi"], *NOT_YET),
    ("max_position_usd", 100, "extra_forbidden", "unknown field"),
    ("Symbol", "BTC/USDT", "extra_forbidden", "unknown field"),
    ("\ud800", 1, "extra_forbidden", "unknown field"),
    ("nothing", None, "extra_forbidden", "unknown field"),
]


@pytest.mark.parametrize(("name", "value", "kind", "message"), BAD_FIELDS)
def test_a_bad_field_is_named(name: str, value: object, kind: str, message: str) -> None:
    refusal = refused(start, START | {name: value})
    assert refusal.status == 422
    assert refusal.detail == [{"loc": ["body", name], "msg": message, "type": kind}]


@pytest.mark.parametrize(
    ("name", "value", "kind", "message"),
    [each for each in BAD_FIELDS if each[0] in {"tp_pct", "sl_pct", "tp_sl_mode", "poll_seconds"}]
    + [
        ("amount_usdt", 0, "greater_than", "expected a number > 0"),
        ("risk_profile", "low", *NOT_YET),
        ("supervisor_interval_seconds", 60, *NOT_YET),
        ("symbol", "ETH/USDT", "extra_forbidden", "unknown field"),
        ("leverage", 3, "extra_forbidden", "unknown field"),
        ("live_mode", True, "extra_forbidden", "unknown field"),
    ],
)
def test_a_bad_field_of_config_is_named(name: str, value: object, kind: str, message: str) -> None:
    refusal = refused(config, {name: value})
    assert refusal.status == 422
    assert refusal.detail == [{"loc": ["body", name], "msg": message, "type": kind}]


@pytest.mark.parametrize(
    ("raw", "kind", "message"),
    [
        (b"{", *BROKEN),
        (b"{'symbol': 1}", *BROKEN),
        (b'{"symbol": "BTC/USDT"} x', *BROKEN),
        (b"\xff\xfe", *BROKEN),
        (b'\xef\xbb\xbf{"symbol": 1}', *BROKEN),
        (b"[" * 60_000, *BROKEN),
        (b'{"amount_usdt": ' + b"9" * 5_000 + b"}", *BROKEN),
        (b'{"amount_usdt": NaN}', "json_invalid", "NaN is not a JSON number"),
        (b'{"amount_usdt": -Infinity}', "json_invalid", "-Infinity is not a JSON number"),
        (b'{"leverage": 1, "leverage": 100}', *DOUBLED),
        (b'{"indicators": {"a": 1, "a": 2}}', *DOUBLED),
        (b"[]", "dict_type", "expected an object"),
        (b'"start"', "dict_type", "expected an object"),
        (b"7", "dict_type", "expected an object"),
    ],
)
def test_a_body_that_is_no_object_of_json(raw: bytes, kind: str, message: str) -> None:
    for read in (start, config):
        refusal = refused(read, raw)
        assert refusal.status == 422
        assert refusal.detail == [{"loc": ["body"], "msg": message, "type": kind}]


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
def test_a_body_of_another_kind(content_type: str) -> None:
    for read in (start, config):
        refusal = refused(read, b'{"tp_pct": 0.1}', content_type)
        assert refusal.detail == [
            {"loc": ["body"], "msg": "send the body as application/json", "type": "json_type"}
        ]


def test_the_kind_may_name_its_letters() -> None:
    assert start(START, "Application/JSON; charset=utf-8") == START


def test_every_bad_field_is_named_at_once() -> None:
    refusal = refused(start, {"symbol": None, "leverage": 0, "foo": 1, "live_mode": True})
    assert isinstance(refusal.detail, list)
    assert [(each["loc"][1], each["type"]) for each in refusal.detail] == [
        ("leverage", "greater_than"),
        ("foo", "extra_forbidden"),
        ("symbol", "missing"),
        ("amount_usdt", "missing"),
    ]


def test_a_flood_of_bad_fields_is_cut() -> None:
    many = {"x" * 1_000 + str(number): 1 for number in range(500)}
    refusal = refused(start, many)
    assert isinstance(refusal.detail, list)
    assert len(refusal.detail) == FIELD_ERRORS_MAX
    assert refusal.detail[0]["loc"] == ["body", "x" * 64]


def test_live_mode_is_a_conflict_once_the_rest_is_right() -> None:
    refusal = refused(start, START | {"live_mode": True})
    assert (refusal.status, refusal.detail) == (409, LIVE)
    assert refused(start, {"live_mode": True}).status == 422


def test_config_needs_a_body() -> None:
    refusal = refused(config, b"")
    assert refusal.detail == [{"loc": ["body"], "msg": "required", "type": "missing"}]
    assert config(b"{}") == {}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("true", True), ("True", True), ("1", True), ("false", False), ("FALSE", False), ("0", False)],
)
def test_close_position(text: str, wanted: bool) -> None:
    assert bodies.read_stop_query([("closePosition", text)]) is wanted


def test_a_stop_closes_unless_it_is_told_otherwise() -> None:
    assert bodies.read_stop_query([]) is True


@pytest.mark.parametrize(
    ("query", "name", "kind", "message"),
    [
        ([("closePosition", "")], "closePosition", "bool_parsing", "expected true or false"),
        ([("closePosition", "nope")], "closePosition", "bool_parsing", "expected true or false"),
        ([("close_position", "false")], "close_position", "extra_forbidden", "unknown parameter"),
        (
            [("closePosition", "false"), ("closePosition", "true")],
            "closePosition",
            "value_error",
            "given more than once",
        ),
    ],
)
def test_a_stop_that_is_not_clear(query: bodies.Query, name: str, kind: str, message: str) -> None:
    refusal = refused(bodies.read_stop_query, query)
    assert refusal.status == 422
    assert refusal.detail == [{"loc": ["query", name], "msg": message, "type": kind}]


def test_a_stop_takes_no_body() -> None:
    bodies.read_no_body(b" ")
    bodies.read_no_body(b"{}\n")
    refusal = refused(bodies.read_no_body, b'{"close_position": false}')
    assert refusal.detail == [
        {"loc": ["body"], "msg": "this call takes no body", "type": "extra_forbidden"}
    ]


def test_how_many_lines_of_the_log() -> None:
    assert bodies.read_logs_query([]) is None
    assert bodies.read_logs_query([("limit", "1")]) == 1
    assert bodies.read_logs_query([("limit", "1000")]) == 1000
    for text in ("0", "-1", "1001", "1.5", "many", "", "٣", "9" * 5_000):
        refusal = refused(bodies.read_logs_query, [("limit", text)])
        message = "expected a whole number from 1 to 1000"
        assert refusal.detail == [
            {"loc": ["query", "limit"], "msg": message, "type": "int_parsing"}
        ]


def test_no_query_where_none_belongs() -> None:
    bodies.read_no_query([])
    refusal = refused(bodies.read_no_query, [("verbose", "1")])
    assert refusal.detail == [
        {"loc": ["query", "verbose"], "msg": "unknown parameter", "type": "extra_forbidden"}
    ]


def test_the_limits_are_the_hubs() -> None:
    assert bodies.POSITION_USD_MIN == risk_params.POSITION_USD_MIN
    assert bodies.POSITION_USD_MAX == risk_params.POSITION_USD_MAX
    assert bodies.PCT_MAX == risk_params.PCT_MAX
    assert bodies.PCT_DECIMALS == risk_params.PCT_DECIMALS
    assert AMOUNT_DECIMALS == risk_params.USD_DECIMALS
    assert bodies.INTERVAL_S_MAX == risk_params.INTERVAL_S_MAX
    assert bodies.SYMBOL_CHARACTERS_MAX == agent_bodies.SYMBOL_CHARACTERS_MAX
    assert bodies.LOG_LINES_MAX == agent_logs.LOGS_MAX


untimed = settings(deadline=None)
NUMBERS = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-2, 10**12)
    | st.integers(1, 10**9).map(lambda n: n / 10**6)
)


@untimed
@given(
    st.fixed_dictionaries(
        {"symbol": st.just("BTC/USDT"), "amount_usdt": NUMBERS, "leverage": st.integers(0, 130)},
        optional={
            "poll_seconds": NUMBERS,
            "tp_pct": NUMBERS,
            "sl_pct": NUMBERS,
            "primary_timeframe": st.sampled_from([*bodies.TIMEFRAMES, "2h"]),
            "live_mode": st.booleans(),
            "tp_sl_mode": st.sampled_from(["fixed", "dynamic"]),
        },
    )
)
def test_the_hub_takes_what_is_passed_on(body: dict[str, Any]) -> None:
    try:
        passed_on = start(body)
    except Refusal:
        return
    call = check_fields(passed_on, agent_endpoint.Start)
    agent_bodies.read_configuration(agent_endpoint.changed_body(any_agent(), call), ["BTC/USDT"])


def any_agent() -> Agent:
    """An agent with settings that are all its own."""
    values: dict[str, Any] = dict.fromkeys(Agent.__struct_fields__)
    values |= {
        "id": UUID(int=1),
        "name": "one",
        "symbol": "ETH/USDT",
        "timeframe": "1m",
        "strategy_name": "momentum_breakout",
        "strategy_params": {},
        "interval_seconds": 60,
        "risk_params": {"max_position_usd": 100.0, "leverage": 1},
    }
    return Agent(**values)
