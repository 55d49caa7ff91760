"""The gateway in front of a small HTTP server that speaks the hub's side of the endpoint."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from agent_shim.app import AgentEndpoint
from agent_shim.calls import BODY_BYTES_MAX
from agent_shim.client import HubClient
from tests.agent_shim.stand_in_hub import (
    AGENT,
    LOG_LINE,
    SECRET,
    STARTED,
    STATUS,
    STRANGER,
    Asked,
    StandInHub,
    broken,
    free_port,
    listen,
)
from tests.agent_shim.wire import EndpointTransport, TransportNetwork

START = {"symbol": "BTC/USDT", "amount_usdt": 50, "leverage": 2, "tp_pct": 0.07}


@asynccontextmanager
async def gateway(
    hub: StandInHub | httpx.MockTransport | str,
    *,
    secret: str = SECRET,
    only_agent: UUID | None = None,
    host: str = f"artic-agent-{AGENT}:8000",
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the agent endpoint in front of a hub: one inside this process, or one at an
    address. `host` is the name that the client asks for.
    """
    network: TransportNetwork | None = None
    if isinstance(hub, StandInHub):
        network = TransportNetwork(httpx.ASGITransport(hub.app))
    elif isinstance(hub, httpx.MockTransport):
        network = TransportNetwork(hub)
    url = hub if isinstance(hub, str) else "http://hub:9000"
    endpoint = AgentEndpoint(HubClient(url, secret, network), only_agent)
    async with (
        aclosing(endpoint),
        httpx.AsyncClient(
            transport=EndpointTransport(endpoint), base_url=f"http://{host}"
        ) as client,
    ):
        yield client


@pytest.fixture
def hub() -> StandInHub:
    """The stand-in."""
    return StandInHub()


@pytest.fixture
async def agent(hub: StandInHub) -> AsyncIterator[httpx.AsyncClient]:
    """A caller that knows the agent by its name."""
    async with gateway(hub) as client:
        yield client


def said(response: httpx.Response) -> tuple[int, Any]:
    """Status and decoded body."""
    assert response.headers["content-type"] == "application/json"
    return response.status_code, response.json()


async def test_health(agent: httpx.AsyncClient, hub: StandInHub) -> None:
    assert said(await agent.get("/health")) == (200, {"ok": True, "running": True})
    assert hub.asked == [Asked("GET", "health", "", b"", None)]


async def test_head_asks_like_get(agent: httpx.AsyncClient, hub: StandInHub) -> None:
    assert (await agent.head("/health")).status_code == 200
    assert hub.asked[0].method == "GET"


async def test_start_with_a_body(agent: httpx.AsyncClient, hub: StandInHub) -> None:
    assert said(await agent.post("/start", json=START | {"sl_pct": None})) == (200, STARTED)
    asked = hub.asked[0]
    assert (asked.method, asked.call, asked.content_type) == ("POST", "start", "application/json")
    assert json.loads(asked.body) == START
    assert b'"tp_pct": 0.07' in asked.body


async def test_start_without_a_body(agent: httpx.AsyncClient, hub: StandInHub) -> None:
    assert said(await agent.post("/start")) == (200, STARTED)
    assert said(await agent.post("/start", json={})) == (200, STARTED)
    assert hub.asked == [Asked("POST", "start", "", b"", None)] * 2


async def test_stop(agent: httpx.AsyncClient, hub: StandInHub) -> None:
    stopped = (200, {"stopped": True, "closed": True})
    assert said(await agent.post("/stop")) == stopped
    assert said(await agent.post("/stop?closePosition=False")) == stopped
    assert [asked.query for asked in hub.asked] == ["closePosition=true", "closePosition=false"]


async def test_status(agent: httpx.AsyncClient) -> None:
    assert said(await agent.get("/status")) == (200, STATUS)


async def test_logs(agent: httpx.AsyncClient, hub: StandInHub) -> None:
    lines = {"logs": [LOG_LINE], "running": True}
    assert said(await agent.get("/logs")) == (200, lines)
    assert said(await agent.get("/logs?limit=5")) == (200, lines)
    assert [asked.query for asked in hub.asked] == ["", "limit=5"]


async def test_plan(agent: httpx.AsyncClient, hub: StandInHub) -> None:
    nobody = (503, {"detail": "LLM not configured"})
    assert said(await agent.post("/plan")) == nobody
    assert said(await agent.post("/plan", json=START)) == nobody
    assert [asked.body for asked in hub.asked] == [b"", json.dumps(START).encode()]


