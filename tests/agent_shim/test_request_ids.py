"""X-Request-ID at the agent endpoint: taken or made, answered, passed to the hub, and logged."""

import json
import logging
import re
from collections.abc import Iterator

import pytest

from agent_shim import app as shim_app
from agent_shim.app import REQUEST_ID as HEADER
from agent_shim.log import JsonFormatter, PlainFormatter
from tests.agent_shim.stand_in_hub import AGENT, StandInHub, broken
from tests.agent_shim.test_gateway import gateway

MADE = re.compile(r"[0-9a-f]{32}")


class Lines(logging.Handler):
    """What was logged, in both forms."""

    def __init__(self) -> None:
        super().__init__()
        self.plain: list[str] = []
        self.json: list[dict[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.plain.append(PlainFormatter().format(record))
        self.json.append(json.loads(JsonFormatter().format(record)))


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Everything that the endpoint logs from now on."""
    handler = Lines()
    logger = logging.getLogger("artic.shim")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


async def test_it_goes_on_to_the_hub_and_back() -> None:
    hub = StandInHub()
    async with gateway(hub) as caller:
        answer = await caller.get("/health", headers={HEADER: "mine-1"})
        assert answer.headers[HEADER] == "mine-1"
        made = (await caller.post("/stop")).headers[HEADER]
        assert MADE.fullmatch(made)
        assert hub.request_ids == ["mine-1", made]


@pytest.mark.parametrize(
    "given", ["", "a" * 65, "two words", "-x", "ak_0123456789", "rt_0123456789", "eyJhbGciOiJI"]
)
async def test_what_is_none_is_replaced(given: str) -> None:
    hub = StandInHub()
    async with gateway(hub) as caller:
        answer = await caller.get("/health", headers={HEADER: given})
        assert MADE.fullmatch(answer.headers[HEADER])
        assert hub.request_ids == [answer.headers[HEADER]]


async def test_refusals_have_it_too() -> None:
    async with gateway(StandInHub()) as caller:
        for path, host, status in (
            ("/nothing", f"artic-agent-{AGENT}", 404),
            ("/health", "evil", 421),
            ("/logs?limit=0", f"artic-agent-{AGENT}", 422),
        ):
            answer = await caller.get(path, headers={HEADER: "mine", "Host": host})
            assert (answer.status_code, answer.headers[HEADER]) == (status, "mine")


async def test_lines_carry_it_and_the_agent(lines: Lines) -> None:
    hub = StandInHub(spoil=broken())
    async with gateway(hub) as caller:
        assert (await caller.get("/status", headers={HEADER: "mine"})).status_code == 502
    [plain] = [line for line in lines.plain if "ERROR" in line]
    assert plain.endswith(f" is no JSON [request_id=mine agent_id={AGENT}]")
    [told] = [line for line in lines.json if line["level"] == "error"]
    assert (told["request_id"], told["agent_id"]) == ("mine", str(AGENT))


async def test_a_mistake_is_logged_and_answered_with_it(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_reader(*_: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(shim_app, "read_answer", broken_reader)
    async with gateway(StandInHub()) as caller:
        answer = await caller.get("/health", headers={HEADER: "mine"})
    assert (answer.status_code, answer.headers[HEADER]) == (500, "mine")
    assert answer.json() == {"detail": "the agent endpoint made a mistake; it was logged"}
    [told] = [line for line in lines.json if line["level"] == "error"]
    assert (told["request_id"], "ZeroDivisionError" in told["error"]) == ("mine", True)
