"""The recomputation against trades worked out by hand; every number below can be done on paper."""

import ast
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from bench import compare_trades, recompute_rules
from bench import recompute as recompute_module
from bench.compare_trades import compare
from bench.recompute import recompute
from bench.recompute_rules import AgentSettings, Command, Price, Start, Stop, Trade

# 1,000 USD at 100 USD: ten pieces, 1 USD of entry fee, stop at 98 and target at 104 (long).
PLAIN = AgentSettings(
    agent_id="a",
    symbol="BTC/USDT",
    plan_id=7,
    start_slot=1,
    threshold=0.5,
    max_position_usd=1000.0,
    slippage_bps=0.0,
)


def walked(
    agent: AgentSettings,
    prices: Mapping[int, float],
    signals: Mapping[int, float],
    *commands: Command,
    published: Mapping[int, float] | None = None,
) -> list[Trade]:
    """The agent's trades over the given slots; a price is new in its slot unless said otherwise."""
    when = published or {}
    frames = {
        slot: {agent.symbol: Price(price, when.get(slot, float(slot)))}
        for slot, price in prices.items()
    }
    by_plan = {slot: {agent.plan_id: signal} for slot, signal in signals.items()}
    return recompute([agent], frames, by_plan, commands)


def ending(trade: Trade) -> tuple[str, str | None, float | None, float, float | None, int | None]:
    return (
        trade.side,
        trade.close_reason,
        trade.exit_price,
        trade.fee_usd,
        trade.pnl_usd,
        trade.closed_slot,
    )


def test_take_profit_of_a_long() -> None:
    # 105 is past 104: gross (105-100)*10 = 50, fees 1 and 1.05.
    trades = walked(PLAIN, {1: 100.0, 2: 103.9, 3: 105.0}, {1: 1.0})
    assert trades == [
        Trade(
            agent_id="a",
            side="long",
            quantity=10.0,
            leverage=1,
            entry_price=100.0,
            exit_price=105.0,
            fee_usd=2.05,
            pnl_usd=47.95,
            open_reason="signal",
            close_reason="take_profit",
            opened_slot=1,
            closed_slot=3,
        )
    ]


def test_stop_loss_of_a_short() -> None:
    # 103 is past 102: gross (103-100)*10*-1 = -30, fees 1 and 1.03.
    trades = walked(PLAIN, {1: 100.0, 2: 101.9, 3: 103.0}, {1: -1.0})
    assert [ending(each) for each in trades] == [("short", "stop_loss", 103.0, 2.03, -32.03, 3)]


def test_stop_and_target_are_reached_at_their_own_price() -> None:
    assert walked(PLAIN, {1: 100.0, 2: 98.0}, {1: 1.0})[0].close_reason == "stop_loss"
    assert walked(PLAIN, {1: 100.0, 2: 96.0}, {1: -1.0})[0].close_reason == "take_profit"


def test_signal_of_the_other_direction_closes_and_the_next_slot_opens() -> None:
    # Gross (101-100)*10 = 10, fees 1 and 1.01; then short at 101: 1000/101 = 9.90099009900|99...
    trades = walked(PLAIN, {1: 100.0, 2: 101.0, 3: 101.0}, {1: 1.0, 2: -1.0, 3: -1.0})
    assert ending(trades[0]) == ("long", "signal", 101.0, 2.01, 7.99, 2)
    second = trades[1]
    assert (second.side, second.opened_slot, second.entry_price) == ("short", 3, 101.0)
    assert second.quantity == 9.900990099
    assert second.fee_usd == 1.0  # 9.900990099 * 101 * 0.001 = 0.999999999999, to eight decimals
    assert (second.exit_price, second.pnl_usd, second.closed_slot) == (None, None, None)


def test_liquidation_loses_the_margin_and_no_more() -> None:
    # Leverage 50: margin 20, gone at 98. At 97 the loss would be 30; the fill is held at 98.
    agent = replace(PLAIN, leverage=50, stop_loss_pct=5.0)
    trades = walked(agent, {1: 100.0, 2: 98.01, 3: 97.0}, {1: 1.0})
    assert [ending(each) for each in trades] == [("long", "liquidation", 98.0, 1.98, -21.98, 3)]


