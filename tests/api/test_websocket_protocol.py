"""The stream's rules without a socket: order, gaps, merging, bounds, wishes."""

import json
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import websocket_protocol as protocol
from api.tick_lines import LogEntry
from api.websocket_protocol import Fact, FactOrder, Outbox, Wishes, read_fact, read_wishes

AGENT, OTHER = uuid4(), uuid4()


def fact(seq: int) -> Fact:
    return Fact(seq, AGENT, str(seq).encode(), changes_agent=False)


@given(st.lists(st.lists(st.integers(1, 30), max_size=6), max_size=30), st.integers(0, 10))
def test_facts_go_out_in_order_each_once(batches: list[list[int]], last: int) -> None:
    order = FactOrder()
    assert order.add([fact(last + 3)]) == []  # nothing before the record was read
    out = [each.seq for each in order.begin(last)]
    for batch in batches:
        out += [each.seq for each in order.add(fact(seq) for seq in batch)]
    out += [each.seq for each in order.add(fact(seq) for seq in range(last + 1, 41))]
    assert out == list(range(last + 1, 41))
    assert not order.waits


def test_a_hole_is_waited_for_and_filled() -> None:
    order = FactOrder()
    order.begin(5)
    assert order.add([fact(8), fact(7)]) == []
    assert order.waits
    assert [each.seq for each in order.add([fact(6), fact(7)])] == [6, 7, 8]
    assert order.last == 8


def test_what_the_record_lost_is_stepped_over() -> None:
    order = FactOrder()
    order.begin(5)
    order.add([fact(20)])
    assert [each.seq for each in order.skip_to(19)] == []
    assert [each.seq for each in order.add([fact(19)])] == [19, 20]


def test_facts_held_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HELD_FACTS_MAX", 10)
    order = FactOrder()
    order.begin(0)
    assert order.add(fact(seq) for seq in range(2, 100)) == []
    assert order.waits
    assert [each.seq for each in order.add(fact(seq) for seq in range(1, 11))] == list(range(1, 11))


def test_an_outbox_merges_statuses_and_keeps_facts() -> None:
    outbox = Outbox()
    outbox.put_status(AGENT, b"a1")
    outbox.put_status(OTHER, b"b1")
    outbox.put_fact(b"trade 1")
    outbox.put_status(AGENT, b"a2")
    outbox.put_fact(b"trade 2")
    assert len(outbox) == 4
    assert outbox.take(8) == [b"trade 1", b"trade 2"]
    assert outbox.take(1) == [b"a2"]
    outbox.put_status(AGENT, b"a3")
    assert outbox.take(1_000) == [b"b1", b"a3"]
    assert outbox.take(1_000) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60), st.integers(1, 30))
def test_no_fact_is_lost_and_the_newest_status_arrives(
    steps: list[tuple[bool, int]], bytes_max: int
) -> None:
    outbox = Outbox()
    agents = [UUID(int=n) for n in range(4)]
    newest: dict[int, bytes] = {}
    facts: list[bytes] = []
    seen: list[bytes] = []
    for number, (is_fact, agent) in enumerate(steps):
        if is_fact:
            outbox.put_fact(b"f%d" % number)
            facts.append(b"f%d" % number)
        else:
            newest[agent] = b"%d:%d" % (agent, number)
            outbox.put_status(agents[agent], newest[agent])
        if number % 7 == 0:
            seen += outbox.take(bytes_max)
    while taken := outbox.take(bytes_max):
        assert sum(map(len, taken[:-1])) < bytes_max
        seen += taken
    assert [message for message in seen if message.startswith(b"f")] == facts
    assert set(newest.values()) <= set(seen)
    assert len(outbox) == 0


