"""Server-sent events, however their bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import sse
from adapters.sse import EventParser, EventTooLong, ServerEvent

STREAM = (
    b':\n\ndata:{"a":1}\n\nevent: error\ndata: Slow consumer: disconnected\n\n'
    b"data: one\r\ndata:two\r\n\r\nid: 7\rretry:5\rdata\r\revent:x\n\ndata:unfinished\n"
)
EVENTS = [
    ServerEvent("message", b'{"a":1}'),
    ServerEvent("error", b"Slow consumer: disconnected"),
    ServerEvent("message", b"one\ntwo"),
    ServerEvent("message", b""),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_do_not_depend_on_how_the_bytes_are_cut(cuts: list[int]) -> None:
    parser = EventParser()
    ends = [0, *sorted(cuts), len(STREAM)]
    events = [event for start, end in pairwise(ends) for event in parser.feed(STREAM[start:end])]
    assert events == EVENTS


def test_an_event_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES_MAX", 1_000)
    parser = EventParser()
    for _ in range(20):  # many events of much less
        assert parser.feed(b"data:" + b"x" * 400 + b"\n\n")
    with pytest.raises(EventTooLong):
        for _ in range(20):
            parser.feed(b"data:" + b"x" * 400 + b"\n")
