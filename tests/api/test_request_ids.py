"""X-Request-ID: taken or made, answered, and in every line that is logged for the request."""

import logging
import re
from collections.abc import Iterator

import httpx
import pytest

from adapters.log import PlainFormatter
from api.hub import Hub
from tests.api.conftest import Account

MADE = re.compile(r"[0-9a-f]{32}")
HEADER = "X-Request-ID"


class Lines(logging.Handler):
    """What was logged, as it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(PlainFormatter())
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Everything that is logged from now on."""
    handler = Lines()
    loggers = [logging.getLogger(name) for name in (None, "artic.access", "artic.hub")]
    before = [logger.level for logger in loggers]
    loggers[0].addHandler(handler)
    for logger in loggers:
        logger.setLevel(logging.INFO)
    yield handler
    loggers[0].removeHandler(handler)
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.mark.parametrize("given", ["r-1", "4bf92f35:77.b_C", "a" * 64])
async def test_a_good_one_is_taken(http: httpx.AsyncClient, given: str) -> None:
    assert (await http.get("/health", headers={HEADER: given})).headers[HEADER] == given


@pytest.mark.parametrize(
    "given",
    [
        "", "a" * 65, "two words", "-begins", "line\tbreak", '"quoted"',
        "ak_0123456789", "rt_0123456789", "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
    ],
)  # fmt: skip
async def test_what_is_none_is_replaced(http: httpx.AsyncClient, given: str) -> None:
    answer = await http.get("/health", headers={HEADER: given})
    assert MADE.fullmatch(answer.headers[HEADER])


async def test_two_are_none(http: httpx.AsyncClient) -> None:
    answer = await http.get("/health", headers=[(HEADER, "one"), (HEADER, "two")])
    assert MADE.fullmatch(answer.headers[HEADER])


async def test_refusals_have_it_too(http: httpx.AsyncClient, alice: Account) -> None:
    for client, path, status in (
        (http, "/api/me", 401),
        (http, "/nothing", 404),
        (alice.http, "/api/agents?limit=0", 422),
    ):
        answer = await client.get(path, headers={HEADER: "mine"})
        assert (answer.status_code, answer.headers[HEADER]) == (status, "mine")


async def test_a_mistake_is_answered_and_logged_with_it(
    hub: Hub, alice: Account, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr("api.agents.agents.list_agents", broken)
    answer = await alice.http.get("/api/agents?cursor=secret", headers={HEADER: "mine"})
    assert (answer.status_code, answer.headers[HEADER]) == (500, "mine")
    assert answer.json()["detail"] == "the hub made a mistake; it was logged"
    logged = [line for line in lines.said if "request_id=mine" in line]
    for word, line in zip(("failed", "500"), logged, strict=True):
        assert f"GET /api/agents {word}" in line
    assert ["ZeroDivisionError" in line for line in logged] == [True, False]
    assert not any("secret" in line for line in logged)
