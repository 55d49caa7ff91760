"""The checks of bench.trades find what they are there for."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import pytest

from bench import proof
from bench.hub_client import Listener
from bench.proof import Ask, Ledger
from bench.recompute_rules import Start, Stop
from engine.events import Event

AGENT = UUID(int=7)
SIGNAL, TAKE_PROFIT, BY_USER, DELETED = 1, 2, 12, 10


def event(kind: str, seq: int, slot: int, **fields: Any) -> Event:
    return Event(kind, AGENT.bytes, 0, seq, slot, b"", **fields)


CREATED = [event("created", 1, 10), event("started", 2, 10)]
OPENED = event("opened", 3, 11, reason=SIGNAL, price=100.0, side=1, trade_seq=3)
CLOSED = event("closed", 4, 15, reason=TAKE_PROFIT, price=104.0, side=1, pnl_usd=3.5, trade_seq=3)
STORY = [*CREATED, OPENED, CLOSED]
TRADE = {
    "id": uuid5(AGENT, "3"),
    "agent_id": AGENT,
    "entry_price": 100.0,
    "exit_price": 104.0,
    "pnl_usd": 3.5,
    "close_reason": "take_profit",
    "closed_at": datetime.fromtimestamp(15, UTC),
}
LEDGER = Ledger(
    trades=[TRADE],
    messages=[(1, "log", AGENT), (2, "trade", AGENT), (3, "trade", AGENT)],
    message_seq=3,
    quarantined=0,
    frozen=[],
    row_seqs={AGENT: 4},
)


def told(seq: int, kind: str, word: str = "") -> dict[str, Any]:
    """A message as the WebSocket brings it."""
    data = {"event": word, "trade": {"id": str(TRADE["id"])}} if word else {"entries": []}
    return {"type": kind, "seq": seq, "agent_id": str(AGENT), "data": data}


HEARD = [told(1, "log"), told(2, "trade", "opened"), told(3, "trade", "closed")]


def test_a_run_that_is_in_order_has_nothing_to_complain_of() -> None:
    events = {AGENT: STORY}
    assert proof.whole_recording(events, LEDGER) == []
    assert proof.stored_once(events, LEDGER) == []
    assert proof.told_once(Listener(facts=HEARD), LEDGER) == []
    assert proof.stops_kept(events, [Ask(AGENT, "stop", 16.2)]) == []
    assert proof.only_expected(events) == []


@pytest.mark.parametrize("events", [STORY[:-1], [*STORY[:2], STORY[3]], [*STORY, CLOSED]])
def test_an_event_that_the_recording_lacks_or_has_twice_is_found(events: Sequence[Event]) -> None:
    assert proof.whole_recording({AGENT: events}, LEDGER)


@pytest.mark.parametrize(
    "trades",
    [
        [],
        [TRADE, TRADE],
        [TRADE, TRADE | {"id": UUID(int=1)}],
        [TRADE | {"entry_price": 100.1}],
        [TRADE | {"exit_price": 104.1}],
        [TRADE | {"pnl_usd": 3.6}],
        [TRADE | {"close_reason": "stop_loss"}],
        [TRADE | {"closed_at": datetime.fromtimestamp(16, UTC)}],
        [TRADE | {"exit_price": None, "pnl_usd": None}],
    ],
)
def test_a_trade_that_is_not_in_postgresql_as_it_was_is_found(
    trades: list[dict[str, Any]],
) -> None:
    assert proof.stored_once({AGENT: STORY}, replace(LEDGER, trades=trades))


def test_a_frozen_shard_and_an_event_in_quarantine_are_found() -> None:
    assert proof.stored_once({AGENT: STORY}, replace(LEDGER, frozen=[3]))
    assert proof.stored_once({AGENT: STORY}, replace(LEDGER, quarantined=1))


@pytest.mark.parametrize(
    "facts",
    [HEARD[:2], [*HEARD, HEARD[2]], [HEARD[0], HEARD[2], HEARD[1]], [HEARD[0], *HEARD[2:]]],
)
def test_a_message_that_was_not_told_or_told_twice_or_late_is_found(
    facts: list[dict[str, Any]],
) -> None:
    assert proof.told_once(Listener(facts=facts), LEDGER)


def test_a_socket_that_ended_is_found() -> None:
    assert proof.told_once(Listener(facts=HEARD, ended="closed with 4408"), LEDGER)


def test_an_opening_after_the_answer_to_a_stop_is_found() -> None:
    assert proof.stops_kept({AGENT: STORY}, [Ask(AGENT, "stop", 10.9)])
    started = [Ask(AGENT, "stop", 8.0), Ask(AGENT, "start", 10.5)]
    assert proof.stops_kept({AGENT: STORY}, started) == []


def test_commands_are_what_was_asked_with_the_slots_that_were_stamped() -> None:
    stopped = event("stopped", 5, 20, reason=BY_USER)
    started = event("started", 6, 25)
    stopped_open = event("stopped", 7, 30, reason=DELETED)
    deleted = event("deleted", 8, 31)
    own_stop = event("stopped", 9, 32, reason=7)
    events = [*STORY, stopped, started, stopped_open, deleted, own_stop]
    asks = [Ask(AGENT, "stop", 19.5, close_position=False)]
    starts, commands = proof.commands_of({AGENT: events}, asks)
    name = str(AGENT)
    assert starts == {AGENT: 10}
    assert commands == [
        Stop(name, 20, close_position=False),
        Start(name, 25),
        Stop(name, 30, delete=True),
    ]


def test_too_few_trades_of_a_kind_are_found() -> None:
    assert any("round trips" in problem for problem in proof.enough_trades({AGENT: STORY}))
    assert any("no short" in problem for problem in proof.enough_trades({AGENT: STORY}))
