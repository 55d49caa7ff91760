"""The agent endpoint's words and the hub's. Pure.

Its callers speak of margin, fractions and LONG/SHORT/FLAT; the hub of notional, per cent and
long/short. Numbers cross as the decimals that were written: a fraction of 0.07 is 7 %.
"""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from adapters.db.agents import Agent
from api.agent_bodies import SYMBOL_CHARACTERS_MAX, Timeframe
from api.bodies import Body, Check
from api.errors import FieldError, Problem
from api.risk_params import (
    INTERVAL_S_MAX,
    PCT_DECIMALS,
    PCT_MAX,
    POSITION_USD_MAX,
    POSITION_USD_MIN,
    USD_DECIMALS,
    at_most_decimals,
)
from api.status import AgentStatus
from api.status_words import StatusWord

Amount = Annotated[float, Meta(gt=0, le=POSITION_USD_MAX)]
Fraction = Annotated[float, Meta(gt=0, le=PCT_MAX / 100)]

FIELD_OF: Mapping[str, str] = {
    "risk_params.max_position_usd": "amount_usdt",
    "risk_params.leverage": "leverage",
    "risk_params.take_profit_pct": "tp_pct",
    "risk_params.stop_loss_pct": "sl_pct",
    "risk_params.tp_sl_mode": "tp_sl_mode",
    "interval_seconds": "poll_seconds",
    "timeframe": "primary_timeframe",
}
"""The endpoint's name for what the hub calls otherwise."""


NOTIONAL = f"expected amount_usdt x leverage from {POSITION_USD_MIN:g} to {POSITION_USD_MAX:,.0f}"


def _amount(value: float) -> str | None:
    return at_most_decimals(value, USD_DECIMALS)


def _fraction(value: float) -> str | None:
    too_fine = at_most_decimals(per_cent(value), PCT_DECIMALS) is not None
    return f"expected at most {PCT_DECIMALS + 2} decimals" if too_fine else None


CHECKS: Mapping[str, Check] = {
    "amount_usdt": _amount,
    "tp_pct": _fraction,
    "sl_pct": _fraction,
}


ACTIONS = frozenset({"OPEN_LONG", "OPEN_SHORT", "CLOSE", "HOLD"})
"""What callers of the endpoint know; an agent elsewhere may report other words of its own."""


class Start(Body, frozen=True, kw_only=True):
    """The body of POST /start; with nothing in it, a known agent starts as it is."""

    not_built = frozenset(
        {"risk_profile", "supervisor_interval_seconds", "llm_provider", "indicators"}
    )
    checks: ClassVar[Mapping[str, Check]] = CHECKS

    symbol: Annotated[str, Meta(min_length=1, max_length=SYMBOL_CHARACTERS_MAX)]
    amount_usdt: Amount
    leverage: Annotated[int, Meta(ge=1, le=125)]
    poll_seconds: Annotated[float, Meta(gt=0, le=INTERVAL_S_MAX)] = 1.0
    tp_pct: Fraction | None = None
    sl_pct: Fraction | None = None
    primary_timeframe: Timeframe | None = None
    live_mode: bool = False
    tp_sl_mode: Literal["fixed", "dynamic"] | None = None


class Configure(Body, frozen=True, kw_only=True):
    """The body of POST /config: what is to change."""

    not_built = frozenset({"risk_profile", "supervisor_interval_seconds"})
    checks: ClassVar[Mapping[str, Check]] = CHECKS

    amount_usdt: Amount | None = None
    tp_pct: Fraction | None = None
    sl_pct: Fraction | None = None
    tp_sl_mode: Literal["fixed", "dynamic"] | None = None
    poll_seconds: Annotated[float, Meta(gt=0, le=INTERVAL_S_MAX)] | None = None


class EndpointStatus(msgspec.Struct, frozen=True):
    """The answer of GET /status, null where there is nothing."""

    running: bool
    symbol: str
    last_price: float | None
    amount_usdt: float
    config_leverage: int
    side: Literal["LONG", "SHORT", "FLAT"]
    entry_price: float | None
    position_size_usdt: float | None
    leverage: int | None
    unrealized_pnl_usdt: float | None
    last_action: str | None
    last_reason: str | None
    active_strategy: str


def per_cent(fraction: float) -> float:
    """0.05 -> 5.0."""
    return float(Decimal(repr(fraction)) * 100)


def notional_usd(amount_usdt: float, leverage: int) -> float:
    """The notional of a margin, to 8 decimals."""
    return float(round(Decimal(repr(amount_usdt)) * leverage, 8))


def margin_usdt(agent: Agent) -> float:
    """The margin of an agent's notional, to 8 decimals."""
    risk = agent.risk_params
    return float(round(Decimal(repr(risk["max_position_usd"])) / int(risk["leverage"]), 8))


def changed_body(agent: Agent, call: Start | Configure) -> dict[str, Any]:
    """The agent's configuration with what a call changes, as a create body of the hub."""
    risk = dict(agent.risk_params)
    body: dict[str, Any] = {
        "name": agent.name,
        "symbol": agent.symbol,
        "timeframe": agent.timeframe,
        "strategy_name": agent.strategy_name,
        "strategy_params": dict(agent.strategy_params),
        "interval_seconds": agent.interval_seconds,
        "risk_params": risk,
    }
    if isinstance(call, Start):
        body["symbol"] = call.symbol
        body["timeframe"] = call.primary_timeframe or agent.timeframe
        body["live_mode"] = call.live_mode
        risk["leverage"] = call.leverage
    if call.amount_usdt is not None:
        risk["max_position_usd"] = notional_usd(call.amount_usdt, int(risk["leverage"]))
    if call.tp_pct is not None:
        risk["take_profit_pct"] = per_cent(call.tp_pct)
    if call.sl_pct is not None:
        risk["stop_loss_pct"] = per_cent(call.sl_pct)
    if call.tp_sl_mode is not None:
        risk["tp_sl_mode"] = call.tp_sl_mode
    if call.poll_seconds is not None:
        body["interval_seconds"] = math.ceil(call.poll_seconds)
    return body


def in_endpoint_words(problem: Problem) -> Problem:
    """A refusal of the hub with the names that the endpoint has for the fields."""
    errors = [
        FieldError(
            FIELD_OF.get(error.field, error.field),
            NOTIONAL if error.field == "risk_params.max_position_usd" else error.message,
        )
        for error in problem.errors
    ]
    return Problem(problem.status, problem.detail, errors=errors, headers=problem.headers)


def is_running(agent: Agent, word: StatusWord) -> bool:
    """What the endpoint calls running: one whose first slot has not come yet was started, too."""
    return word == "running" or (word == "creating" and agent.wanted == "running")


def endpoint_status(agent: Agent, status: AgentStatus) -> EndpointStatus:
    """The hub's status in the endpoint's words."""
    position = status.position
    side: Literal["LONG", "SHORT", "FLAT"] = "FLAT"
    if position is not None:
        side = "LONG" if position.side == "long" else "SHORT"
    return EndpointStatus(
        running=is_running(agent, status.status),
        symbol=status.symbol,
        last_price=status.price,
        amount_usdt=margin_usdt(agent),
        config_leverage=int(agent.risk_params["leverage"]),
        side=side,
        entry_price=None if position is None else position.entry_price,
        position_size_usdt=None if position is None else position.notional_usd,
        leverage=None if position is None else position.leverage,
        unrealized_pnl_usdt=None if position is None else position.unrealized_pnl_usd,
        last_action=status.last_action if status.last_action in ACTIONS else None,
        last_reason=status.last_reason,
        active_strategy=status.strategy_name,
    )
