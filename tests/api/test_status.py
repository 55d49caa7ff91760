"""Status out of row, head and frame, over the life of one agent as the engine plays it."""

import msgspec
import numpy as np
import pytest

from api.sights import CANNOT_RUN, FILTERED
from api.status import agent_status, tick_slots
from api.status_words import row_of, status_word
from engine.rows import empty_rows
from engine.schedule import SkippedRange
from tests.api.rows import START, TestHead, advanced, agent, sight

SLOTS = "2027-01-15T08:00:0{}.000Z"


def test_an_agent_that_the_pool_has_not_met_is_creating() -> None:
    status = agent_status(agent(), None, None, sight())
    assert (status.status, status.ticks, status.position) == ("creating", 0, None)
    assert (status.last_action, status.last_tick_at, status.next_tick_at) == (None, None, None)
    assert (status.price, status.price_source, status.signal_detail) == (
        100.0,
        "simulated",
        "quiet",
    )


def test_a_row_of_somebody_else_or_a_free_one_is_not_the_agents() -> None:
    rows = advanced(None, START, 100.0, wanted=agent())
    other = agent(id=agent().user_id)
    assert row_of(other, rows[0]) is None
    assert status_word(other, rows[0])[0] == "creating"
    assert row_of(agent(), empty_rows(1)[0]) is None


def test_from_its_first_tick_it_runs() -> None:
    rows = advanced(None, START, 100.0, wanted=agent())
    status = agent_status(agent(), rows[0], TestHead(START), sight())
    assert (status.status, status.ticks, status.missed_ticks) == ("running", 1, 0)
    assert (status.last_tick_at, status.next_tick_at) == (SLOTS.format(0), SLOTS.format(1))
    assert (status.last_action, status.last_reason) == ("HOLD", "the signal is below the threshold")


@pytest.mark.parametrize("why", [CANNOT_RUN, FILTERED])
def test_a_silenced_strategy_is_why_nothing_is_opened_and_not_why_a_position_stays(
    why: str,
) -> None:
    flat = advanced(None, START, 100.0, wanted=agent())
    status = agent_status(agent(), flat[0], TestHead(START), sight(silenced=why))
    assert (status.last_action, status.last_reason) == ("HOLD", why)
    held = advanced(None, START, 100.0, 0.9, wanted=agent())
    held = advanced(held, START + 1, 100.0)
    status = agent_status(agent(), held[0], TestHead(START + 1), sight(silenced=why))
    assert (status.last_action, status.last_reason) == ("HOLD", "the position stays open")


def test_an_open_position() -> None:
    rows = advanced(None, START, 100.0, 0.9, wanted=agent())
    status = agent_status(agent(), rows[0], TestHead(START), sight(103.0, signal=0.9))
    assert (status.last_action, status.last_reason) == ("OPEN_LONG", "signal")
    position = status.position
    assert position is not None
    assert (position.side, position.quantity, position.entry_price) == ("long", 10.0, 100.0)
    assert (position.notional_usd, position.margin_usd, position.leverage) == (1000.0, 200.0, 5)
    assert (position.stop_loss_price, position.take_profit_price) == (98.0, 104.0)
    assert (position.liquidation_price, position.unrealized_pnl_usd) == (80.0, 30.0)
    assert position.opened_at == SLOTS.format(0)
    assert status.fees_usd == 1.0
    later = agent_status(agent(), rows[0], TestHead(START + 3), sight(None))
    assert (later.last_action, later.last_reason) == ("HOLD", "the price is stale")
    assert later.position is not None
    assert later.position.unrealized_pnl_usd is None


def test_a_short_position_and_its_close() -> None:
    opened = advanced(None, START, 100.0, -0.9, wanted=agent())
    status = agent_status(agent(), opened[0], TestHead(START), sight(99.0))
    assert status.position is not None
    assert (status.position.side, status.position.unrealized_pnl_usd) == ("short", 10.0)
    assert status.position.liquidation_price == 120.0
    closed = advanced(opened, START + 1, 95.0)
    status = agent_status(agent(), closed[0], TestHead(START + 1), sight(95.0))
    assert (status.last_action, status.last_reason) == ("CLOSE", "take_profit")
    assert status.position is None
    assert status.realized_pnl_usd == pytest.approx(50.0 - 1.0 - 0.95)
    assert status.fees_usd == pytest.approx(1.95)