def test_liquidation_comes_before_a_stop_that_was_asked_for() -> None:
    agent = replace(PLAIN, leverage=50, stop_loss_pct=5.0)
    trades = walked(agent, {1: 100.0, 2: 103.0}, {1: -1.0}, Stop("a", 2))
    # Short: gone at 102, fee of the exit 1.02.
    assert [ending(each) for each in trades] == [("short", "liquidation", 102.0, 2.02, -22.02, 2)]


def test_session_loss_closes_and_ends_the_session() -> None:
    # At 99.5: -5 unrealized and 1 of entry fee paid = -6, beyond the limit of 5.5; exit fee 0.995.
    agent = replace(PLAIN, max_session_loss_usd=5.5)
    prices = {1: 100.0, 2: 99.6, 3: 99.5, 4: 100.0}
    trades = walked(agent, prices, {1: 1.0, 4: 1.0})
    assert [ending(each) for each in trades] == [("long", "session_loss", 99.5, 1.995, -6.995, 3)]


def test_session_loss_by_a_closed_trade_ends_the_session_too() -> None:
    # Out at 98 by the stop: gross -20, fees 1 and 0.98. The limit of 21 was not reached before.
    agent = replace(PLAIN, max_session_loss_usd=21.5)
    prices = {1: 100.0, 2: 98.0, 3: 100.0}
    trades = walked(agent, prices, {1: 1.0, 3: 1.0})
    assert [ending(each) for each in trades] == [("long", "stop_loss", 98.0, 1.98, -21.98, 2)]
    again = walked(agent, {**prices, 4: 100.0}, {1: 1.0, 3: 1.0, 4: 1.0}, Start("a", 4))
    assert [each.opened_slot for each in again] == [1, 4]


def test_stopped_closes_at_the_next_fresh_price() -> None:
    # The price of slot 20 is 11 s old: the close waits for slot 21.
    trades = walked(
        PLAIN,
        {10: 100.0, 20: 103.0, 21: 101.0, 22: 100.0},
        {10: 1.0, 21: 1.0, 22: 1.0},
        Stop("a", 20),
        published={20: 9.0},
    )
    assert [ending(each) for each in trades] == [("long", "stopped", 101.0, 2.01, 7.99, 21)]


def test_deleted_closes_for_good() -> None:
    commands = (Stop("a", 2, delete=True), Start("a", 3))
    trades = walked(PLAIN, {1: 100.0, 2: 99.0, 3: 100.0}, {1: -1.0, 3: 1.0}, *commands)
    # Short from 100 to 99: gross 10, fees 1 and 0.99.
    assert [ending(each) for each in trades] == [("short", "deleted", 99.0, 1.99, 8.01, 2)]


def test_slippage_is_against_the_trader_on_both_sides() -> None:
    # 10 bps: in at 100.1, out at 110 * 0.999 = 109.89; 1000 / 100.1 = 9.99000999000|99...
    # entry fee 0.999999999999 -> 1; gross 9.79 * 9.99000999 = 97.8021978021 -> 97.8021978;
    # exit fee 9.99000999 * 109.89 * 0.001 = 1.0978021978011 -> 1.0978022.
    agent = replace(PLAIN, slippage_bps=10.0)
    (trade,) = walked(agent, {1: 100.0, 2: 110.0}, {1: 1.0})
    assert (trade.entry_price, trade.quantity) == (100.1, 9.99000999)
    assert ending(trade) == ("long", "take_profit", 109.89, 2.0978022, 95.7043956, 2)


def test_a_stop_may_keep_the_position_and_a_start_watches_it_again() -> None:
    trades = walked(
        PLAIN,
        {1: 100.0, 2: 90.0, 3: 97.0, 4: 110.0},
        {1: 1.0},
        Stop("a", 2, close_position=False),
        Start("a", 3),
    )
    # Gross (97-100)*10 = -30, fees 1 and 0.97.
    assert [ending(each) for each in trades] == [("long", "stop_loss", 97.0, 1.97, -31.97, 3)]


def test_the_last_stop_says_whether_the_position_is_kept() -> None:
    stops = (Stop("a", 12), Stop("a", 13, close_position=False))
    stale = {12: 0.0, 13: 13.0}
    prices = {10: 100.0, 12: 100.0, 13: 100.0}
    assert walked(PLAIN, prices, {10: 1.0}, *stops, published=stale)[0].close_reason is None
    (closed,) = walked(PLAIN, prices, {10: 1.0}, stops[0], published=stale)
    assert (closed.close_reason, closed.closed_slot) == ("stopped", 13)