def test_a_client_far_behind_is_given_up_and_costs_nothing_more() -> None:
    outbox = Outbox()
    for _ in range(protocol.OUTBOX_FACTS_MAX):
        outbox.put_fact(b"x")
    assert not outbox.too_far_behind
    outbox.put_fact(b"x")
    assert len(outbox) == 0
    outbox.put_fact(b"y")
    outbox.put_status(AGENT, b"z")
    assert outbox.take(1) == []
    large = Outbox()
    large.put_fact(b"x" * (protocol.OUTBOX_BYTES_MAX + 1))
    assert (outbox.too_far_behind, large.too_far_behind) == (True, True)


def test_statuses_alone_never_make_a_client_too_slow() -> None:
    outbox = Outbox()
    for number in range(3 * protocol.OUTBOX_FACTS_MAX):
        outbox.put_status(AGENT, b"%d" % number)
    assert (outbox.too_far_behind, len(outbox)) == (False, 1)


def test_reading_published_messages() -> None:
    message = {
        "type": "log",
        "agent_id": str(AGENT),
        "seq": 7,
        "ts": "2026-01-01T00:00:00.000Z",
        "data": {"entries": [{"ts": "", "level": "stop", "message": "agent stopped"}]},
    }
    found = read_fact(json.dumps(message).encode())
    assert found is not None
    assert (found.seq, found.agent_id, found.changes_agent) == (7, AGENT, True)
    assert json.loads(found.text) == message
    trade = {"type": "trade", "agent_id": str(AGENT), "seq": 8, "data": {"event": "opened"}}
    opened = read_fact(json.dumps(trade).encode())
    assert opened is not None
    assert not opened.changes_agent
    for nonsense in (
        b"",
        b"{}",
        b"\xff",
        b'{"seq": "7"}',
        json.dumps(message | {"seq": None}).encode(),
    ):
        assert read_fact(nonsense) is None


def test_messages_of_our_own() -> None:
    lines = [LogEntry("t1", "tick", "a"), LogEntry("t2", "tick", "b")]
    encoded = [msgspec.json.encode(line) for line in lines]
    assert json.loads(protocol.tick_lines_message(AGENT, encoded)) == {
        "type": "log",
        "agent_id": str(AGENT),
        "seq": None,
        "ts": "t2",
        "data": {"entries": [{"ts": "t1", "level": "tick", "message": "a"},
                             {"ts": "t2", "level": "tick", "message": "b"}]},
    }  # fmt: skip
    assert json.loads(protocol.gap_message(3, 9)) == {"type": "gap", "from": 3, "to": 9}


@pytest.mark.parametrize(
    ("query", "wishes"),
    [
        ({}, Wishes()),
        ({"since": "0"}, Wishes(None, 0)),
        ({"since": "12", "agents": str(AGENT)}, Wishes(frozenset({AGENT}), 12)),
        ({"agents": f"{AGENT},{OTHER},"}, Wishes(frozenset({AGENT, OTHER}), None)),
        ({"agents": ""}, Wishes(frozenset(), None)),
        ({"since": "-1"}, "since: expected a whole number >= 0"),
        ({"since": "1.5"}, "since: expected a whole number"),
        ({"since": "٣"}, "since: expected a whole number"),
        ({"since": ""}, "since: expected a whole number"),
        ({"since": "9" * 40}, "since: expected a whole number <= 999999999999999"),
        ({"agents": "all"}, "agents: expected ids with commas between them"),
        ({"agents": AGENT.hex}, "agents: expected ids with commas between them"),
        ({"agent": str(AGENT)}, "agent: unknown field"),
        ({"é" * 64: ""}, "é" * 61),
        ({"agents": "x", "since": "y"}, "agents: expected ids with commas between them; since: "
         "expected a whole number"),
    ],
)  # fmt: skip
def test_wishes(query: dict[str, str], wishes: Wishes | str) -> None:
    assert read_wishes([("token", "t"), *query.items()]) == wishes


def test_a_wish_twice_is_none() -> None:
    assert read_wishes([("since", "1"), ("since", "2")]) == "since: given more than once"
