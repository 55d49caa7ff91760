"""Bad queries, ids, paths, methods and headers, and the exact answers to them."""

from tests.api.refused import (
    AGENT,
    GOOD,
    LOGIN,
    REGISTER,
    TIMEFRAMES,
    UNKNOWN,
    BadInput,
    Says,
    asked,
    body,
    query,
)

OF_AGENT = f"/api/agents/{AGENT}"
OTHER_ID = "00000000-bbbb-4000-8000-000000000000"
LOGS, TRADES = f"{OF_AGENT}/logs", f"{OF_AGENT}/trades"
PRICE, CANDLES = "/api/market/price", "/api/market/candles"
WHOLE = "expected a whole number"
STATES = "expected one of: creating, running, stopped, error"
LEVELS = "expected one of: init, llm, start, tick, action, sl_tp, stop, error, warn, supervisor"
A_TIME = "expected a time like 2026-01-31T12:00:00.000Z"
NO_CURSOR = "not a cursor of this list"
TWICE = "given more than once"
NO_PAIR = "expected a pair like BTC/USDT"
NO_AGENT, NO_PATH = "no such agent", "no such path"
NO_JSON = "send the body as application/json in UTF-8"
BAD_KEY = [("Idempotency-Key", "expected one value of 1 to 255 visible ASCII characters")]
NOT_LET_IN = {"WWW-Authenticate": 'Bearer realm="artic"'}
NO_CREDENTIAL = "send Authorization: Bearer <access_token> or X-API-Key: <api_key>"
REFRESH, LOGOUT = "/auth/refresh", "/auth/logout"

PAGES = [
    query("/api/agents?limit=0", f"{WHOLE} >= 1"),
    query("/api/agents?limit=-1", f"{WHOLE} >= 1"),
    query("/api/agents?limit=1001", f"{WHOLE} <= 1000"),
    query("/api/agents?limit=99999999999999999999", f"{WHOLE} <= 1000"),
    query("/api/agents?limit=ten", WHOLE),
    query("/api/agents?limit=", WHOLE),
    query("/api/agents?limit", WHOLE),
    query("/api/agents?limit=1.0", WHOLE),
    query("/api/agents?limit=1e2", WHOLE),
    query("/api/agents?limit=1_0", WHOLE),
    query("/api/agents?limit=+5", WHOLE),
    query("/api/agents?limit=%205", WHOLE),
    query("/api/agents?limit=%D9%A1", WHOLE),
    query("/api/agents?limit=true", WHOLE),
    query("/api/agents?limit=5;cursor=x", WHOLE),
    query("/api/agents?limit=5%00", WHOLE),
    query("/api/agents?limit=1&limit=2", TWICE),
    query("/api/agents?status=idle", STATES),
    query("/api/agents?status=", STATES),
    query("/api/agents?status=RUNNING", STATES),
    query("/api/agents?status=running,stopped", STATES),
    query("/api/agents?status=running&status=stopped", TWICE),
    query("/api/agents?cursor=zzz", NO_CURSOR),
    query("/api/agents?cursor=", NO_CURSOR),
    query("/api/agents?cursor=%00", NO_CURSOR),
    query("/api/agents?cursor=%FF", NO_CURSOR),
    query(f"/api/agents?cursor={'a' * 101}", "expected at most 100 characters"),
    query("/api/agents?offset=-1", UNKNOWN),
    query("/api/agents?page=2", UNKNOWN),
    query("/api/agents?Limit=5", UNKNOWN),
    query("/api/agents?limit[]=5", UNKNOWN),
    query("/api/agents?=5", UNKNOWN),
    asked("three bad parameters", "/api/agents?limit=0&status=no&sort=name", 422,
          [("status", STATES), ("limit", f"{WHOLE} >= 1"), ("sort", UNKNOWN)]),
]  # fmt: skip

