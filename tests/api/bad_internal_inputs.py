"""Bad inputs of the agent endpoint and of the reports from outside, and the exact answers to them.

Below /internal/agents/{id}/endpoint/ a field is said with the part of the request that it is in.
"""

from tests.api.refused import (
    AGENT,
    JSON,
    NO_LIVE_MODE,
    NO_OBJECT,
    UNKNOWN,
    BadInput,
    Says,
    asked,
    body,
)

ENDPOINT = f"/internal/agents/{AGENT}/endpoint"
NOBODY = "/internal/agents/00000000-bbbb-4000-8000-000000000000"
START = {"symbol": "BTC", "amount_usdt": 50, "leverage": 2}
NOT_BUILT = "not available yet"
A_NUMBER, WHOLE = "expected a number", "expected a whole number"
NO_SECRET = "the internal secret is missing or wrong"
A_TIME = "expected a time like 2026-01-31T12:00:00.000Z, or Unix seconds"
TIMEFRAMES = "expected one of: 1m, 5m, 15m, 30m, 1h, 4h, 1d"
LEVELS = "expected one of: init, llm, start, tick, action, sl_tp, stop, error, warn, supervisor"


def start(name: str, says: Says, /, **fields: object) -> BadInput:
    """A bad body of /start, with the required fields beside."""
    if isinstance(says, list):
        says = [(f"body.{field}", message) for field, message in says]
    return body(f"start: {name}", f"{ENDPOINT}/start", START | fields, says)


def one(field: str, message: str, value: object) -> BadInput:
    """One bad field of /start."""
    return start(f"{field} {value!r}", [(field, message)], **{field: value})


STARTS = [
    one("symbol", "expected a string, got a whole number", 7),
    one("symbol", "expected at least 1 character", ""),
    one("symbol", "expected at most 32 characters", "B" * 33),
    one("symbol", "expected a pair like BTC/USDT", "BTC USDT"),
    one("symbol", "no prices for NOPE/USDT; see GET /api/market/symbols", "NOPE"),
    one("symbol", "required", None),
    one("amount_usdt", "required", None),
    one("amount_usdt", f"{A_NUMBER} > 0", 0),
    one("amount_usdt", f"{A_NUMBER} > 0", -50),
    one("amount_usdt", f"{A_NUMBER}, got a string", "50"),
    one("amount_usdt", f"{A_NUMBER}, got true or false", True),
    one("amount_usdt", f"{A_NUMBER} <= 1000000000", 1e300),
    one("amount_usdt", "expected at most 8 decimals", 1e-9),
    one("amount_usdt", "expected amount_usdt x leverage from 0.01 to 1,000,000,000", 0.001),
    one("amount_usdt", "expected amount_usdt x leverage from 0.01 to 1,000,000,000", 1e9),
    one("leverage", "required", None),
    one("leverage", f"{WHOLE} >= 1", 0),
    one("leverage", f"{WHOLE} <= 125", 126),
    one("leverage", f"{WHOLE}, got a number", 1.5),
    one("leverage", f"{WHOLE}, got a string", "2"),
    one("leverage", f"{WHOLE}, got true or false", True),
    one("poll_seconds", f"{A_NUMBER} > 0", 0),
    one("poll_seconds", f"{A_NUMBER} > 0", -1.5),
    one("poll_seconds", f"{A_NUMBER} <= 2147483647", 1e10),
    one("poll_seconds", f"{A_NUMBER}, got a list", [1]),
    one("tp_pct", f"{A_NUMBER} > 0", 0),
    one("tp_pct", f"{A_NUMBER} <= 4000", 4000.5),
    one("tp_pct", "expected at most 6 decimals", 0.0500001),
    one("sl_pct", f"{A_NUMBER} > 0", -0.02),
    one("sl_pct", "expected at most 6 decimals", 5e-324),
    one("primary_timeframe", TIMEFRAMES, "2h"),
    one("live_mode", "expected true or false, got a string", "no"),
    one("tp_sl_mode", "expected one of: fixed, dynamic", "trailing"),
    one("llm_provider", NOT_BUILT, "openai"),
    one("indicators", NOT_BUILT, []),
    one("supervisor_interval_seconds", NOT_BUILT, 60),
    one("risk_profile", NOT_BUILT, "high"),
    one("max_position_usd", UNKNOWN, 100),
    one("amount_usd", UNKNOWN, None),
    start("many", [("leverage", f"{WHOLE} >= 1"), ("poll_seconds", f"{A_NUMBER} > 0"),
                   ("tp_pct", f"{A_NUMBER} > 0"), ("llm_provider", NOT_BUILT),
                   ("speed", UNKNOWN)],
          leverage=0, poll_seconds=0, tp_pct=0, llm_provider="x", speed=1),
    body("start: live", f"{ENDPOINT}/start", START | {"live_mode": True},
         NO_LIVE_MODE, status=409),
    body("start: symbol alone", f"{ENDPOINT}/start", {"symbol": "BTC"},
         [("body.amount_usdt", "required"), ("body.leverage", "required")]),
    body("start: a list", f"{ENDPOINT}/start", [], [("body", "expected an object")]),
    body("start: cut off", f"{ENDPOINT}/start", b'{"symbol"',
         "the body is not valid JSON (line 1, column 10)", status=400),
    body("start: NaN", f"{ENDPOINT}/start", b'{"amount_usdt": NaN}', "NaN is not a JSON number",
         status=400),
    body("start: twice", f"{ENDPOINT}/start", b'{"leverage": 1, "leverage": 100}',
         "the key 'leverage' appears twice in one object", status=400),
    body("start: 2 MB", f"{ENDPOINT}/start", b" " * 2_000_000,
         "the body is larger than 1000000 bytes", status=413),
    body("start: as text", f"{ENDPOINT}/start", START,
         "send the body as application/json in UTF-8", status=415, content_type="text/plain"),
]  # fmt: skip

