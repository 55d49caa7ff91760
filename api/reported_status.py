"""The status of an agent outside of the pool, out of what it reports every tick. Pure."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from adapters.db.agents import Agent
from api.agent_bodies import spell_symbol
from api.bodies import Body
from api.status import AgentStatus, Position
from api.status_words import halt_word
from api.times import iso_seconds

Amount = Annotated[float, Meta(ge=-1e15, le=1e15)]
Price = Annotated[float, Meta(ge=0, le=1e15)]
PRICE_MIN = 1e-18
REPORTED = "reported"
"""The price_source of such a status."""


class ReportStatus(Body, frozen=True, kw_only=True):
    """The body of POST /internal/agents/{id}/status."""

    running: bool
    symbol: Annotated[str, Meta(max_length=64)] | None = None
    last_price: Price | None = None
    side: Literal["LONG", "SHORT", "FLAT"] = "FLAT"
    entry_price: Price | None = None
    position_size_usdt: Amount | None = None
    leverage: Annotated[float, Meta(ge=0, le=1000)] | None = None
    unrealized_pnl_usdt: Amount | None = None
    last_action: Annotated[str, Meta(max_length=64)] | None = None
    last_reason: Annotated[str, Meta(max_length=1000)] | None = None
    active_strategy: Annotated[str, Meta(max_length=64)] | None = None


def status_of_report(
    agent: Agent,
    report: ReportStatus,
    before: bytes | None,
    realized: tuple[float, float],
    now_s: float,
) -> AgentStatus:
    """before is the status of the report before, as JSON; realized is (P&L, fees) in USD."""
    last = None if before is None else msgspec.json.decode(before, type=AgentStatus)
    now = iso_seconds(now_s)
    price = report.last_price or None
    return AgentStatus(
        agent_id=agent.id,
        status="running" if report.running else "stopped",
        symbol=spell_symbol(report.symbol or "", (agent.symbol,)) or agent.symbol,
        price=price,
        price_time=None if price is None else now,
        price_source=REPORTED,
        stale=price is None,
        position=_position(agent, report, None if last is None else last.position, now),
        realized_pnl_usd=realized[0],
        fees_usd=realized[1],
        strategy_name=report.active_strategy or agent.strategy_name,
        signal=None,
        signal_detail="",
        last_action=report.last_action,
        last_reason=report.last_reason,
        ticks=(0 if last is None else last.ticks) + 1,
        missed_ticks=0,
        last_tick_at=now,
        next_tick_at=None,
        halt=halt_word(agent),
    )


def _position(
    agent: Agent, report: ReportStatus, before: Position | None, now: str
) -> Position | None:
    """opened_at is when the position was first reported; its exits are the agent's own affair."""
    if report.side == "FLAT" or report.entry_price is None or report.entry_price < PRICE_MIN:
        return None
    notional = abs(report.position_size_usdt or 0.0)
    leverage = max(int(report.leverage or agent.risk_params["leverage"]), 1)
    side: Literal["long", "short"] = "long" if report.side == "LONG" else "short"
    same = before is not None and (before.side, before.entry_price) == (side, report.entry_price)
    return Position(
        side=side,
        quantity=notional / report.entry_price,
        entry_price=report.entry_price,
        notional_usd=notional,
        margin_usd=notional / leverage,
        leverage=leverage,
        take_profit_price=None,
        stop_loss_price=None,
        liquidation_price=None,
        opened_at=before.opened_at if same and before is not None else now,
        unrealized_pnl_usd=report.unrealized_pnl_usdt,
    )
