"""Bad inputs and the exact answers to them: (name, raw body, status, what the answer says).

What the answer says is its `detail` for 400, 409, 413 and 415, and for 422 the list of
(field, message). Bodies are for POST /api/agents unless a path stands in front.
"""

import json
from dataclasses import dataclass
from typing import Any

Says = str | list[tuple[str, str]]
REGISTER = "/auth/register"
LOGIN = "/auth/login"
GOOD = {"symbol": "BTC/USDT", "strategy_name": "momentum_breakout"}
NOT_BUILT = "not available yet"
UNKNOWN = "unknown field"
TIMEFRAMES = "expected one of: 1m, 5m, 15m, 30m, 1h, 4h, 1d"
NO_SUCH_SYMBOL = "no prices for {}; see GET /api/market/symbols"


@dataclass(frozen=True)
class BadInput:
    """One bad request and what it is told."""

    name: str
    raw: bytes
    status: int
    says: Says
    path: str = "/api/agents"
    content_type: str | None = "application/json"


def raw(name: str, body: bytes, status: int, says: Says, **more: Any) -> BadInput:
    """A body as bytes."""
    return BadInput(name, body, status, says, **more)


def agent(name: str, says: list[tuple[str, str]], /, **fields: Any) -> BadInput:
    """A create body with these fields beside the required ones."""
    return BadInput(name, json.dumps(GOOD | fields).encode(), 422, says)


def risk(name: str, message: str, /, **fields: Any) -> BadInput:
    """A create body with one bad risk parameter."""
    return agent(name, [(f"risk_params.{next(iter(fields))}", message)], risk_params=fields)


def account(name: str, path: str, body: Any, says: list[tuple[str, str]]) -> BadInput:
    """A body of an account call."""
    return BadInput(name, json.dumps(body).encode(), 422, says, path)


MALFORMED = [
    raw("empty", b"", 400, "the body is not valid JSON (line 1, column 1)"),
    raw("cut off", b'{"symbol": ', 400, "the body is not valid JSON (line 1, column 12)"),
    raw("two values", b"{} {}", 400, "the body is not valid JSON (line 1, column 4)"),
    raw("single quotes", b"{'a': 1}", 400, "the body is not valid JSON (line 1, column 2)"),
    raw("comment", b"{} // no", 400, "the body is not valid JSON (line 1, column 4)"),
    raw("byte order mark", b"\xef\xbb\xbf{}", 400, "the body is not valid JSON (line 1, column 1)"),
    raw("latin-1", '{"name": "é"}'.encode("latin-1"), 400, "the body is not valid UTF-8"),
    raw("utf-16", '{"a": 1}'.encode("utf-16"), 400, "the body is not valid UTF-8"),
    raw(
        "duplicate key",
        b'{"symbol": "BTC", "symbol": "ETH"}',
        400,
        "the key 'symbol' appears twice in one object",
    ),
    raw(
        "duplicate key inside",
        b'{"risk_params": {"leverage": 1, "leverage": 2}}',
        400,
        "the key 'leverage' appears twice in one object",
    ),
    raw("NaN", b'{"interval_seconds": NaN}', 400, "NaN is not a JSON number"),
    raw("Infinity", b'{"a": Infinity}', 400, "Infinity is not a JSON number"),
    raw("-Infinity", b'{"a": [-Infinity]}', 400, "-Infinity is not a JSON number"),
    raw("1e400", b'{"a": 1e400}', 400, "the number 1e400 is out of range"),
    raw("-1e400", b'{"a": -1e400}', 400, "the number -1e400 is out of range"),
    raw(
        "500 digits",
        b'{"a": ' + b"1" * 500 + b"}",
        400,
        f"the number {'1' * 32}... is out of range",
    ),
    raw("half a pair", rb'{"name": "\ud800"}', 400, "a string holds half of a surrogate pair"),
    raw("half a pair as key", rb'{"\udc00": 1}', 400, "a string holds half of a surrogate pair"),
    raw(
        "deep",
        b'{"a":' * 17 + b"1" + b"}" * 17,
        400,
        "the body is nested deeper than 16 levels",
    ),
    raw("very deep", b"[" * 100_000, 400, "the body is nested deeper than 16 levels"),
    raw("too large", b" " * 1_000_001, 413, "the body is larger than 1000000 bytes"),
    raw("10 MB", b"[" + b"1," * 5_000_000, 413, "the body is larger than 1000000 bytes"),
    raw(
        "form",
        b"symbol=BTC",
        415,
        "send the body as application/json in UTF-8",
        content_type="application/x-www-form-urlencoded",
    ),
    raw(
        "no content type",
        b"{}",
        415,
        "send the body as application/json in UTF-8",
        content_type=None,
    ),
    raw(
        "other charset",
        b"{}",
        415,
        "send the body as application/json in UTF-8",
        content_type="application/json; charset=latin-1",
    ),
    raw(
        "text",
        b"{}",
        415,
        "send the body as application/json in UTF-8",
        content_type="text/plain",
    ),
    raw("live mode", json.dumps(GOOD | {"live_mode": True}).encode(), 409,
        "live_mode is not available yet: leave it out for paper trading"),
    raw("a list", b"[]", 422, [("body", "expected an object")]),
    raw("a string", b'"BTC"', 422, [("body", "expected an object")]),
    raw("null", b"null", 422, [("body", "expected an object")]),
    raw("nothing in it", b"{}", 422, [("symbol", "required"), ("strategy_name", "required")]),
]  # fmt: skip