async def test_config(agent: httpx.AsyncClient, hub: StandInHub) -> None:
    changed = {"sl_pct": 0.01, "poll_seconds": 1.5}
    assert said(await agent.post("/config", json=changed)) == (
        200,
        {"status": "ok", "updated": changed},
    )
    hub.spoil = JSONResponse({"detail": "Engine not running"}, 400)
    assert said(await agent.post("/config", json=changed)) == (
        400,
        {"detail": "Engine not running"},
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "loc"),
    [
        ("POST", "/start", {"symbol": "BTC/USDT", "amount_usdt": 50}, ["body", "leverage"]),
        ("POST", "/start", START | {"llm_provider": "openai"}, ["body", "llm_provider"]),
        ("POST", "/plan", START | {"foo": 1}, ["body", "foo"]),
        ("POST", "/plan?now=1", None, ["query", "now"]),
        ("POST", "/config", {"leverage": 5}, ["body", "leverage"]),
        ("POST", "/stop", {"close_position": False}, ["body"]),
        ("POST", "/stop?closePosition=perhaps", None, ["query", "closePosition"]),
        ("GET", "/logs?limit=0", None, ["query", "limit"]),
        ("GET", "/status?fresh=1", None, ["query", "fresh"]),
        ("GET", "/health?deep=1", None, ["query", "deep"]),
    ],
)
async def test_what_is_wrong_does_not_reach_the_hub(
    agent: httpx.AsyncClient,
    hub: StandInHub,
    method: str,
    path: str,
    body: object,
    loc: list[str],
) -> None:
    status, answer = said(await agent.request(method, path, json=body))
    assert status == 422
    assert [error["loc"] for error in answer["detail"]] == [loc]
    assert hub.asked == []


async def test_live_mode_is_refused(agent: httpx.AsyncClient, hub: StandInHub) -> None:
    status, answer = said(await agent.post("/start", json=START | {"live_mode": True}))
    assert status == 409
    assert answer["detail"].startswith("live_mode is not available yet")
    assert hub.asked == []


async def test_text_that_no_reader_takes_does_not_break_the_answer(
    agent: httpx.AsyncClient,
) -> None:
    response = await agent.post(
        "/start", content=rb'{"\ud800": 1}', headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 422
    assert rb'"\ud800"' in response.content


async def test_a_large_body_is_not_read_to_its_end(
    agent: httpx.AsyncClient, hub: StandInHub
) -> None:
    content = b" " * (BODY_BYTES_MAX + 1)
    assert said(await agent.post("/start", content=content)) == (
        413,
        {"detail": "the body is larger than 65536 bytes"},
    )
    assert hub.asked == []


async def test_paths_and_methods_that_are_none(agent: httpx.AsyncClient) -> None:
    no_path = (404, {"detail": "no such path"})
    for path in ("/", "/nothing", "/status/", f"/agents/{AGENT}/status", "/docs", "/internal"):
        assert said(await agent.get(path)) == no_path
    response = await agent.get("/start")
    assert said(response) == (405, {"detail": "GET is not allowed here"})
    assert response.headers["allow"] == "POST"


async def test_an_agent_that_the_hub_does_not_know(hub: StandInHub) -> None:
    async with gateway(hub, host=f"artic-agent-{STRANGER}:8000") as client:
        for path in ("/health", "/status", "/logs"):
            assert said(await client.get(path)) == (404, {"detail": "no such agent"})
        for path in ("/start", "/stop", "/plan"):
            assert said(await client.post(path)) == (404, {"detail": "no such agent"})


async def test_an_agent_by_path(hub: StandInHub) -> None:
    async with gateway(hub, host="127.0.0.1:8000") as client:
        assert said(await client.get(f"/agents/{AGENT}/status")) == (200, STATUS)
        assert said(await client.post(f"/agents/{AGENT}/start", json=START)) == (200, STARTED)
        unknown = (404, {"detail": "no such agent"})
        assert said(await client.get(f"/agents/{STRANGER}/status")) == unknown
        assert said(await client.get("/agents/seven/status")) == unknown
        unnamed = (404, {"detail": "name the agent: /agents/{id}/..."})
        assert said(await client.get("/status")) == unnamed
    assert [asked.call for asked in hub.asked] == ["status", "start", "status"]


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "127.0.0.1.example.com",
        f"artic-agent-{AGENT}.example.com",
        "shim:8000",
        "10.0.0.7:8000",
    ],
)
async def test_other_host_names_are_not_answered(hub: StandInHub, host: str) -> None:
    async with gateway(hub, host=host) as client:
        for path in ("/health", f"/agents/{AGENT}/health"):
            status, answer = said(await client.get(path))
            assert status == 421
            assert answer == {"detail": "this port answers to the Host name artic-agent-{id} only"}
    assert hub.asked == []