HISTORY = [
    query(f"{LOGS}?level=loud", LEVELS),
    query(f"{LOGS}?level=TICK", LEVELS),
    query(f"{LOGS}?level=tick,warn", LEVELS),
    query(f"{LOGS}?limit=-1", f"{WHOLE} >= 1"),
    query(f"{LOGS}?limit=1001", f"{WHOLE} <= 1000"),
    query(f"{LOGS}?before=yesterday", A_TIME),
    query(f"{LOGS}?before=", A_TIME),
    query(f"{LOGS}?before=1767225600", A_TIME),
    query(f"{LOGS}?before=2026-01-31", A_TIME),
    query(f"{LOGS}?before=2026-01-31T12:00:00", A_TIME),
    query(f"{LOGS}?before=2026-02-30T00:00:00Z", A_TIME),
    query(f"{LOGS}?before=2016-12-31T23:59:60Z", A_TIME),
    query(f"{LOGS}?before=0001-01-01T00:00:00%2B23:59", A_TIME),
    query(f"{LOGS}?before=%F0%9F%98%80", A_TIME),
    query(f"{LOGS}?before={'2' * 41}", "expected at most 40 characters"),
    query(f"{LOGS}?cursor=1", UNKNOWN),
    query(f"{TRADES}?limit=0", f"{WHOLE} >= 1"),
    query(f"{TRADES}?cursor=-1", NO_CURSOR),
    query(f"{TRADES}?cursor=1.5", NO_CURSOR),
    query(f"{TRADES}?cursor=%201", NO_CURSOR),
    query(f"{TRADES}?cursor={'9' * 30}", NO_CURSOR),
    query(f"{TRADES}?before=2026-01-31T12:00:00Z", UNKNOWN),
    query(PRICE, "required", name="symbol"),
    query(f"{PRICE}?symbol=", "expected at least 1 character"),
    query(f"{PRICE}?symbol=XYZ", "no prices for XYZ/USDT; see GET /api/market/symbols"),
    query(f"{PRICE}?symbol=ETHX", "no prices for ETHX/USDT; did you mean ETH/USDT?"),
    query(f"{PRICE}?symbol=%00", NO_PAIR),
    query(f"{PRICE}?symbol=%C3%9F", NO_PAIR),
    query(f"{PRICE}?symbol={'B' * 33}", "expected at most 32 characters"),
    query(f"{PRICE}?symbol=BTC&symbol=ETH", TWICE),
    query(f"{CANDLES}?timeframe=1h", "required", name="symbol"),
    query(f"{CANDLES}?symbol=BTC", "required", name="timeframe"),
    query(f"{CANDLES}?symbol=BTC&timeframe=2h", TIMEFRAMES, name="timeframe"),
    query(f"{CANDLES}?symbol=BTC&timeframe=1h&limit=0", f"{WHOLE} >= 1", name="limit"),
    query(f"{CANDLES}?symbol=BTC&timeframe=1h&limit=501", f"{WHOLE} <= 500", name="limit"),
    query(f"{CANDLES}?timeframe=1h&symbol=ETHX",
          "no prices for ETHX/USDT; did you mean ETH/USDT?", name="symbol"),
    asked("symbols for symbol", f"{PRICE}?symbols=BTC", 422,
          [("symbol", "required"), ("symbols", UNKNOWN)]),
    query("/api/me?verbose=1", UNKNOWN),
    query("/api/strategies?family=momentum", UNKNOWN),
    query("/api/market/symbols?quote=USDT", UNKNOWN),
    query(f"{OF_AGENT}?fields=status", UNKNOWN),
    query(f"{OF_AGENT}/status?verbose=1", UNKNOWN),
    query(f"{OF_AGENT}/metrics?days=7", UNKNOWN),
    body("stop by a query", f"{OF_AGENT}/stop?close_position=false", b"",
         [("close_position", UNKNOWN)]),
    asked("delete by a query", f"{OF_AGENT}?close_position=false", 422,
          [("close_position", UNKNOWN)], method="DELETE"),
    body("create by a query", "/api/agents?auto_start=false", GOOD, [("auto_start", UNKNOWN)]),
    body("log in by a query", f"{LOGIN}?email=a@b.de", {"email": "a@b.de", "password": "x"},
         [("email", UNKNOWN)]),
]  # fmt: skip


def no_agent(name: str, bad_id: str, rest: str = "", method: str = "GET") -> BadInput:
    """An id that names nothing."""
    return asked(f"id: {name}{rest}", f"/api/agents/{bad_id}{rest}", 404, NO_AGENT, method=method)


