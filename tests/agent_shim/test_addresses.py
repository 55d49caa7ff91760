"""Whom a request is for: the name of an agent, or this machine with the agent in the path."""

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_shim.addresses import (
    NO_AGENT_NAMED,
    NO_SUCH_AGENT,
    WRONG_HOST,
    Addressed,
    NotAddressed,
    find_agent,
)

ID = "0e37df36-f698-11e6-8dd4-cb9ced3df976"
OTHER = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
AGENT = UUID(ID)
untimed = settings(deadline=None)


@pytest.mark.parametrize(
    ("host", "path", "call"),
    [
        (f"artic-agent-{ID}", "/status", "/status"),
        (f"artic-agent-{ID}:8000", "/status", "/status"),
        (f"ARTIC-Agent-{ID.upper()}:80", "/", "/"),
        (f"artic-agent-{ID}", f"/agents/{OTHER}/status", f"/agents/{OTHER}/status"),
        ("127.0.0.1:8000", f"/agents/{ID}/status", "/status"),
        ("127.0.0.1", f"/agents/{ID.upper()}/status", "/status"),
        ("localhost:8000", f"/agents/{ID}/config", "/config"),
        ("[::1]:8000", f"/agents/{ID}/a/b", "/a/b"),
        ("localhost", f"/agents/{ID}", "/"),
    ],
)
def test_who_is_meant(host: str, path: str, call: str) -> None:
    assert find_agent(host, path) == Addressed(AGENT, call)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ":8000",
        "example.com",
        f"artic-agent-{ID}.example.com",
        f"artic-agent-{ID}.",
        f"www.artic-agent-{ID}",
        f"x-artic-agent-{ID}",
        f"artic-agent-{ID}@example.com",
        f"artic-agent-{ID}:8000:8000",
        f"artic-agent-{ID}:port",
        "127.0.0.1.example.com",
        "127.0.0.2",
        "0.0.0.0",
        "localhost.example.com",
        "::1",
        "artic-agent-",
    ],
)
@pytest.mark.parametrize("path", ["/status", f"/agents/{ID}/status"])
def test_other_names_are_not_answered(host: str, path: str) -> None:
    found = find_agent(host, path)
    assert isinstance(found, NotAddressed)
    assert found == WRONG_HOST or "@" in host or host.endswith((":8000:8000", ":port"))
    assert find_agent(host, path, AGENT) == found


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("artic-agent-7", "/status"),
        (f"artic-agent-{AGENT.hex}", "/status"),
        (f"artic-agent-{ID}0", "/status"),
        (f"artic-agent-{{{ID}}}", "/status"),
        ("localhost", "/agents/7/status"),
        ("localhost", "/agents//status"),
        ("localhost", f"/agents/{AGENT.hex}/status"),
        ("localhost", "/agents/../status"),
    ],
)
def test_what_is_no_id_names_no_agent(host: str, path: str) -> None:
    assert find_agent(host, path) == NO_SUCH_AGENT


@pytest.mark.parametrize("path", ["/", "/status", "/agents", f"//agents/{ID}/status", f"/{ID}"])
def test_this_machine_needs_an_agent_in_the_path(path: str) -> None:
    assert find_agent("localhost:8000", path) == NO_AGENT_NAMED


def test_one_agent_answers_for_itself_alone() -> None:
    own = Addressed(AGENT, "/status")
    assert find_agent(f"artic-agent-{ID}:8000", "/status", AGENT) == own
    assert find_agent("127.0.0.1", f"/agents/{ID}/status", AGENT) == own
    assert find_agent("127.0.0.1", "/status", AGENT) == own
    assert find_agent(f"artic-agent-{OTHER}", "/status", AGENT) == NO_SUCH_AGENT
    assert find_agent("127.0.0.1", f"/agents/{OTHER}/status", AGENT) == NO_SUCH_AGENT
    assert find_agent("example.com", "/status", AGENT) == WRONG_HOST


@untimed
@given(st.uuids(), st.text(), st.none() | st.integers(1, 65_535))
def test_every_agent_has_two_addresses(agent_id: UUID, rest: str, port: int | None) -> None:
    call = "/" + rest
    tail = "" if port is None else f":{port}"
    wanted = Addressed(agent_id, call)
    assert find_agent(f"artic-agent-{agent_id}{tail}", call) == wanted
    assert find_agent(f"localhost{tail}", f"/agents/{agent_id}{call}") == wanted


@untimed
@given(st.text(), st.text())
def test_no_chance_name_is_answered(host: str, path: str) -> None:
    assert isinstance(find_agent(host, path), NotAddressed)
