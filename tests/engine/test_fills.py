"""Prices, quantities and money: how they are rounded, filled and counted."""

from decimal import Decimal

import numpy as np
import pytest

from engine.fills import fill_fee_usd, fill_price, fill_quantity
from engine.position import (
    liquidation_price,
    margin_usd,
    notional_usd,
    stop_loss_price,
    take_profit_price,
    unrealized,
)
from engine.rounding import round_down, round_price, round_usd

LONG, SHORT = 1, -1


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (1 / 3, 0.333333333333),
        (2 / 3, 0.666666666667),
        (65_432.123456789, 65_432.1234568),
        (999_999_999_999.7, 1_000_000_000_000.0),
        (1.234567890123456e-6, 1.23456789012e-6),
        (1.23456789012345e15, 1.23456789012e15),
        (-2 / 3, -0.666666666667),
        (0.0, 0.0),
        (100_000_000_000.5, 100_000_000_000.0),  # half goes to the even digit
        (100_000_000_001.5, 100_000_000_002.0),
    ],
)
def test_price_has_12_digits(value: float, rounded: float) -> None:
    assert float(round_price(value)) == rounded


@pytest.mark.parametrize("exponent", range(-6, 25))
def test_price_is_the_nearest_decimal_in_every_decade(exponent: int) -> None:
    value = float(f"9.8765432109876e{exponent}")
    assert float(round_price(value)) == float(f"9.87654321099e{exponent}")


def test_price_has_at_most_the_18_decimals_of_the_ledger() -> None:
    assert float(round_price(1.23456789012345e-8)) == 1.2345678901e-8
    assert float(round_price(4e-19)) == 0.0


def test_rounding_takes_arrays_and_leaves_what_is_no_number() -> None:
    values = np.array([1 / 3, np.nan, np.inf, -np.inf])
    assert round_price(values).tolist()[0] == 0.333333333333
    assert np.isnan(round_price(values)[1])
    assert round_price(values).tolist()[2:] == [np.inf, -np.inf]


@pytest.mark.parametrize("value", [1 / 3, 2 / 3, 0.003, 4.35, 90.0, 1e15 / 7, 1e-15, 0.0])
def test_round_down_is_never_above_and_keeps_short_numbers(value: float) -> None:
    down = float(round_down(value))
    assert Decimal(repr(down)) <= Decimal(repr(value))
    assert value - down <= value * 1e-11
    assert float(round_down(down)) == down


def test_usd_has_8_decimals() -> None:
    assert float(round_usd(1.123456785)) in (1.12345678, 1.12345679)  # as near as binary64 is
    assert float(round_usd(0.1 + 0.2)) == 0.3
    assert float(round_usd(-1.000000005000001)) == -1.00000001


def test_fill_is_moved_against_you() -> None:
    price, slippage = np.array([100.0, 100.0]), np.array([100, 100], "u2")  # 1 bp
    assert fill_price(price, np.array([1, -1], "i1"), slippage).tolist() == [100.01, 99.99]


def test_quantity_never_costs_more_than_the_position_may() -> None:
    fill = np.array([100.0, 3.0, 0.07])
    quantity = fill_quantity(np.full(3, 100.0), fill)
    assert quantity.tolist() == [1.0, 33.3333333333, 1428.57142857]
    for each, price in zip(quantity.tolist(), fill.tolist(), strict=True):
        assert Decimal(repr(each)) * Decimal(repr(price)) <= 100


def test_fee_is_of_the_notional() -> None:
    fee = fill_fee_usd(np.array([10.0]), np.array([100.0]), np.array([1000], "u2"))  # 10 bps
    assert fee.tolist() == [1.0]


def test_unrealized_is_what_the_move_is_worth() -> None:
    assert float(unrealized(LONG, 100.0, 10.0, 101.5)) == 15.0
    assert float(unrealized(SHORT, 100.0, 10.0, 101.5)) == -15.0
    assert float(unrealized(0, 0.0, 0.0, 101.5)) == 0.0


def test_notional_and_margin() -> None:
    assert float(notional_usd(10.0, 100.0)) == 1000.0
    assert float(margin_usd(100.0, 10.0, 3)) == 333.33333333


@pytest.mark.parametrize(
    ("side", "leverage", "price"),
    [(LONG, 1, 0.0), (SHORT, 1, 200.0), (LONG, 10, 90.0), (SHORT, 10, 110.0), (LONG, 125, 99.2)],
)
def test_liquidation_is_where_the_margin_is_lost(side: int, leverage: int, price: float) -> None:
    assert float(liquidation_price(100.0, side, leverage)) == price
    lost = -float(unrealized(side, 100.0, 10.0, price))
    assert lost == float(margin_usd(100.0, 10.0, leverage))


def test_stop_and_target_are_on_either_side_of_the_entry() -> None:
    assert float(stop_loss_price(100.0, LONG, 20_000)) == 98.0
    assert float(take_profit_price(100.0, LONG, 40_000)) == 104.0
    assert float(stop_loss_price(100.0, SHORT, 20_000)) == 102.0
    assert float(take_profit_price(100.0, SHORT, 40_000)) == 96.0


def test_without_ppm_there_is_no_stop() -> None:
    assert float(stop_loss_price(100.0, LONG, 0)) == 0.0
    assert float(take_profit_price(100.0, SHORT, 0)) == 0.0