IDS = [
    no_agent("of nobody", OTHER_ID),
    no_agent("of nobody", OTHER_ID, "/trades"),
    no_agent("of nobody", OTHER_ID, method="DELETE"),
    no_agent("a number", "1"),
    no_agent("null", "null", "/logs"),
    no_agent("without dashes", AGENT.replace("-", "")),
    no_agent("in braces", f"%7B{AGENT}%7D"),
    no_agent("a URN", f"urn:uuid:{AGENT}", "/status"),
    no_agent("and a space", f"{AGENT}%20"),
    no_agent("and a zero byte", f"{AGENT}%00", "/metrics"),
    no_agent("and a line", f"{AGENT}%0d%0aX:1"),
    no_agent("of 5,000 letters", "a" * 5_000),
    no_agent("not ASCII", "%C3%A9"),
    no_agent("not UTF-8", "%FF%FE"),
    no_agent("an action", "kill-all"),
    no_agent("a wildcard", "*", method="DELETE"),
    body("id: start of nobody", f"/api/agents/{OTHER_ID}/start", b"", NO_AGENT, status=404),
    body("id: edit of nobody", f"/api/agents/{OTHER_ID}", {"name": ""}, NO_AGENT, status=404,
         method="PATCH"),
    body("id: stop of nobody with rubbish", f"/api/agents/{OTHER_ID}/stop", b"[", NO_AGENT,
         status=404),
]  # fmt: skip

PATHS = [
    asked("nothing", "/nothing", 404, NO_PATH),
    asked("the root", "/", 404, NO_PATH),
    asked("slash at the end", "/api/agents/", 404, NO_PATH),
    asked("slash after an id", f"{OF_AGENT}/", 404, NO_PATH),
    asked("two slashes", "/api//agents", 404, NO_PATH),
    asked("capitals", "/API/agents", 404, NO_PATH),
    asked("up and away", "/api/agents/..%2F..%2Fetc%2Fpasswd", 404, NO_PATH),
    asked("a file", "/.env", 404, NO_PATH),
    asked("query in the path", f"{OF_AGENT}/status%3Fa=1", 404, NO_PATH),
    asked("not built: decisions", f"{OF_AGENT}/decisions", 404, NO_PATH),
    asked("a socket without upgrade", "/ws", 404, NO_PATH),
    asked("put", "/api/agents", 405, "PUT is not allowed here", method="PUT",
          answer_headers={"Allow": "GET, HEAD, POST"}),
    asked("get of a stop", f"{OF_AGENT}/stop", 405, "GET is not allowed here",
          answer_headers={"Allow": "POST"}),
    asked("delete of the key", "/api/keys", 405, "DELETE is not allowed here", method="DELETE",
          answer_headers={"Allow": "POST"}),
    asked("get of a login", LOGIN, 405, "GET is not allowed here",
          answer_headers={"Allow": "POST"}),
    asked("post of health", "/health", 405, "POST is not allowed here", method="POST",
          answer_headers={"Allow": "GET, HEAD"}),
    asked("options", "/api/agents", 405, "OPTIONS is not allowed here", method="OPTIONS"),
    asked("trace", "/api/me", 405, "TRACE is not allowed here", method="TRACE"),
]  # fmt: skip


def typed(content_type: str | None) -> BadInput:
    """A good body, sent as something else."""
    return body(f"sent as {content_type}", "/api/agents", GOOD, NO_JSON, status=415,
                content_type=content_type)  # fmt: skip


def keyed(name: str, key: str) -> BadInput:
    """A good body with a bad Idempotency-Key."""
    headers = {"Idempotency-Key": key}
    return body(f"key: {name}", "/api/agents", GOOD, BAD_KEY, headers=headers)


def credential(name: str, says: str, **headers: str) -> BadInput:
    """A request of somebody who is not let in; the right token is not sent."""
    sent = {"Authorization": ""} | {key.replace("_", "-"): text for key, text in headers.items()}
    return asked(f"credential: {name}", "/api/me", 401, says, headers=sent,
                 answer_headers=NOT_LET_IN)  # fmt: skip


def encoded(coding: str) -> BadInput:
    """A good body that says it is encoded."""
    return body(f"encoded {coding}", "/api/agents", GOOD,
                "send the body without a content encoding", status=415,
                headers={"Content-Encoding": coding})  # fmt: skip