async def test_two_host_names_are_none(agent: httpx.AsyncClient, hub: StandInHub) -> None:
    twice = [("Host", f"artic-agent-{AGENT}"), ("Host", f"artic-agent-{STRANGER}")]
    assert (await agent.get("/health", headers=twice)).status_code == 421
    assert hub.asked == []


async def test_one_agent_answers_for_itself_alone(hub: StandInHub) -> None:
    own = (200, {"ok": True, "running": True})
    async with gateway(hub, only_agent=AGENT, host="127.0.0.1:8000") as client:
        assert said(await client.get("/health")) == own
        assert said(await client.get(f"/agents/{AGENT}/health")) == own
        assert (await client.get(f"/agents/{STRANGER}/health")).status_code == 404
    async with gateway(hub, only_agent=AGENT) as client:
        assert said(await client.get("/health")) == own
    async with gateway(hub, only_agent=STRANGER) as client:
        assert said(await client.get("/health")) == (404, {"detail": "no such agent"})


async def test_the_hub_is_away_and_comes_back(
    hub: StandInHub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="artic.shim")
    port = free_port()
    async with gateway(f"http://127.0.0.1:{port}") as client:
        for _ in range(3):
            response = await client.get("/status")
            assert said(response) == (503, {"detail": "hub not reachable"})
            assert response.headers["retry-after"] == "2"
        assert said(await client.post("/stop")) == (503, {"detail": "hub not reachable"})
        async with listen(hub.app, port):
            assert said(await client.get("/status")) == (200, STATUS)
            assert said(await client.get("/status")) == (200, STATUS)
        assert (await client.get("/status")).status_code == 503
    # said when it begins and when it ends, not with every call
    assert [record.message for record in caplog.records] == [
        "hub not reachable",
        "hub reachable again",
        "hub not reachable",
    ]


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (httpx.ConnectError("no"), "hub not reachable"),
        (httpx.ConnectTimeout("no"), "hub not reachable"),
        (httpx.RemoteProtocolError("no"), "hub not reachable"),
        (httpx.ReadTimeout("no"), "hub did not answer in time"),
        (httpx.PoolTimeout("no"), "too many calls at once"),
    ],
)
async def test_every_way_in_which_the_hub_may_be_away(
    error: httpx.TransportError, detail: str
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    async with gateway(httpx.MockTransport(fail)) as client:
        assert said(await client.post("/start")) == (503, {"detail": detail})


async def test_a_wrong_secret_is_our_trouble_and_not_the_callers(hub: StandInHub) -> None:
    async with gateway(hub, secret="x" * 20) as client:
        assert said(await client.get("/status")) == (
            503,
            {"detail": "hub refused the internal secret"},
        )
    assert hub.asked == []


@pytest.mark.parametrize(
    ("spoiled", "status", "detail"),
    [
        (broken(), 502, "hub gave no valid answer"),
        (JSONResponse({"ok": True}), 502, "hub gave no valid answer"),
        (JSONResponse({"detail": "the hub made a mistake; it was logged"}, 500), 502, "hub failed"),
        (JSONResponse({"detail": "send Authorization"}, 401), 502, "hub failed"),
        (JSONResponse({"title": "Not Found"}, 404), 502, "hub failed"),
        (JSONResponse({}, 307, {"Location": "http://example.com"}), 502, "hub failed"),
        (JSONResponse({"detail": "try again"}, 503, {"Retry-After": "7"}), 503, "try again"),
        (JSONResponse({"detail": "symbol is open"}, 409), 409, "symbol is open"),
    ],
)
async def test_what_the_hub_may_not_answer(
    agent: httpx.AsyncClient, hub: StandInHub, spoiled: Response, status: int, detail: str
) -> None:
    hub.spoil = spoiled
    response = await agent.get("/health")
    assert said(response) == (status, {"detail": detail})
    assert response.headers.get("retry-after") == ("7" if detail == "try again" else None)


async def test_errors_of_the_hub_that_name_fields_are_passed_on(
    agent: httpx.AsyncClient, hub: StandInHub
) -> None:
    errors = [{"loc": ["body", "symbol"], "msg": "no prices for X/Y", "type": "value_error"}]
    hub.spoil = JSONResponse({"detail": errors}, 422)
    assert said(await agent.post("/start", json=START)) == (422, {"detail": errors})


async def test_a_mistake_of_ours_says_nothing_of_itself(
    agent: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(call: str, answer: object) -> dict[str, Any]:
        raise RuntimeError("secret details")

    monkeypatch.setattr("agent_shim.app.read_answer", fail)
    assert said(await agent.get("/health")) == (
        500,
        {"detail": "the agent endpoint made a mistake; it was logged"},
    )
