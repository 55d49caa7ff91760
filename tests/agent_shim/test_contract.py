"""The translation of the agent endpoint's words: there and back, and equal to the hub's own."""

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_shim import contract
from agent_shim.contract import HubSettings
from api import agent_endpoint as hub_side


def decimals(places: int, most: int) -> st.SearchStrategy[float]:
    """Numbers > 0 as somebody writes them, with at most so many decimals."""
    largest = most * 10**places
    return st.integers(1, largest).map(lambda n: float(Decimal(n).scaleb(-places)))


AMOUNTS = decimals(8, 10_000_000)
FRACTIONS = decimals(6, 4_000)
LEVERAGES = st.integers(1, 125)
untimed = settings(deadline=None)


@untimed
@given(FRACTIONS)
def test_a_fraction_there_and_back(fraction: float) -> None:
    assert contract.fraction(contract.per_cent(fraction)) == fraction


@untimed
@given(decimals(4, 400_000))
def test_per_cent_there_and_back(per_cent: float) -> None:
    assert contract.per_cent(contract.fraction(per_cent)) == per_cent


@untimed
@given(AMOUNTS, LEVERAGES)
def test_a_margin_there_and_back(amount: float, leverage: int) -> None:
    assert contract.margin_usdt(contract.notional_usd(amount, leverage), leverage) == amount


@untimed
@given(decimals(8, 1_000_000_000), LEVERAGES)
def test_a_notional_comes_back_to_what_eight_decimals_of_margin_hold(
    notional: float, leverage: int
) -> None:
    margin = contract.margin_usdt(notional, leverage)
    back = contract.notional_usd(margin, leverage)
    assert math.isclose(back, notional, rel_tol=1e-14, abs_tol=0.6e-8 * leverage)


@untimed
@given(
    st.builds(
        HubSettings,
        symbol=st.sampled_from(["BTC/USDT", "ETHUSDT"]),
        max_position_usd=st.just(0.0),
        leverage=LEVERAGES,
        interval_seconds=st.integers(1, 2_147_483_647),
        take_profit_pct=st.none() | decimals(4, 400_000),
        stop_loss_pct=st.none() | decimals(4, 400_000),
        timeframe=st.none() | st.sampled_from(["1m", "1d"]),
    ),
    AMOUNTS,
)
def test_settings_there_and_back(wanted: HubSettings, amount: float) -> None:
    wanted = replace(wanted, max_position_usd=contract.notional_usd(amount, wanted.leverage))
    body = contract.start_body(wanted)
    assert body["amount_usdt"] == amount
    assert None not in body.values()
    assert contract.hub_settings(body) == wanted


def test_a_body_in_the_hubs_words() -> None:
    body = {
        "symbol": "BTC/USDT",
        "amount_usdt": 33.3,
        "leverage": 3,
        "poll_seconds": 1.2,
        "tp_pct": 0.07,
        "sl_pct": 0.005,
        "primary_timeframe": "5m",
    }
    assert contract.hub_settings(body) == HubSettings(
        symbol="BTC/USDT",
        max_position_usd=99.9,
        leverage=3,
        interval_seconds=2,
        take_profit_pct=7.0,
        stop_loss_pct=0.5,
        timeframe="5m",
    )


def test_what_a_body_leaves_out() -> None:
    body = {"symbol": "BTC", "amount_usdt": 100, "leverage": 1}
    assert contract.hub_settings(body) == HubSettings(
        symbol="BTC",
        max_position_usd=100.0,
        leverage=1,
        interval_seconds=1,
        take_profit_pct=None,
        stop_loss_pct=None,
        timeframe=None,
    )


@pytest.mark.parametrize(
    ("poll_seconds", "seconds"), [(1e-9, 1), (0.5, 1), (1, 1), (1.0, 1), (1.000001, 2), (59.5, 60)]
)
def test_poll_seconds_are_rounded_up(poll_seconds: float, seconds: int) -> None:
    assert contract.whole_seconds(poll_seconds) == seconds


def test_sides_there_and_back() -> None:
    for side in ("long", "short", None):
        assert contract.hub_side(contract.endpoint_side(side)) == side
    for word in ("LONG", "SHORT", "FLAT"):
        assert contract.endpoint_side(contract.hub_side(word)) == word


@pytest.mark.parametrize(
    ("number", "places"), [(5.0, 0), (100, 0), (0.05, 2), (1e-8, 8), (1.5e300, 0), (120.50, 1)]
)
def test_decimals_are_those_that_are_written(number: float, places: int) -> None:
    assert contract.decimals(number) == places


@untimed
@given(AMOUNTS, LEVERAGES, FRACTIONS)
def test_the_hub_translates_alike(amount: float, leverage: int, fraction: float) -> None:
    assert hub_side.per_cent(fraction) == contract.per_cent(fraction)
    assert hub_side.notional_usd(amount, leverage) == contract.notional_usd(amount, leverage)


@untimed
@given(st.floats(0.01, 1e9), LEVERAGES)
def test_the_hub_says_the_same_margin(notional: float, leverage: int) -> None:
    agent: Any = type("Agent", (), {})()
    agent.risk_params = {"max_position_usd": notional, "leverage": leverage}
    assert hub_side.margin_usdt(agent) == contract.margin_usdt(notional, leverage)
