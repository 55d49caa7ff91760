"""What an event carries, on the wire and in words."""

from uuid import UUID, uuid5

import pytest

from engine.errors import EventError
from engine.events import Event, decode_event, encode_event, event_id, log_lines
from engine.rows import Reason
from engine.schemas import rows_from_bytes
from tests.engine.builders import AGENT, SLOT, holding, only_event, running, tick


def of(kind: str, reason: Reason = Reason.NONE, text: str = "") -> Event:
    row_after = running().tobytes()
    return Event(kind, AGENT, 0, 3, SLOT, row_after, reason=int(reason), text=text)


def trade(kind: str, reason: Reason, side: int = 1) -> Event:
    return Event(
        kind,
        AGENT,
        0,
        3,
        SLOT,
        b"",
        reason=int(reason),
        price=101.5,
        side=side,
        quantity=10.0,
        pnl_usd=12.985,
        signal=0.75,
    )


def test_an_event_comes_through_the_wire() -> None:
    sent = only_event(tick(running(), SLOT + 1, signal=0.75))
    assert decode_event(encode_event(sent)) == sent


@pytest.mark.parametrize("payload", [b"", b"\xc1", encode_event(of("opened"))[:-9], b"\x91\x01"])
def test_other_bytes_are_no_event(payload: bytes) -> None:
    with pytest.raises(EventError, match="no event"):
        decode_event(payload)


def test_ids_follow_from_agent_and_number() -> None:
    assert event_id(AGENT, 3) == uuid5(UUID(bytes=AGENT), "3")
    assert event_id(AGENT, 3) != event_id(AGENT, 4)


def test_each_event_carries_the_row_right_after_it() -> None:
    rows = holding(1, max_session_loss_usd=5.0)
    closed, stopped = tick(rows, SLOT + 2, price=97.0).events
    for event in (closed, stopped):
        after = rows_from_bytes(event.row_after)[0]
        assert (after["seq"], after["agent_id"].tobytes()) == (event.seq, event.agent_id)
    assert (closed.kind, closed.seq, stopped.kind, stopped.seq) == ("closed", 4, "stopped", 5)
    assert (
        rows_from_bytes(closed.row_after)["status"] != rows_from_bytes(stopped.row_after)["status"]
    )


def test_an_open_and_its_close_tell_the_whole_trade() -> None:
    rows = running(leverage=2, slippage_cbps=100)
    opened = only_event(tick(rows, SLOT + 1, signal=-0.75))
    assert opened == Event(
        "opened",
        bytes(16),
        0,
        3,
        SLOT + 1,
        opened.row_after,
        reason=Reason.SIGNAL,
        price=99.99,
        side=-1,
        quantity=10.0010001,
        fee_usd=1.0,
        entry_price=99.99,
        entry_fee_usd=1.0,
        opened_slot=SLOT + 1,
        trade_seq=3,
        leverage=2,
        open_reason=Reason.SIGNAL,
        signal=-0.75,
    )
    closed = only_event(tick(rows_from_bytes(opened.row_after), SLOT + 7, price=95.0))
    assert closed == Event(
        "closed",
        bytes(16),
        0,
        4,
        SLOT + 7,
        closed.row_after,
        reason=Reason.TAKE_PROFIT,
        price=95.0095,
        side=-1,
        quantity=10.0010001,
        fee_usd=0.95019002,
        pnl_usd=47.85979098,
        entry_price=99.99,
        entry_fee_usd=1.0,
        opened_slot=SLOT + 1,
        trade_seq=3,
        leverage=2,
        open_reason=Reason.SIGNAL,
    )


@pytest.mark.parametrize(
    ("event", "levels"),
    [
        (of("created"), ["init"]),
        (of("edited"), ["init"]),
        (of("started"), ["start"]),
        (of("stopped", Reason.BY_USER), ["stop"]),
        (of("deleted", Reason.DELETED), ["stop"]),
        (trade("opened", Reason.SIGNAL), ["action"]),
        (trade("closed", Reason.SIGNAL), ["action"]),
        (trade("closed", Reason.STOP_LOSS), ["sl_tp", "action"]),
        (trade("closed", Reason.TAKE_PROFIT), ["sl_tp", "action"]),
        (trade("closed", Reason.TRAILING_STOP), ["sl_tp", "action"]),
        (trade("closed", Reason.LIQUIDATION), ["sl_tp", "action"]),
        (trade("closed", Reason.SESSION_LOSS), ["action"]),
        (trade("closed", Reason.STOPPED), ["action"]),
        (of("stale"), ["warn"]),
        (of("fresh"), ["warn"]),
        (of("failed", Reason.PLAN_FAILED, "boom"), ["error"]),
    ],
)
def test_levels_of_the_log(event: Event, levels: list[str]) -> None:
    assert [level for level, _ in log_lines(event)] == levels


def test_words_of_the_log() -> None:
    assert log_lines(trade("opened", Reason.SIGNAL)) == [
        ("action", "opened long 10 at 101.5, signal 0.75")
    ]
    assert log_lines(trade("closed", Reason.STOP_LOSS, side=-1)) == [
        ("sl_tp", "stop loss triggered"),
        ("action", "closed short 10 at 101.5, stop loss, P&L +12.98 USD"),
    ]
    assert log_lines(of("stopped", Reason.SESSION_LOSS)) == [
        ("stop", "agent stopped: session loss")
    ]
    assert log_lines(of("failed", Reason.PLAN_FAILED, "boom")) == [
        ("error", "strategy failed: boom")
    ]
    assert log_lines(of("created")) == [
        (
            "init",
            "agent created: interval 1 s, position up to 1000 USD, leverage 1, threshold 0.5, "
            "stop loss 2 %, take profit 4 %",
        )
    ]


def test_an_unknown_kind_has_no_words() -> None:
    with pytest.raises(EventError, match="vanished"):
        log_lines(of("vanished"))
