"""The engine does to a table what the scalar reference does to each agent alone, number for number.

Further down: what must hold of any life of any agent, whatever the rules say in detail.
"""

import math
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from unittest.mock import patch

import numpy as np
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from engine import applying, rounding, schedule
from engine.commands import Command, Wanted, decode_command, encode_command
from engine.events import Event, decode_event, encode_event
from engine.rows import Reason, empty_rows
from engine.schemas import rows_from_bytes
from engine.tick import SlotInputs, advance
from tests.engine.reference_agent import floor_quantity, round_price, round_usd
from tests.engine.scenarios import ROWS, Scenario, scenarios
from tests.engine.side_by_side import SideBySide

LIVES = settings(
    deadline=None,
    phases=set(Phase) - {Phase.explain},  # it takes far longer than finding and shrinking
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
LAST_BIT = Decimal(1) + Decimal(2) ** -52


def played(scenario: Scenario) -> SideBySide:
    """The scenario played side by side; heads keep few ranges, so that some are folded, and two
    commands of a slot are many.
    """
    with patch.object(schedule, "RANGES_MAX", 4), patch.object(applying, "MANY_COMMANDS", 2):
        both = SideBySide(scenario)
        both.play()
    return both


def by_agent(events: list[Event]) -> list[list[Event]]:
    """Each agent's events, in order."""
    agents: dict[bytes, list[Event]] = defaultdict(list)
    for each in events:
        agents[each.agent_id].append(each)
    return list(agents.values())


def written(number: float) -> Decimal:
    return Decimal(repr(number))


def last_digit_of(price: float) -> Decimal:
    """One unit of the twelfth significant digit, or of the 18th decimal where that is more."""
    return Decimal(1).scaleb(max(written(price).adjusted() - 11, -18))


@given(scenarios())
@settings(LIVES, max_examples=120)
def test_engine_and_reference_agree(scenario: Scenario) -> None:
    for said in played(scenario).events:
        reason = Reason(said.reason).name if said.reason else ""
        event(f"{said.kind} {reason}".rstrip())


@given(st.floats(1e-16, 1e16) | st.floats(-16, 16).map(lambda exponent: 10.0**exponent))
@settings(max_examples=300)
def test_numbers_are_rounded_alike_and_to_the_nearest(number: float) -> None:
    price, quantity, usd = round_price(number), floor_quantity(number), round_usd(number)
    assert float(rounding.round_price(number)) == price
    assert float(rounding.round_price(-number)) == -price
    assert float(rounding.round_down(number)) == quantity
    assert float(rounding.round_usd(number)) == usd
    last_digit = last_digit_of(number)
    assert abs(written(price) - written(number)) <= last_digit * Decimal("0.501")
    assert 0 <= written(number) - written(quantity) < last_digit
    binary = written(number) * (LAST_BIT - 1)  # what an amount cannot be told apart by
    assert abs(written(usd) - written(number)) <= Decimal("0.501e-8") + 2 * binary


@given(scenarios())
@settings(LIVES, max_examples=50)
def test_books_add_up(scenario: Scenario) -> None:
    """Position: the fills so far. Realized: the closed trades. Fees: those of the fills."""
    for events in by_agent(played(scenario).events):
        position, results, fees = 0.0, [0.0], [0.0]
        for said in events:
            if said.kind == "created":
                results, fees = [0.0], [0.0]
            if said.kind == "opened":
                position += said.side * said.quantity
            elif said.kind == "closed":
                position -= said.side * said.quantity
                results.append(said.pnl_usd)
            fees.append(said.fee_usd)
            if said.kind == "deleted":
                continue  # its row is empty: its books are with the ledger
            after = rows_from_bytes(said.row_after)[0]
            assert position == after["side"] * after["quantity"]
            for booked, parts in (("realized_pnl_usd", results), ("fees_usd", fees)):
                near = 1e-9 * (1.0 + math.fsum(map(abs, parts)))
                assert math.isclose(after[booked], math.fsum(parts), rel_tol=0.0, abs_tol=near)


@given(scenarios())
@settings(LIVES, max_examples=50)
def test_trades_keep_to_size_and_order(scenario: Scenario) -> None:
    for events in by_agent(played(scenario).events):
        assert [each.seq for each in events] == list(range(1, len(events) + 1))
        fills = [each for each in events if each.kind in {"opened", "closed"}]
        for opened, closed in zip(fills[::2], fills[1::2], strict=False):
            assert (opened.kind, closed.kind) == ("opened", "closed")
            assert opened.seq == opened.trade_seq == closed.trade_seq
            assert opened.slot == closed.opened_slot < closed.slot
        for closed, opened in zip(fills[1::2], fills[2::2], strict=False):
            assert closed.slot < opened.slot
        for fill in fills:
            if fill.kind == "opened":
                limit = float(rows_from_bytes(fill.row_after)["max_position_usd"][0])
                notional = written(fill.quantity) * written(fill.price)
                assert notional <= written(limit) * LAST_BIT
            elif fill.reason == Reason.LIQUIDATION:
                margin = fill.quantity * fill.entry_price / fill.leverage
                gross = fill.pnl_usd + fill.fee_usd + fill.entry_fee_usd
                last_digit = float(last_digit_of(fill.price))  # to which that price is rounded
                assert -gross <= margin + fill.quantity * last_digit + 3e-8


@given(scenarios())
@settings(LIVES, max_examples=40)
def test_a_table_that_lay_in_bytes_between_slots_goes_on_the_same(scenario: Scenario) -> None:
    """Another worker may run each slot: rows and commands reach it as bytes, events leave so."""
    both = played(scenario)
    table, said = empty_rows(ROWS).tobytes(), []
    with patch.object(schedule, "RANGES_MAX", 4):
        for one in both.journal:
            received = [decode_command(encode_command(each)) for each in one.inputs.commands]
            again = replace(one, inputs=replace(one.inputs, commands=received))
            outcome = again.call(rows_from_bytes(table))
            said += [decode_event(encode_event(each)) for each in outcome.events]
            table = again.fold(outcome.rows).rows.tobytes()
    assert said == both.events
    assert table == both.rows.tobytes()


@given(scenarios())
@settings(LIVES, max_examples=40)
def test_other_rows_make_no_difference(scenario: Scenario) -> None:
    both = played(scenario)
    for row in range(ROWS):
        rows, said = empty_rows(ROWS), []
        with patch.object(schedule, "RANGES_MAX", 4):
            for one in both.journal:
                own = [each for each in one.inputs.commands if each.row == row]
                alone = replace(one, inputs=replace(one.inputs, commands=own))
                outcome = alone.call(rows)
                said += outcome.events
                rows = alone.fold(outcome.rows).rows
        assert said == [each for each in both.events if each.row == row]
        assert rows[row].tobytes() == both.rows[row].tobytes()


def two_agents(*, leverage: int, stop: int, target: int, fee: int, limit: float) -> list[Command]:
    """Commands that start the same agent twice: row 0 follows plan 0, row 1 plan 1."""
    return [
        Command(
            agent_id=bytes([1 + row]) * 16,
            row=row,
            epoch=1,
            wanted=Wanted.RUNNING,
            close_position=True,
            plan_id=row,
            interval=1,
            threshold=0.5,
            max_position_usd=1000.0,
            stop_loss_ppm=stop,
            take_profit_ppm=target,
            leverage=leverage,
            fee_cbps=fee,
            slippage_cbps=0,
            max_session_loss_usd=limit,
        )
        for row in range(2)
    ]


def walk(
    commands: list[Command], prices: list[tuple[float, float]], signals: list[float]
) -> list[list[Event]]:
    """The closed trades of two agents; plan 1 sees the signals turned round."""
    rows = empty_rows(2)
    closed: list[list[Event]] = [[], []]
    for number, (pair, signal) in enumerate(zip(prices, signals, strict=True)):
        inputs = SlotInputs(
            slot=100 + number,
            price=np.array(pair),
            fresh=np.ones(2, np.bool_),
            signal=np.array([signal, -signal]),
            commands=commands if number == 0 else (),
        )
        outcome = advance(rows, inputs)
        rows = outcome.rows
        for each in outcome.events:
            if each.kind == "closed":
                closed[each.row].append(each)
    return closed


PATHS = st.lists(
    st.tuples(st.integers(1, 1999).map(float), st.sampled_from([1.0, -1.0, math.nan])),
    min_size=1,
    max_size=12,
)
NARROW_PATHS = st.lists(
    st.tuples(st.integers(940, 1060).map(float), st.sampled_from([1.0, -1.0, math.nan])),
    min_size=1,
    max_size=12,
)


@given(
    PATHS | NARROW_PATHS,
    st.sampled_from([1, 2, 4, 10, 20, 50, 125]),
    st.sampled_from([0, 10_000, 20_000, 900_000]),
    st.sampled_from([0, 10_000, 40_000, 900_000]),
    st.sampled_from([0.0, 5.0, 60.0]),
)
@settings(max_examples=200, deadline=None)
def test_a_short_is_a_long_in_the_mirror(
    path: list[tuple[float, float]], leverage: int, stop: int, target: int, limit: float
) -> None:
    """Whole prices about an entry at 1,000, so that mirrored levels are exact; without costs.

    Only the first trade has its entry in the mirror's plane.
    """
    prices = [(1000.0, 1000.0), *((price, 2000.0 - price) for price, _ in path)]
    signals = [1.0, *(signal for _, signal in path)]
    commands = two_agents(leverage=leverage, stop=stop, target=target, fee=0, limit=limit)
    longs, shorts = walk(commands, prices, signals)
    assert bool(longs) == bool(shorts)
    for long, short in zip(longs[:1], shorts[:1], strict=True):
        assert (long.side, short.side) == (1, -1)
        assert (long.slot, long.reason, long.quantity) == (short.slot, short.reason, short.quantity)
        assert long.pnl_usd == short.pnl_usd
        assert 1000.0 - long.price == short.price - 1000.0
        event(Reason(long.reason).name)


@given(st.floats(1e-8, 1e8), st.floats(0.02, 1.98), st.integers(0, 5000))
@settings(max_examples=200, deadline=None)
def test_what_a_long_wins_a_short_of_the_same_trade_loses(
    price: float, move: float, fee: int
) -> None:
    """On the same path, without slippage, but for the fees that both pay alike."""
    commands = two_agents(leverage=1, stop=0, target=0, fee=fee, limit=0.0)
    pair = (price * move, price * move)
    (long,), (short,) = walk(commands, [(price, price), pair], [1.0, -1.0])
    assert (long.quantity, long.price, long.fee_usd) == (short.quantity, short.price, short.fee_usd)
    fees = long.fee_usd + long.entry_fee_usd
    assert round_usd(long.pnl_usd + fees) == -round_usd(short.pnl_usd + fees)


def test_a_slot_in_which_nothing_happens_gives_back_the_table_itself() -> None:
    commands = two_agents(leverage=1, stop=20_000, target=40_000, fee=1000, limit=50.0)
    quotes = SlotInputs(
        slot=100,
        price=np.array([1000.0, 1000.0]),
        fresh=np.ones(2, np.bool_),
        signal=np.array([1.0, np.nan]),
        commands=commands,
    )
    rows = advance(empty_rows(3), quotes).rows
    assert (rows["side"].tolist(), rows["status"].tolist()) == ([1, 0, 0], [1, 1, 0])
    quiet = [
        replace(quotes, slot=101, commands=()),
        replace(quotes, slot=101),  # the same commands, a second time
        replace(quotes, slot=101, commands=(), price=np.array([1010.0, 1.0])),
        replace(quotes, slot=101, commands=(), signal=np.array([0.4, -0.4])),
    ]
    for inputs in quiet:
        outcome = advance(rows, inputs)
        assert outcome.rows is rows
        assert (outcome.events, outcome.changed.tolist()) == ([], [])