def test_without_leverage_a_long_position_has_no_liquidation_price() -> None:
    calm = agent()
    calm = msgspec.structs.replace(calm, risk_params={**calm.risk_params, "leverage": 1})
    rows = advanced(None, START, 100.0, 0.9, wanted=calm)
    status = agent_status(calm, rows[0], TestHead(START), sight())
    assert status.position is not None
    assert status.position.liquidation_price is None


def test_a_stop_is_said_at_once_and_a_start_is_being_provisioned() -> None:
    rows = advanced(None, START, 100.0, wanted=agent())
    stopping = agent(epoch=2, wanted="stopped")
    assert status_word(stopping, rows[0]) == ("stopped", "stopped by its owner")
    rows = advanced(rows, START + 1, 100.0, wanted=stopping)
    assert status_word(stopping, rows[0]) == ("stopped", "stopped by its owner")
    status = agent_status(stopping, rows[0], TestHead(START + 5), sight())
    assert (status.ticks, status.next_tick_at, status.last_tick_at) == (1, None, None)
    starting = agent(epoch=3)
    assert status_word(starting, rows[0])[0] == "creating"
    rows = advanced(rows, START + 9, 100.0, wanted=starting)
    assert status_word(starting, rows[0]) == ("running", None)


def test_a_stopping_agent_with_a_position_says_that_it_closes() -> None:
    rows = advanced(None, START, 100.0, 0.9, wanted=agent())
    stopping = agent(epoch=2, wanted="stopped")
    rows = advanced(rows, START + 1, float("nan"), wanted=stopping)
    word, detail = status_word(stopping, rows[0])
    assert word == "stopped"
    assert detail == "stopped by its owner; its position closes at the next price"


def test_a_failed_strategy_is_an_error_with_its_text() -> None:
    rows = advanced(None, START, 100.0, wanted=agent(), failed="division by zero")
    assert status_word(agent(), rows[0]) == ("error", "the strategy failed")
    told = agent(status="error", status_detail="strategy failed: division by zero")
    assert status_word(told, rows[0]) == ("error", "strategy failed: division by zero")


def test_a_session_loss_stops_it() -> None:
    limited = agent()
    limited = msgspec.structs.replace(
        limited, risk_params={**limited.risk_params, "max_session_loss_usd": 5.0}
    )
    rows = advanced(None, START, 100.0, 0.9, wanted=limited)
    rows = advanced(rows, START + 1, 99.0)
    word, detail = status_word(limited, rows[0])
    assert (word, detail) == ("stopped", "the session's loss reached max_session_loss_usd")


@pytest.mark.parametrize(
    ("interval", "head", "skipped", "last", "upcoming"),
    [
        (1, 0, (), 0, 1),
        (60, 0, (), 0, 60),
        (60, 59, (), 0, 60),
        (60, 60, (), 60, 120),
        (60, -1, (), None, 0),
        (10, 35, ((25, 33),), 20, 40),
        (10, 35, ((30, 30), (20, 20)), 10, 40),
        (10, 35, ((0, 33),), None, 40),
    ],
)
def test_last_and_next_tick(
    interval: int, head: int, skipped: tuple[tuple[int, int], ...], last: int | None, upcoming: int
) -> None:
    slow = agent(interval_seconds=interval)
    row = advanced(None, START, 100.0, wanted=slow)[0]
    gaps = tuple(
        SkippedRange(START + first, START + end, paused=False) for first, end in sorted(skipped)
    )
    found_last, found_next = tick_slots(row, TestHead(START + head, gaps))
    assert (found_last, found_next) == (None if last is None else START + last, START + upcoming)


def test_missed_ticks_are_counted() -> None:
    row = advanced(None, START, 100.0, wanted=agent())[0]
    head = TestHead(START + 9, (SkippedRange(START + 2, START + 4, paused=False),))
    status = agent_status(agent(), row, head, sight())
    assert (status.ticks, status.missed_ticks) == (7, 3)


def test_rows_of_numpy_are_left_as_they_are() -> None:
    rows = advanced(None, START, 100.0, 0.9, wanted=agent())
    before = rows.tobytes()
    agent_status(agent(), rows[0], TestHead(START), sight())
    assert rows.tobytes() == before
    assert isinstance(rows[0], np.void)
