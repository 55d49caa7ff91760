"""Every bad input gets its exact problem answer, and leaves nothing behind."""

import httpx
import pytest

from adapters.db import agents
from api.errors import TITLES
from api.hub import Hub
from tests.api.bad_inputs import BAD_INPUTS, BadInput
from tests.api.conftest import Account

SOME_ID = "00000000-0000-4000-8000-000000000000"
QUERIES = [
    ("/api/agents?limit=0", "limit", "expected a whole number >= 1"),
    ("/api/agents?limit=ten", "limit", "expected a whole number"),
    ("/api/agents?limit=1&limit=2", "limit", "given more than once"),
    ("/api/agents?limit=1001", "limit", "expected a whole number <= 1000"),
    ("/api/agents?status=idle", "status", "expected one of: creating, running, stopped, error"),
    ("/api/agents?cursor=zzz", "cursor", "not a cursor of this list"),
    ("/api/agents?page=2", "page", "unknown field"),
    ("/api/market/price", "symbol", "required"),
    ("/api/market/price?symbol=XYZ", "symbol", "no prices for it; see GET /api/market/symbols"),
]
AGENT_QUERIES = [
    ("logs?level=loud", "level", "expected one of: init, llm, start, tick, action, sl_tp, stop, "
     "error, warn, supervisor"),
    ("logs?limit=-1", "limit", "expected a whole number >= 1"),
    ("logs?before=yesterday", "before", "expected a time like 2026-01-31T12:00:00.000Z"),
    ("logs?before=2026-01-31T12:00:00", "before", "expected a time like 2026-01-31T12:00:00.000Z"),
    ("trades?limit=0", "limit", "expected a whole number >= 1"),
    ("trades?cursor=-1", "cursor", "not a cursor of this list"),
]  # fmt: skip


async def test_bad_inputs(alice: Account, hub: Hub) -> None:
    """One hub for the whole table: a server for each of a hundred cases would take minutes."""
    wrong = []
    for case in BAD_INPUTS:
        answer = await post(alice.http, case)
        found = described(answer, case)
        if found != (case.status, case.says):
            wrong.append(f"{case.name}: {found} instead of {(case.status, case.says)}")
    assert wrong == []
    assert len(BAD_INPUTS) >= 100
    assert await agents.count(hub.database) == 0


async def post(http: httpx.AsyncClient, case: BadInput) -> httpx.Response:
    """Sends one case as it is."""
    headers = {} if case.content_type is None else {"Content-Type": case.content_type}
    return await http.post(case.path, content=case.raw, headers=headers)


def described(answer: httpx.Response, case: BadInput) -> tuple[int, object]:
    """(status, what it says) of a well-formed problem answer."""
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json", case.name
    assert problem["status"] == answer.status_code, case.name
    assert problem["title"] == TITLES[answer.status_code], case.name
    assert problem["type"] == "about:blank", case.name
    if answer.status_code != 422:
        assert "errors" not in problem, case.name
        return answer.status_code, problem["detail"]
    return 422, [(error["field"], error["message"]) for error in problem["errors"]]


@pytest.mark.parametrize(("path", "field", "message"), QUERIES)
async def test_bad_queries(alice: Account, path: str, field: str, message: str) -> None:
    answer = await alice.http.get(path)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": field, "message": message}]


async def test_bad_queries_of_an_agent(alice: Account) -> None:
    body = {"symbol": "BTC", "strategy_name": "breakout"}
    agent = (await alice.http.post("/api/agents", json=body)).json()["id"]
    for path, field, message in AGENT_QUERIES:
        answer = await alice.http.get(f"/api/agents/{agent}/{path}")
        assert (answer.status_code, answer.json().get("errors")) == (
            422,
            [{"field": field, "message": message}],
        ), path


@pytest.mark.parametrize(
    "bad_id",
    ["1", "null", SOME_ID.replace("-", ""), f"{{{SOME_ID}}}", f"urn:uuid:{SOME_ID}", "%00"],
)
async def test_an_id_that_is_no_uuid_names_no_agent(alice: Account, bad_id: str) -> None:
    for method, path in [("GET", ""), ("DELETE", ""), ("POST", "/start"), ("GET", "/logs")]:
        answer = await alice.http.request(method, f"/api/agents/{bad_id}{path}")
        assert (answer.status_code, answer.json()["detail"]) == (404, "no such agent")


async def test_paths_that_are_not_served(alice: Account) -> None:
    """What the contract has and this version does not serve is left out: 404."""
    for method, path in [
        ("DELETE", "/api/keys"),
        ("GET", "/api/market/candles"),
        ("GET", "/api/secrets"),
        ("GET", "/api/agents/"),
        ("GET", "/nothing"),
    ]:
        answer = await alice.http.request(method, path)
        assert answer.status_code in (404, 405), path
        assert answer.headers["content-type"] == "application/problem+json"
    answer = await alice.http.put("/api/agents", json={})
    assert (answer.status_code, answer.json()["title"]) == (405, "Method Not Allowed")
    assert set(answer.headers["allow"].split(", ")) <= {"GET", "HEAD", "POST"}


async def test_stop_takes_its_own_body_only(alice: Account) -> None:
    body = {"symbol": "BTC", "strategy_name": "breakout"}
    agent = (await alice.http.post("/api/agents", json=body)).json()["id"]
    path = f"/api/agents/{agent}/stop"
    bad = await alice.http.post(path, json={"close_position": "yes", "force": True})
    assert bad.status_code == 422
    assert [error["field"] for error in bad.json()["errors"]] == ["close_position", "force"]
    assert (await alice.http.post(path, content=b"[", headers=JSON)).status_code == 400
    assert (await alice.http.post(f"/api/agents/{agent}/start", json={"now": 1})).status_code == 422


JSON = {"Content-Type": "application/json"}