def test_signals_count_every_interval_and_from_the_threshold_on() -> None:
    agent = replace(PLAIN, interval=3, start_slot=10)
    prices = dict.fromkeys(range(8, 17), 100.0)
    strong_between = {9: 1.0, 11: 1.0, 12: 1.0, 14: 1.0, 15: 1.0}
    assert walked(agent, prices, strong_between) == []
    weak = {10: 0.49, 13: float("nan"), 16: 0.0}
    assert walked(agent, prices, weak) == []
    assert walked(agent, prices, weak | {16: 0.5})[0].opened_slot == 16


def test_a_slot_that_closes_does_not_open_and_a_skipped_slot_does_nothing() -> None:
    prices = {1: 100.0, 2: 105.0, 4: 100.0}
    trades = walked(PLAIN, prices, {1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0})
    assert [(each.opened_slot, each.closed_slot) for each in trades] == [(1, 2), (4, None)]


def test_a_missing_price_opens_nothing() -> None:
    assert walked(PLAIN, {1: float("nan"), 2: 0.0}, {1: 1.0, 2: 1.0}) == []
    assert walked(PLAIN, {11: 100.0}, {11: 1.0}, published={11: 0.5}) == []
    assert len(walked(PLAIN, {11: 100.0}, {11: 1.0}, published={11: 1.0})) == 1


def ledger_row(trade: Trade, **changed: object) -> dict[str, object]:
    row: dict[str, object] = {
        "agent_id": trade.agent_id,
        "side": trade.side,
        "quantity": Decimal(str(trade.quantity)),
        "leverage": trade.leverage,
        "entry_price": Decimal(str(trade.entry_price)),
        "exit_price": trade.exit_price,
        "fee_usd": trade.fee_usd,
        "pnl_usd": trade.pnl_usd,
        "open_reason": trade.open_reason,
        "close_reason": trade.close_reason,
        "opened_at": datetime.fromtimestamp(trade.opened_slot, UTC),
        "closed_at": None if trade.closed_slot is None else "1970-01-01T00:00:03.000Z",
    }
    return row | changed


def test_compare_says_nothing_of_equal_trades() -> None:
    expected = walked(PLAIN, {1: 100.0, 3: 105.0, 4: 100.0}, {1: 1.0, 4: 1.0})
    assert compare(expected, [ledger_row(each) for each in reversed(expected)]) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"side": "short"}, "side is short, expected long"),
        ({"close_reason": "signal"}, "close_reason is signal, expected take_profit"),
        ({"closed_at": 4}, "closed_at is 4.0, expected 3"),
        ({"closed_at": None}, "closed_at is None, expected 3"),
        ({"pnl_usd": 47.95001}, "pnl_usd is 47.95001, expected 47.95"),
        ({"pnl_usd": None}, "pnl_usd is None, expected 47.95"),
        ({"entry_price": 100.000001}, "entry_price is 100.000001, expected 100.0"),
    ],
)
def test_compare_names_the_difference(changed: dict[str, object], said: str) -> None:
    expected = walked(PLAIN, {1: 100.0, 3: 105.0}, {1: 1.0})
    got = compare(expected, [ledger_row(expected[0], **changed)])
    assert got == [f"agent a, opened at 1: {said}"]


def test_compare_finds_lost_doubled_and_invented_trades() -> None:
    (trade,) = walked(PLAIN, {1: 100.0, 3: 105.0}, {1: 1.0})
    row = ledger_row(trade)
    assert "not in the ledger" in compare([trade], [])[0]
    assert "more than once" in compare([trade], [row, row])[0]
    assert "not expected" in compare([], [row])[0]


def test_nothing_of_the_product_is_imported() -> None:
    modules = (recompute_module, recompute_rules, compare_trades)
    trees = [ast.parse(Path(str(m.__file__)).read_text(encoding="utf-8")) for m in modules]
    imported = {
        name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [each.name for each in node.names]
        )
    }
    standard = {"collections.abc", "dataclasses", "datetime", "decimal", "math", "struct"}
    assert imported == standard | {"bench.recompute_rules"}