HEADERS = [
    *map(typed, ["application/json; charset=utf-16", "application/json; charset=utf8",
                 "application/json; charset=", "application/json; profile=x", "application/jsonx",
                 "application/problem+json", "application/merge-patch+json", "text/json", "*/*",
                 "application/json, application/json", "multipart/form-data; boundary=x", ""]),
    *map(encoded, ["gzip", "br", "identity, gzip"]),
    body("start as text", f"{OF_AGENT}/start", b"{}", NO_JSON, status=415,
         content_type="text/plain"),
    body("stop as a form", f"{OF_AGENT}/stop", b"close_position=false", NO_JSON, status=415,
         content_type="application/x-www-form-urlencoded"),
    body("edit without a type", OF_AGENT, {"name": "a"}, NO_JSON, status=415, method="PATCH",
         content_type=None),
    body("register as text", REGISTER, {"email": "a@b.de", "password": "12345678"}, NO_JSON,
         status=415, content_type="text/plain;charset=UTF-8"),
    keyed("empty", ""),
    keyed("two words", "a b"),
    keyed("a tab", "a\tb"),
    keyed("256 characters", "x" * 256),
    keyed("not ASCII", "é"),
    keyed("a delete", "\x7f"),
    body("key: good, body bad", "/api/agents", GOOD | {"interval_seconds": 0},
         [("interval_seconds", f"{WHOLE} >= 1")], headers={"Idempotency-Key": "k"}),
    credential("none", NO_CREDENTIAL),
    credential("other scheme", NO_CREDENTIAL, Authorization="Basic YTpi"),
    credential("no token", NO_CREDENTIAL, Authorization="Bearer"),
    credential("no JWT", "the token is not valid", Authorization="Bearer x"),
    credential("not ASCII", "the token is not valid", Authorization="Bearer é"),
    credential("unsigned", "the token was signed with an unknown key",
               Authorization="Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."),
    credential("empty key", "the API key is not valid", X_API_Key=""),
    credential("key of nobody", "the API key is not valid", X_API_Key="ak_" + "x" * 43),
    credential("key too long", "the API key is not valid", X_API_Key="ak_" + "x" * 44),
    credential("key as a token", "the token is not valid", Authorization="Bearer ak_" + "x" * 43),
]  # fmt: skip


def bad_token(name: str, value: object, says: Says) -> list[BadInput]:
    """The same body for both calls that take a refresh token."""
    return [
        body(f"{path}: {name}", path, value, says, status=422 if isinstance(says, list) else 400)
        for path in (REFRESH, LOGOUT)
    ]


TOKENS = [
    *bad_token("no field", {}, [("refresh_token", "required")]),
    *bad_token("empty", {"refresh_token": ""},
               [("refresh_token", "expected at least 1 character")]),
    *bad_token("null", {"refresh_token": None}, [("refresh_token", "expected a string, got null")]),
    *bad_token("long", {"refresh_token": "x" * 201},
               [("refresh_token", "expected at most 200 characters")]),
    *bad_token("more", {"refresh_token": "x", "all": True}, [("all", UNKNOWN)]),
    *bad_token("text", "rt_x", [("body", "expected an object")]),
    *bad_token("half a pair", rb'{"refresh_token": "\ud800"}',
               "a string holds half of a surrogate pair"),
    body("refresh of nobody", REFRESH, {"refresh_token": "rt_x"}, "the refresh token is not valid",
         status=401, answer_headers=NOT_LET_IN),
    body("refresh with a zero byte", REFRESH, {"refresh_token": "\0"},
         "the refresh token is not valid", status=401),
    body("login of nobody", LOGIN, {"email": "nobody@b.de", "password": "x"},
         "wrong e-mail or password", status=401, answer_headers=NOT_LET_IN),
    body("login with a user name", LOGIN, {"username": "a", "password": "x"},
         [("email", "required"), ("username", UNKNOWN)]),
    body("login with empty fields", LOGIN, {"email": "", "password": ""},
         [("email", "expected at least 1 character"),
          ("password", "expected at least 1 character")]),
    body("login with a long password", LOGIN, {"email": "a@b.de", "password": "x" * 1025},
         [("password", "expected at most 1024 characters")]),
    body("taken address in capitals", REGISTER,
         {"email": "ALICE@Example.com", "password": "12345678"},
         "this e-mail address has an account already", status=409),
    body("address with a header", REGISTER, {"email": "a\r\nBcc:b@c.de", "password": "12345678"},
         [("email", "expected an address like name@example.com")]),
    body("address with a name", REGISTER, {"email": "Al <a@b.de>", "password": "12345678"},
         [("email", "expected an address like name@example.com")]),
    body("address that turns the writing", REGISTER,
         {"email": "a\u202e@b.de", "password": "12345678"},
         [("email", "expected no control characters")]),
    body("address list, password number", REGISTER, {"email": ["a@b.de"], "password": 12345678},
         [("email", "expected a string, got a list"),
          ("password", "expected a string, got a whole number")]),
    body("null and null", REGISTER, {"email": None, "password": None},
         [("email", "expected a string, got null"), ("password", "expected a string, got null")]),
]  # fmt: skip

REQUESTS = PAGES + HISTORY + IDS + PATHS + HEADERS + TOKENS