CALLS = [
    body("config: nothing", f"{ENDPOINT}/config", b"", "the body is empty", status=400),
    body("config: it stands", f"{ENDPOINT}/config", {"tp_pct": 0.1}, "Engine not running",
         status=400),
    body("config: leverage", f"{ENDPOINT}/config", {"leverage": 3}, [("body.leverage", UNKNOWN)]),
    body("config: many", f"{ENDPOINT}/config",
         {"amount_usdt": -1, "tp_pct": "x", "risk_profile": 1, "zz": None},
         [("body.amount_usdt", f"{A_NUMBER} > 0"),
          ("body.tp_pct", f"{A_NUMBER} or null, got a string"), ("body.risk_profile", NOT_BUILT),
          ("body.zz", UNKNOWN)]),
    body("stop: with a body", f"{ENDPOINT}/stop", {"closePosition": False},
         [("body.closePosition", UNKNOWN)]),
    *(body(f"stop: {text}", f"{ENDPOINT}/stop?closePosition={text}", b"",
           [("query.closePosition", "expected true or false")])
      for text in ("maybe", "", "yes", "2", "null")),
    body("stop: twice", f"{ENDPOINT}/stop?closePosition=true&closePosition=false", b"",
         [("query.closePosition", "given more than once")]),
    body("stop: in the hub's words", f"{ENDPOINT}/stop?close_position=false", b"",
         [("query.close_position", UNKNOWN)]),
    asked("logs: 0", f"{ENDPOINT}/logs?limit=0", 422, [("query.limit", f"{WHOLE} >= 1")]),
    asked("logs: 1e2", f"{ENDPOINT}/logs?limit=1e2", 422, [("query.limit", WHOLE)]),
    asked("logs: level", f"{ENDPOINT}/logs?level=tick", 422, [("query.level", UNKNOWN)]),
    asked("status: a query", f"{ENDPOINT}/status?a=1", 422, [("query.a", UNKNOWN)]),
    asked("health: a query", f"{ENDPOINT}/health?a=1", 422, [("query.a", UNKNOWN)]),
    body("plan: nobody plans", f"{ENDPOINT}/plan", {}, "LLM not configured", status=503),
    asked("no such call", f"{ENDPOINT}/trade", 404, "no such path"),
    asked("in capitals", f"{ENDPOINT}/Health", 404, "no such path"),
    asked("wrong method", f"{ENDPOINT}/stop", 405, "GET is not allowed here",
          answer_headers={"Allow": "POST"}),
    asked("of nobody", f"{NOBODY}/endpoint/health", 404, "no such agent"),
    asked("of no id", "/internal/agents/x/endpoint/status", 404, "no such agent"),
    asked("no secret", f"{ENDPOINT}/health", 403, NO_SECRET, headers={"X-Internal-Secret": ""}),
    body("wrong secret and rubbish", f"{ENDPOINT}/start", b"[", NO_SECRET, status=403,
         headers={"X-Internal-Secret": "internal-"}),
    body("secret not ASCII", "/internal/trades", {}, NO_SECRET, status=403,
         headers={"X-Internal-Secret": "é"}),
]  # fmt: skip

STATUS = f"/internal/agents/{AGENT}/status"
TRADE = {"agent_id": AGENT, "side": "long", "entry_price": 100}
LINE = {"ts": 0, "level": "warn", "message": "m"}


def trade(name: str, says: Says, /, **fields: object) -> BadInput:
    """A bad report of a trade."""
    return body(f"trade: {name}", "/internal/trades", TRADE | fields, says)


def lines(name: str, says: Says, *entries: object) -> BadInput:
    """A bad report of log lines."""
    return body(f"lines: {name}", "/internal/logs", {"agent_id": AGENT, "entries": entries}, says)


