"""From risk_params as they lie in PostgreSQL to the settings of a row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from adapters.wanted import command_of, payload_of, schema_needed
from engine.commands import Command, ExitMode, SizingMode, decode_command
from engine.rows import Halt, RowRule

AGENT = UUID(int=1)

OLD: dict[str, Any] = {
    "max_position_usd": 1000.0,
    "stop_loss_pct": 2.0,
    "take_profit_pct": 4.0,
    "leverage": 3,
    "tp_sl_mode": "fixed",
    "max_session_loss_usd": None,
    "fee_bps": 10.0,
    "slippage_bps": 1.0,
}
"""As the first version stored them."""
DEFAULTS: dict[str, Any] = OLD | {
    "atr_multiple": 2.0,
    "reward_risk_ratio": 2.0,
    "trailing_stop_pct": None,
    "max_drawdown_pct": None,
    "break_even_pct": None,
    "time_stop_seconds": None,
    "cooldown_seconds": None,
    "max_trades_per_day": None,
    "sizing_mode": "fixed",
}


@dataclass(frozen=True)
class Wanted:
    risk_params: Mapping[str, Any]
    id: UUID = AGENT
    row: int = 2
    epoch: int = 3
    asked_epoch: int = 3
    wanted: str = "running"
    close_position: bool = True
    plan_id: int = 4
    interval_seconds: int = 5
    halt: int = 0
    strategy_params: Mapping[str, Any] = field(default_factory=lambda: {"threshold": 0.5})


def command(**changes: Any) -> Command:
    return command_of(Wanted(DEFAULTS | changes))


def test_what_is_left_at_its_default_needs_no_new_record() -> None:
    assert command() == command_of(Wanted(OLD))
    assert command().schema == schema_needed(OLD) == schema_needed(DEFAULTS) == 1
    assert command().rules == RowRule(0)


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({"trailing_stop_pct": 1.25}, {"trailing_stop_bps": 125}),
        ({"break_even_pct": 0.07}, {"break_even_bps": 7}),
        ({"max_drawdown_pct": 29.0}, {"max_drawdown_bps": 2900}),
        ({"time_stop_seconds": 3600}, {"time_stop_s": 3600}),
        ({"cooldown_seconds": 90}, {"cooldown_s": 90}),
        ({"max_trades_per_day": 4}, {"max_trades_per_day": 4}),
        ({"sizing_mode": "kelly"}, {"sizing_mode": SizingMode.KELLY}),
        ({"sizing_mode": "vol_scaling"}, {"sizing_mode": SizingMode.VOL_SCALING}),
        (
            {"tp_sl_mode": "dynamic", "atr_multiple": 2.57, "reward_risk_ratio": 1.1},
            {
                "tp_sl_mode": ExitMode.DYNAMIC,
                "atr_multiple_centi": 257,
                "reward_risk_centi": 110,
            },
        ),
    ],
)
def test_each_setting_becomes_whole_steps(given: dict[str, Any], settings: dict[str, Any]) -> None:
    found = command(**given)
    for name in set(Command.__struct_fields__):
        assert getattr(found, name) == settings.get(name, getattr(command(), name)), name
    assert found.schema == schema_needed(DEFAULTS | given) == 2
    assert decode_command(payload_of(Wanted(DEFAULTS | given))) == found


def test_every_limit_has_its_rule() -> None:
    given = {
        "max_session_loss_usd": 5.0,
        "max_drawdown_pct": 1.0,
        "time_stop_seconds": 1,
        "trailing_stop_pct": 1.0,
        "break_even_pct": 1.0,
        "tp_sl_mode": "dynamic",
        "sizing_mode": "kelly",
    }
    assert command(**given).rules | RowRule.VOLATILITY == sum(RowRule)
    assert command(sizing_mode="vol_scaling").rules == RowRule.VOLATILITY
    assert command(sizing_mode="vol_scaling_mult").rules == RowRule.VOLATILITY
    assert command(sizing_mode="kelly_size").rules == RowRule.KELLY


@pytest.mark.parametrize("halt", list(Halt))
def test_a_halt_goes_with_every_command(halt: Halt) -> None:
    found = command_of(Wanted(DEFAULTS, halt=int(halt)))
    assert found.halt == halt
    assert found.schema == (2 if halt else 1)