FIELDS = [
    agent("symbol null", [("symbol", "expected a string, got null")], symbol=None),
    agent("symbol number", [("symbol", "expected a string, got a whole number")], symbol=5),
    agent("symbol empty", [("symbol", "expected at least 1 character")], symbol=""),
    agent("symbol long", [("symbol", "expected at most 32 characters")], symbol="B" * 33),
    agent("symbol odd", [("symbol", "expected a pair like BTC/USDT")], symbol="BTC/"),
    agent("symbol odd too", [("symbol", "expected a pair like BTC/USDT")], symbol="B T C"),
    agent("symbol zero byte", [("symbol", "expected a pair like BTC/USDT")], symbol="BTC\0"),
    agent("symbol unknown", [("symbol", NO_SUCH_SYMBOL.format("XYZ/USDT"))], symbol="xyz"),
    agent("symbol of euros", [("symbol", NO_SUCH_SYMBOL.format("BTC/EUR"))], symbol="btceur"),
    agent(
        "strategy unknown",
        [("strategy_name", "no such strategy; did you mean momentum_breakout?")],
        strategy_name="momentum_breakot",
    ),
    agent(
        "strategy far off",
        [("strategy_name", "no such strategy; see GET /api/strategies")],
        strategy_name="%%%",
    ),
    agent("strategy list", [("strategy_name", "expected a string, got a list")], strategy_name=[]),
    agent("interval 0", [("interval_seconds", "expected a whole number >= 1")], interval_seconds=0),
    agent(
        "interval broken",
        [("interval_seconds", "expected a whole number, got a number")],
        interval_seconds=1.5,
    ),
    agent(
        "interval text",
        [("interval_seconds", "expected a whole number, got a string")],
        interval_seconds="1",
    ),
    agent(
        "interval true",
        [("interval_seconds", "expected a whole number, got true or false")],
        interval_seconds=True,
    ),
    agent(
        "interval huge",
        [("interval_seconds", "expected a whole number <= 2147483647")],
        interval_seconds=2**64,
    ),
    agent(
        "live mode text", [("live_mode", "expected true or false, got a string")], live_mode="no"
    ),
    agent(
        "auto start", [("auto_start", "expected true or false, got a whole number")], auto_start=1
    ),
    agent("timeframe", [("timeframe", TIMEFRAMES)], timeframe="2m"),
    agent(
        "timeframe number", [("timeframe", "expected a string, got a whole number")], timeframe=1
    ),
    agent("name empty", [("name", "expected at least 1 character")], name=""),
    agent("name blank", [("name", "expected at least one visible character")], name="  "),
    agent("name long", [("name", "expected at most 100 characters")], name="n" * 101),
    agent("name zero byte", [("name", "expected no control characters")], name="a\0b"),
    agent("name of two lines", [("name", "expected no control characters")], name="a\nb"),
    agent("llm", [("llm", NOT_BUILT)], llm={"enabled": True}),
    agent("llm off", [("llm", NOT_BUILT)], llm={"enabled": False}),
    agent("unknown", [("leverage", UNKNOWN)], leverage=5),
    agent("long unknown", [("x" * 64, UNKNOWN)], **{"x" * 1000: 1}),
    agent(
        "params no object",
        [("strategy_params", "expected an object, got a list")],
        strategy_params=[],
    ),
    agent(
        "lookback text",
        [("strategy_params.lookback", "must be a number")],
        strategy_params={"lookback": "20"},
    ),
    agent(
        "lookback 0",
        [("strategy_params.lookback", "must be between 2 and 200")],
        strategy_params={"lookback": 0},
    ),
    agent(
        "threshold 0",
        [("strategy_params.threshold", "must be between 0.01 and 1")],
        strategy_params={"threshold": 0},
    ),
    agent(
        "param unknown",
        [
            (
                "strategy_params.lookbak",
                "is not a parameter of breakout; did you mean lookback?",
            )
        ],
        strategy_params={"lookbak": 20},
    ),
    agent("risk no object", [("risk_params", "expected an object")], risk_params=3),
    risk("position 0", "expected a number >= 0.01", max_position_usd=0),
    risk("position below 0", "expected a number >= 0.01", max_position_usd=-5),
    risk("position text", "expected a number, got a string", max_position_usd="100"),
    risk("position huge", "expected a number <= 1000000000", max_position_usd=1e300),
    risk("position digits", "expected at most 8 decimals", max_position_usd=100.123456789),
    risk("stop 0", "expected a number > 0", stop_loss_pct=0),
    risk("stop below 0", "expected a number > 0", stop_loss_pct=-2.0),
    risk("stop digits", "expected at most 4 decimals", stop_loss_pct=0.00001),
    risk("stop null", "expected a number, got null", stop_loss_pct=None),
    risk("target digits", "expected at most 4 decimals", take_profit_pct=1.23456),
    risk("target list", "expected a number, got a list", take_profit_pct=[4.0]),
    risk("leverage 0", "expected a whole number >= 1", leverage=0),
    risk("leverage 126", "expected a whole number <= 125", leverage=126),
    risk("leverage broken", "expected a whole number, got a number", leverage=1.5),
    risk("fee below 0", "expected a number >= 0", fee_bps=-1),
    risk("fee large", "expected a number <= 655.35", fee_bps=700),
    risk("fee digits", "expected at most 2 decimals", fee_bps=1.005),
    risk("slippage digits", "expected at most 2 decimals", slippage_bps=0.001),
    risk("mode", "expected one of: fixed, dynamic", tp_sl_mode="loose"),
    risk("mode dynamic", f"dynamic is {NOT_BUILT}", tp_sl_mode="dynamic"),
    risk("atr multiple", NOT_BUILT, atr_multiple=2.0),
    risk("reward risk", NOT_BUILT, reward_risk_ratio=2.0),
    risk("trailing stop", NOT_BUILT, trailing_stop_pct=1.0),
    risk("drawdown", NOT_BUILT, max_drawdown_pct=10.0),
    risk("session loss 0", "expected a number > 0", max_session_loss_usd=0),
    risk("session loss text", "expected a number or null, got a string", max_session_loss_usd="1"),
    risk("risk unknown", UNKNOWN, stop_los_pct=2.0),
    agent(
        "everything at once",
        [
            ("interval_seconds", "expected a whole number >= 1"),
            ("risk_params.leverage", "expected a whole number >= 1"),
            ("risk_params.trailing_stop_pct", NOT_BUILT),
            ("timeframe", TIMEFRAMES),
            ("llm", NOT_BUILT),
            ("colour", UNKNOWN),
            ("symbol", NO_SUCH_SYMBOL.format("NOPE/USDT")),
            ("strategy_params.threshold", "must be between 0.01 and 1"),
        ],
        symbol="NOPE",
        interval_seconds=0,
        risk_params={"leverage": 0, "trailing_stop_pct": 1},
        timeframe="9m",
        strategy_params={"threshold": 7},
        llm={},
        colour="red",
    ),
]