REPORTS = [
    body("report: nothing", STATUS, {}, [("running", "required")]),
    body("report: null", STATUS, {"running": None}, [("running", "required")]),
    body("report: text", STATUS, {"running": "true"},
         [("running", "expected true or false, got a string")]),
    body("report: many", STATUS,
         {"running": 1, "side": "long", "last_price": -1, "leverage": 1e9, "pnl": None},
         [("running", "expected true or false, got a whole number"),
          ("last_price", f"{A_NUMBER} >= 0"), ("side", "expected one of: LONG, SHORT, FLAT"),
          ("leverage", f"{A_NUMBER} <= 1000"), ("pnl", UNKNOWN)]),
    body("report: long words", STATUS, {"running": True, "last_action": "x" * 65},
         [("last_action", "expected at most 64 characters")]),
    body("report: infinite", STATUS, b'{"running": true, "last_price": 1e400}',
         "the number 1e400 is out of range", status=400),
    body("report: of nobody", f"{NOBODY}/status", {"running": True}, "no such agent", status=404),
    body("trade: nothing", "/internal/trades", {},
         [("agent_id", "required"), ("side", "required"), ("entry_price", "required")]),
    trade("no id", [("agent_id", "Invalid UUID")], agent_id="x"),
    trade("id number", [("agent_id", "expected a UUID, got a whole number")], agent_id=5),
    trade("side", [("side", "expected one of: long, short")], side="LONG"),
    trade("price 0", [("entry_price", f"{A_NUMBER} > 0")], entry_price=0),
    trade("price tiny", [("entry_price", "the number is too small")], entry_price=1e-300),
    trade("price huge", [("exit_price", f"{A_NUMBER} <= 1000000000000000")], exit_price=1e16),
    trade("leverage 0", [("leverage", f"{WHOLE} >= 1")], leverage=0),
    trade("leverage broken", [("leverage", f"{WHOLE} or null, got a number")], leverage=1.5),
    trade("words", [("strategy", "expected at least 1 character"),
                    ("close_reason", "expected at most 200 characters"),
                    ("event_id", "expected a string or null, got a whole number")],
          strategy="", close_reason="x" * 201, event_id=1),
    trade("unknown", [("profit", UNKNOWN)], profit=1),
    body("trade: of nobody", "/internal/trades",
         TRADE | {"agent_id": "00000000-bbbb-4000-8000-000000000000"}, "no such agent",
         status=404),
    body("trade: in a list", "/internal/trades", [TRADE], NO_OBJECT),
    body("trade: as a form", "/internal/trades", b"side=long",
         "send the body as application/json in UTF-8", status=415,
         content_type="application/x-www-form-urlencoded"),
    body("lines: nothing", "/internal/logs", {"agent_id": AGENT}, [("entries", "required")]),
    body("lines: an object", "/internal/logs", {"agent_id": AGENT, "entries": {}},
         [("entries", "expected a list, got an object")]),
    body("lines: 1,001", "/internal/logs", {"agent_id": AGENT, "entries": [LINE] * 1_001},
         [("entries", "expected at most 1000 entries")]),
    lines("text", [("entries.1.body", "expected an object")], LINE, "text"),
    lines("empty", [("entries.0.ts", "required"), ("entries.0.level", "required"),
                    ("entries.0.message", "required")], {}),
    lines("bad fields of two", [("entries.0.level", LEVELS), ("entries.2.ts", A_TIME),
                                ("entries.2.message", "expected a string, got null"),
                                ("entries.2.who", UNKNOWN)],
          LINE | {"level": "info"}, LINE, LINE | {"ts": "now", "message": None, "who": "me"}),
    lines("time out of reach", [("entries.0.ts", A_TIME)], LINE | {"ts": 1e300}),
    lines("time true", [("entries.0.ts", "expected a number or a string, got true or false")],
          LINE | {"ts": True}),
    lines("20,001 characters", [("entries.0.message", "expected at most 20000 characters")],
          LINE | {"message": "x" * 20_001}),
    lines("150 times wrong", [(f"entries.{i}.level", LEVELS) for i in range(150)],
          *([LINE | {"level": "?"}] * 150)),
    body("hosted: not taken", f"/internal/hosted/{AGENT}",
         {"hub_url": "http://old-hub:9000", "internal_secret": "x", "symbol": "BTC"},
         "agents of other hubs are not taken: set ARTIC_SHIM_OWNER and ARTIC_CALLBACK_HUBS",
         status=409, method="PUT"),
    asked("get of the trades", "/internal/trades", 405, "GET is not allowed here"),
    asked("query on a report", "/internal/trades?dry_run=1", 422, [("dry_run", UNKNOWN)],
          method="POST", headers={"Content-Type": JSON}),
]  # fmt: skip

INTERNAL = STARTS + CALLS + REPORTS
