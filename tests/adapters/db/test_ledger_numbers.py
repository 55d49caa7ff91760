"""Money: the record holds, digit for digit, what the engine held; ids follow the engine's rule."""

import math
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import cast
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.db import history
from adapters.db.agents import Agent
from adapters.db.errors import Unstorable
from adapters.db.ledger import store_events
from adapters.db.ledger_rows import check_exact, exact, fact_id
from engine.events import decode_event, event_id
from tests.adapters.db.stories import Story, batch
from tests.adapters.db.world import World

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE)
def test_exact_is_exact_or_refuses(value: float) -> None:
    shortest = Decimal(repr(value))
    fits = abs(shortest) < 10**20 and (Fraction(shortest) * 10**18).denominator == 1
    if fits:
        assert exact(value) == shortest
        assert float(exact(value)) == value
        check_exact(value)
    else:
        with pytest.raises(Unstorable):
            exact(value)
        with pytest.raises(Unstorable):
            check_exact(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e20, -1e20, 1e-19, 5e-324])
def test_what_does_not_fit_is_refused(value: float) -> None:
    with pytest.raises(Unstorable):
        check_exact(value)


@given(st.binary(min_size=16, max_size=16), st.integers(min_value=1, max_value=2**32 - 1))
def test_ids_are_the_engines(agent: bytes, seq: int) -> None:
    assert fact_id(agent, seq) == event_id(agent, seq)
    assert fact_id(agent, seq).version == 5


def _twelve_digits(value: float) -> float:
    return float(f"{value:.12g}")


PRICES = st.floats(min_value=1e-6, max_value=1e7).map(_twelve_digits)
QUANTITIES = st.floats(min_value=1e-6, max_value=1e12).map(_twelve_digits)
USD = st.floats(min_value=-1e6, max_value=1e6).map(lambda value: round(value, 8))


async def test_any_numbers_of_the_engine_are_stored_and_told_digit_for_digit(
    world: World,
) -> None:
    agent = await world.agent()
    numbers = st.tuples(PRICES, PRICES, QUANTITIES, USD, USD, USD)
    trades: list[tuple[float, ...]] = []

    @given(numbers)
    @settings(max_examples=300, deadline=None, database=None)
    def gather(values: tuple[float, ...]) -> None:
        trades.append(values)

    gather()
    story = Story(agent)
    events = [story.created()]
    for entry, leave, quantity, entry_fee, exit_fee, pnl in trades:
        events.append(story.opened(price=entry, quantity=quantity, fee=entry_fee))
        events.append(story.closed(price=leave, pnl=pnl, fee=exit_fee))
    result = await store_events(world.db, [batch(agent.shard, 0, events)])
    assert result.shards[agent.shard].quarantined == 0

    stored = await history.trades_of(world.db, world.user, agent.id, len(trades))
    told = [m.data["trade"] for m in result.messages if m.data.get("event") == "closed"]
    for trade, values, message in zip(reversed(stored.trades), trades, told, strict=True):
        entry, leave, quantity, entry_fee, exit_fee, pnl = values
        assert trade.entry_price == Decimal(repr(entry))
        assert trade.exit_price == Decimal(repr(leave))
        assert trade.quantity == Decimal(repr(quantity))
        assert trade.pnl_usd == Decimal(repr(pnl))
        assert trade.fee_usd == Decimal(repr(entry_fee)) + Decimal(repr(exit_fee))
        assert trade.as_json() == message
        assert (message["entry_price"], message["exit_price"]) == (entry, leave)
        assert (message["quantity"], message["pnl_usd"]) == (quantity, pnl)


def test_stories_carry_what_the_engine_would() -> None:
    agent = cast(Agent, SimpleNamespace(id=UUID(int=7), plan_id=1, epoch=1, row=3))
    story = Story(agent)
    story.created()
    opened = decode_event(story.opened())
    closed = decode_event(story.closed())
    assert closed.trade_seq == opened.seq == 2
    assert msgspec.structs.asdict(closed)["entry_price"] == opened.price
