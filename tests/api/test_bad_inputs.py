"""Every bad input gets its exact problem answer, and leaves nothing behind."""

from uuid import UUID

import httpx
import pytest

from adapters.db import agents
from api.errors import AGENT_ENDPOINT, FIELD_ERRORS_MAX, TITLES
from api.hub import Hub
from tests.api.bad_fields import FIELDS
from tests.api.bad_inputs import BODIES
from tests.api.bad_internal_inputs import INTERNAL
from tests.api.bad_requests import REQUESTS
from tests.api.conftest import Account
from tests.api.refused import AGENT, BadInput, Says

TABLE = [*BODIES, *FIELDS, *REQUESTS, *INTERNAL]


def test_the_table_has_no_row_twice() -> None:
    assert len(TABLE) >= 150
    assert len({case.request for case in TABLE}) == len(TABLE)


@pytest.fixture
async def agent_id(alice: Account) -> str:
    """An agent of Alice that stands."""
    body = {"symbol": "BTC", "strategy_name": "breakout", "auto_start": False}
    made: str = (await alice.http.post("/api/agents", json=body)).json()["id"]
    return made


async def test_bad_inputs(alice: Account, http: httpx.AsyncClient, hub: Hub, agent_id: str) -> None:
    """One hub for the whole table: a server for each of the cases would take minutes."""
    before = await agents.get_agent(hub.database, alice.user_id, UUID(agent_id))
    assert before is not None
    inbox = await waiting(hub, before.shard)
    internal = {"X-Internal-Secret": hub.settings.internal_secret}
    wrong = []
    for case in TABLE:
        client = http if case.path.startswith("/internal/") else alice.http
        answer = await send(client, case, agent_id, internal if client is http else {})
        found = described(answer, case)
        if found != (case.status, expected(case.says)):
            wrong.append(f"{case.name}: {found} instead of {(case.status, expected(case.says))}")
        for name, value in case.answer_headers.items():
            if answer.headers.get(name) != value:
                wrong.append(f"{case.name}: {name} is {answer.headers.get(name)}")
    assert not wrong, "\n".join(wrong)
    assert await agents.get_agent(hub.database, alice.user_id, UUID(agent_id)) == before
    assert await agents.count(hub.database) == 1
    assert await waiting(hub, before.shard) == inbox
    assert inbox > 0


async def waiting(hub: Hub, shard: int) -> int:
    """How many commands wait in a shard's inbox."""
    state = await hub.shards.read(shard)
    assert state is not None
    return len(state.inbox)


async def send(
    client: httpx.AsyncClient, case: BadInput, agent_id: str, more: dict[str, str]
) -> httpx.Response:
    """Sends one case as it is."""
    headers = {name: text.encode() for name, text in (more | dict(case.headers)).items()}
    if case.content_type is not None:
        headers["Content-Type"] = case.content_type.encode()
    return await client.request(
        case.method,
        case.path.replace(AGENT, agent_id),
        content=case.raw.replace(AGENT.encode(), agent_id.encode()),
        headers=httpx.Headers([(name.encode(), text) for name, text in headers.items()]),
    )


def expected(says: Says) -> Says:
    """Of a long list only the beginning is told."""
    return says if isinstance(says, str) else says[:FIELD_ERRORS_MAX]


def described(answer: httpx.Response, case: BadInput) -> object:
    """(status, what it says) of a well-formed answer; of any other, all of it."""
    problem = answer.json()
    kind = answer.headers["content-type"]
    if AGENT_ENDPOINT.match(case.path):
        detail = problem.get("detail")
        types = set() if isinstance(detail, str) else {each["type"] for each in detail}
        if kind != "application/json" or set(problem) != {"detail"} or types > {"value_error"}:
            return answer.status_code, kind, problem
        if isinstance(detail, str):
            return answer.status_code, detail
        return answer.status_code, [(".".join(e["loc"]), e["msg"]) for e in detail]
    errors = problem.pop("errors", None)
    says = problem.get("detail")
    if errors is not None:
        says = [(error["field"], error["message"]) for error in errors]
        problem["detail"] = problem["detail"] == summary(case.says)
    well_formed = {
        "type": "about:blank",
        "title": TITLES[answer.status_code],
        "status": answer.status_code,
        "detail": says if errors is None else True,
    }
    if kind != "application/problem+json" or problem != well_formed:
        return answer.status_code, kind, problem
    return answer.status_code, says


def summary(says: Says) -> str:
    """The detail of a 422: the first five fields, and how many more."""
    if isinstance(says, str):
        return says
    names = ", ".join(name for name, _ in says[:5])
    return f"bad input: {names}" + (f" and {len(says) - 5} more" if len(says) > 5 else "")