ACCOUNTS = [
    account("no fields", REGISTER, {}, [("email", "required"), ("password", "required")]),
    account(
        "no address",
        REGISTER,
        {"email": "alice", "password": "long enough"},
        [("email", "expected an address like name@example.com")],
    ),
    account(
        "two signs",
        REGISTER,
        {"email": "a@b@c.de", "password": "long enough"},
        [("email", "expected an address like name@example.com")],
    ),
    account(
        "zero byte",
        REGISTER,
        {"email": "a\0@b.de", "password": "long enough"},
        [("email", "expected no control characters")],
    ),
    account(
        "long address",
        REGISTER,
        {"email": "a" * 250 + "@b.de", "password": "long enough"},
        [("email", "expected at most 254 characters")],
    ),
    account(
        "short password",
        REGISTER,
        {"email": "a@b.de", "password": "7 signs"},
        [("password", "expected at least 8 characters")],
    ),
    account(
        "long password",
        REGISTER,
        {"email": "a@b.de", "password": "p" * 1025},
        [("password", "expected at most 1024 characters")],
    ),
    account(
        "role",
        REGISTER,
        {"email": "a@b.de", "password": "long enough", "role": "operator"},
        [("role", UNKNOWN)],
    ),
    account("login list", LOGIN, [], [("body", "expected an object")]),
    account(
        "login number",
        LOGIN,
        {"email": 1, "password": 2},
        [
            ("email", "expected a string, got a whole number"),
            ("password", "expected a string, got a whole number"),
        ],
    ),
    raw(
        "login twice the same key",
        b'{"email": "a@b.de", "email": "c@d.de", "password": "x"}',
        400,
        "the key 'email' appears twice in one object",
        path=LOGIN,
    ),
]

BAD_INPUTS = MALFORMED + FIELDS + ACCOUNTS
