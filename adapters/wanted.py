"""From the wanted state in PostgreSQL to the command that a shard applies.

Per cent become parts per million and basis points hundredths of one: the steps in which a row
keeps them. What does not fit a step was refused when the agent was created.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

from engine.commands import Command, ExitMode, SizingMode, Wanted, encode_command
from engine.rows import Halt

WANTED_WORDS = {
    "running": Wanted.RUNNING,
    "stopped": Wanted.STOPPED,
    "deleted": Wanted.DELETED,
    "failed": Wanted.FAILED,
}
SIZING_MODES = {
    "fixed": SizingMode.FIXED,
    "kelly": SizingMode.KELLY,
    "kelly_size": SizingMode.KELLY,
    "vol_scaling": SizingMode.VOL_SCALING,
    "vol_scaling_mult": SizingMode.VOL_SCALING,
}


class WantedState(Protocol):
    """The columns of an agent's record that a command is made of."""

    @property
    def id(self) -> UUID: ...
    @property
    def row(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def asked_epoch(self) -> int: ...
    @property
    def wanted(self) -> str: ...
    @property
    def close_position(self) -> bool: ...
    @property
    def plan_id(self) -> int: ...
    @property
    def interval_seconds(self) -> int: ...
    @property
    def strategy_params(self) -> Mapping[str, Any]: ...
    @property
    def risk_params(self) -> Mapping[str, Any]: ...
    @property
    def halt(self) -> int: ...


@lru_cache(maxsize=4096)
def in_steps(value: float, steps_per_unit: int) -> int:
    """A decimal number in whole steps: 2.0 % in ppm is in_steps(2.0, 10_000)."""
    steps = Decimal(repr(value)) * steps_per_unit
    return int(steps.quantize(Decimal(1), ROUND_HALF_EVEN))


def command_of(agent: WantedState) -> Command:
    """The whole wanted state of an agent, with the epoch that PostgreSQL gave it."""
    risk = agent.risk_params
    return Command(
        agent_id=agent.id.bytes,
        row=agent.row,
        epoch=agent.epoch,
        wanted=WANTED_WORDS[agent.wanted],
        close_position=agent.close_position,
        plan_id=agent.plan_id,
        interval=agent.interval_seconds,
        threshold=float(agent.strategy_params["threshold"]),
        max_position_usd=float(risk["max_position_usd"]),
        stop_loss_ppm=in_steps(risk["stop_loss_pct"], 10_000),
        take_profit_ppm=in_steps(risk["take_profit_pct"], 10_000),
        leverage=int(risk["leverage"]),
        fee_cbps=in_steps(risk["fee_bps"], 100),
        slippage_cbps=in_steps(risk["slippage_bps"], 100),
        max_session_loss_usd=float(risk.get("max_session_loss_usd") or 0.0),
        asked_epoch=agent.asked_epoch,
        halt=Halt(agent.halt),
        **_more_settings(risk),
    )


def _more_settings(risk: Mapping[str, Any]) -> dict[str, Any]:
    """What risk_params have had since row schema 2. Agents made before lack the fields; distances
    of dynamic exits are left out where they are fixed.
    """
    dynamic = risk.get("tp_sl_mode") == "dynamic"
    return {
        "tp_sl_mode": ExitMode.DYNAMIC if dynamic else ExitMode.FIXED,
        "sizing_mode": SIZING_MODES[risk.get("sizing_mode") or "fixed"],
        "atr_multiple_centi": in_steps(risk["atr_multiple"], 100) if dynamic else 0,
        "reward_risk_centi": in_steps(risk["reward_risk_ratio"], 100) if dynamic else 0,
        "trailing_stop_bps": in_steps(risk.get("trailing_stop_pct") or 0, 100),
        "break_even_bps": in_steps(risk.get("break_even_pct") or 0, 100),
        "max_drawdown_bps": in_steps(risk.get("max_drawdown_pct") or 0, 100),
        "max_trades_per_day": int(risk.get("max_trades_per_day") or 0),
        "time_stop_s": int(risk.get("time_stop_seconds") or 0),
        "cooldown_s": int(risk.get("cooldown_seconds") or 0),
    }


def schema_needed(risk: Mapping[str, Any]) -> int:
    """The row schema that risk_params need."""
    return 2 if any(_more_settings(risk).values()) else 1


def payload_of(agent: WantedState) -> bytes:
    """The same as bytes for an inbox."""
    return encode_command(command_of(agent))
