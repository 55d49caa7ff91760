"""Create bodies: spellings, defaults, and numbers that fit the engine's steps exactly."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.price_simulated import SYMBOLS
from adapters.wanted import in_steps
from api.agent_bodies import read_configuration, spell_symbol
from api.errors import Problem
from api.risk_params import at_most_decimals

GOOD = {"symbol": "BTC/USDT", "strategy_name": "momentum_breakout"}


@pytest.mark.parametrize(
    "spelling",
    [
        "BTC/USDT",
        "BTCUSDT",
        "btc-usdt",
        "BTC",
        "btc",
        "btcusdt",
        "Btc_Usdt",
        " BTC/USDT ",
        "btc/usdt",
    ],
)
def test_spellings_of_one_symbol(spelling: str) -> None:
    assert spell_symbol(spelling) == "BTC/USDT"


@pytest.mark.parametrize(
    ("given_text", "symbol"),
    [
        ("ethbtc", "ETH/BTC"),
        ("BTCUSD", "BTC/USD"),
        ("USDT", "USDT/USDT"),
        ("BTC//USDT", None),
        ("/USDT", None),
        ("BTC-", None),
        ("", None),
        ("BTC USDT", None),
        ("\u0392TC", None),
        ("BTC/USDT/X", None),
    ],
)
def test_other_spellings(given_text: str, symbol: str | None) -> None:
    assert spell_symbol(given_text) == symbol


def test_of_two_ways_to_read_a_symbol_the_known_one_counts() -> None:
    assert spell_symbol("WBTC") == "W/BTC"
    assert spell_symbol("wbtc", ("BTC/USDT", "WBTC/USDT")) == "WBTC/USDT"
    assert spell_symbol("WBTC", ("W/BTC", "WBTC/USDT")) == "W/BTC"
    assert spell_symbol("W/BTC", ("WBTC/USDT",)) == "W/BTC"
    assert spell_symbol("SUSD", ("SUSD/USDT",)) == "SUSD/USDT"
    assert read_configuration(GOOD | {"symbol": "WBTC"}, ("WBTC/USDT",)).symbol == "WBTC/USDT"


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_simulated_symbol_can_be_spelled_in_four_ways(symbol: str) -> None:
    base = symbol.partition("/")[0]
    for spelling in (symbol, base, f"{base}USDT", f"{base}-usdt".lower()):
        assert spell_symbol(spelling) == symbol


def test_the_contracts_defaults() -> None:
    agent = read_configuration(GOOD, SYMBOLS)
    assert msgspec.to_builtins(agent) == {
        "name": "momentum_breakout BTC/USDT",
        "symbol": "BTC/USDT",
        "timeframe": "1m",
        "strategy_name": "momentum_breakout",
        "strategy_params": {"lookback": 20, "threshold": 0.5},
        "interval_seconds": 1,
        "risk_params": {
            "max_position_usd": 100.0,
            "stop_loss_pct": 2.0,
            "take_profit_pct": 4.0,
            "leverage": 1,
            "tp_sl_mode": "fixed",
            "atr_multiple": 2.0,
            "reward_risk_ratio": 2.0,
            "trailing_stop_pct": None,
            "max_session_loss_usd": None,
            "max_drawdown_pct": None,
            "fee_bps": 10.0,
            "slippage_bps": 1.0,
            "break_even_pct": None,
            "time_stop_seconds": None,
            "cooldown_seconds": None,
            "max_trades_per_day": None,
            "sizing_mode": "fixed",
        },
        "auto_start": True,
    }


def test_what_is_given_is_taken() -> None:
    body: dict[str, Any] = GOOD | {
        "symbol": "eth",
        "name": "Mine",
        "timeframe": "1h",
        "interval_seconds": 60.0,
        "live_mode": False,
        "auto_start": False,
        "strategy_params": {"lookback": 30, "threshold": 0.25},
        "risk_params": {"max_position_usd": 250, "tp_sl_mode": "fixed", "fee_bps": 0},
    }
    agent = read_configuration(body, SYMBOLS)
    assert (agent.symbol, agent.name, agent.timeframe) == ("ETH/USDT", "Mine", "1h")
    assert (agent.interval_seconds, agent.auto_start) == (60, False)
    assert agent.strategy_params == {"lookback": 30, "threshold": 0.25}
    assert (agent.risk_params.max_position_usd, agent.risk_params.fee_bps) == (250.0, 0.0)


def test_live_mode_is_a_conflict_only_where_nothing_else_is_wrong() -> None:
    with pytest.raises(Problem) as refusal:
        read_configuration(GOOD | {"live_mode": True}, SYMBOLS)
    assert refusal.value.status == 409
    with pytest.raises(Problem) as refusal:
        read_configuration(GOOD | {"live_mode": True, "symbol": "?"}, SYMBOLS)
    assert refusal.value.status == 422


@given(st.integers(1, 10**9), st.integers(0, 4))
def test_a_number_with_few_decimals_is_a_whole_number_of_steps(digits: int, decimals: int) -> None:
    value = float(Decimal(digits).scaleb(-decimals))
    assert at_most_decimals(value, 4) is None
    assert in_steps(value, 10_000) == digits * 10 ** (4 - decimals)


@given(st.floats(min_value=1e-6, max_value=4e5))
def test_a_number_between_two_steps_is_refused(value: float) -> None:
    is_step = Decimal(repr(value)) * 10_000 % 1 == 0
    assert (at_most_decimals(value, 4) is None) == is_step
