"""Generated requests against the hub's process: no 5xx, and every answer is as documented.

Half of the cases follow the document, half of them break it on purpose; those must be refused.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from adapters.settings import Settings
from tests.api.test_process import free_port

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SHORT, LONG = 6, 64
EACH_FOR_ITSELF = "/api/agents/bulk"
"""Answers 200 and says of each agent what is wrong with it."""
AWAY = ("/internal/agents/{agent_id}/endpoint/plan", "/api/market/price", "/api/market/candles")
"""503 here: nobody plans yet, and without a pool there are no prices."""
READY_S = 30.0


@dataclass(frozen=True)
class Target:
    """A running hub with one account that has an agent, and how its calls are authorized."""

    url: str
    headers: dict[str, str]
    internal: dict[str, str]
    agent_id: str
    document: dict[str, Any]


@pytest.fixture
def target(settings: Settings) -> Iterator[Target]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    told = replace(
        settings,
        hub_port=port,
        hub_url=url,
        requests_per_minute=0,
        attempts_per_address=10_000,
        shim_owner="cases@example.com",
        callback_hubs="http://127.0.0.1:1",
        log_level="warning",
    )
    command = [sys.executable, "-m", "api"]
    with subprocess.Popen(command, env=told.environment()) as process:
        try:
            with httpx.Client(base_url=url, trust_env=False, timeout=20.0) as http:
                yield _prepared(http, url, settings.internal_secret)
        finally:
            process.terminate()
            process.wait(20)


def _prepared(http: httpx.Client, url: str, internal_secret: str) -> Target:
    deadline = time.monotonic() + READY_S
    while not _is_ready(http):
        assert time.monotonic() < deadline, "the hub did not come up"
    login = {"email": "cases@example.com", "password": "a long password"}
    token = http.post("/auth/register", json=login).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    body = {"symbol": "BTC", "strategy_name": "breakout"}
    agent = http.post("/api/agents", json=body, headers=headers).json()
    internal = {"X-Internal-Secret": internal_secret}
    return Target(url, headers, internal, agent["id"], http.get("/openapi.json").json())


def _is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_a_short_run(target: Target) -> None:
    assert _run(target, SHORT) >= 200


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_thousand_cases(target: Target) -> None:
    assert _run(target, LONG) >= 2_000


def _run(target: Target, examples: int) -> int:
    """How many cases were sent; every operation gets `examples` of either kind."""
    config = schemathesis.Config.from_dict({"generation": {"with-security-parameters": False}})
    schema = schemathesis.openapi.from_dict(target.document, config=config)
    sent = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path == "/ws":
            continue
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            if mode is schemathesis.GenerationMode.POSITIVE or _can_be_wrong(operation):
                sent += _send(target, operation, mode, examples)
    return sent


def _can_be_wrong(operation: APIOperation[Any, Any, Any, Any]) -> bool:
    return bool(list(operation.query)) or bool(list(operation.body))


def _send(
    target: Target,
    operation: APIOperation[Any, Any, Any, Any],
    mode: schemathesis.GenerationMode,
    examples: int,
) -> int:
    sent = 0
    given_path = {"agent_id": target.agent_id} if "{agent_id}" in operation.path else {}
    own = operation.as_strategy(generation_mode=mode, path_parameters=given_path)
    cases = own
    if given_path and mode is schemathesis.GenerationMode.POSITIVE:
        anybody = operation.as_strategy(generation_mode=mode)
        # The agent of the other cases stays.
        cases = anybody if operation.method == "delete" else st.one_of(own, own, anybody)
    internal = operation.path.startswith("/internal")
    headers = target.internal if internal else target.headers

    @seed(1)
    @hypothesis_settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=cases)
    def check(case: schemathesis.Case[Any]) -> None:
        nonlocal sent
        sent += 1
        answer = case.call(base_url=target.url, headers=headers, timeout=20.0)
        is_away = operation.path in AWAY and answer.status_code == 503
        assert is_away or answer.status_code < 500, (case.as_curl_command(), answer.text)
        wrong = mode is schemathesis.GenerationMode.NEGATIVE
        if wrong and operation.path == EACH_FOR_ITSELF:
            is_refused = answer.status_code >= 400 or answer.json()["refused"]
            assert is_refused, (case.as_curl_command(), answer.text)
            wrong = False
        checks = [*CHECKS, negative_data_rejection] if wrong else CHECKS
        case.validate_response(answer, checks=checks)

    check()
    return sent
