"""What agent containers in the field tell their hub, made of what the pool knows. Pure.

Field for field what exists out there: see the table of /internal in the contract.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from adapters.db.records import LogLine, Trade
from api.agent_endpoint import ACTIONS
from api.status import AgentStatus
from api.tick_lines import LogEntry

SIDES = {"long": "LONG", "short": "SHORT"}


class StatusMessage(msgspec.Struct, frozen=True):
    """What is read of an agent_status message."""

    agent_id: UUID
    data: AgentStatus


class LinesMessage(msgspec.Struct, frozen=True):
    """What is read of a message of tick lines."""

    class Entries(msgspec.Struct, frozen=True):
        entries: list[LogEntry]

    data: Entries


def status_report(status: AgentStatus) -> bytes:
    """The body of POST /internal/agents/{id}/status; what there is not is left out."""
    position = status.position
    report: dict[str, Any] = {
        "running": status.status == "running",
        "symbol": status.symbol,
        "last_price": status.price,
        "side": "FLAT" if position is None else SIDES[position.side],
        "entry_price": None if position is None else position.entry_price,
        "position_size_usdt": None if position is None else position.notional_usd,
        "leverage": None if position is None else position.leverage,
        "unrealized_pnl_usdt": None if position is None else position.unrealized_pnl_usd,
        "last_action": status.last_action if status.last_action in ACTIONS else None,
        "last_reason": status.last_reason,
        "active_strategy": status.strategy_name,
    }
    return msgspec.json.encode({name: said for name, said in report.items() if said is not None})


def trade_report(trade: Trade[Decimal], outside_id: UUID, *, closed: bool) -> bytes:
    """The body of POST /internal/trades for the opening of a trade, or for its close."""
    report: dict[str, Any] = {
        "agent_id": str(outside_id),
        "side": trade.side,
        "entry_price": float(trade.entry_price),
        "size_usdt": float(round(trade.quantity * trade.entry_price, 8)),
        "leverage": trade.leverage,
        "strategy": trade.strategy_name,
    }
    if closed:
        assert trade.exit_price is not None and trade.pnl_usd is not None
        report["exit_price"] = float(trade.exit_price)
        report["pnl"] = float(trade.pnl_usd)
        report["close_reason"] = trade.close_reason
    return msgspec.json.encode(report)


def logs_report(lines: Sequence[LogLine | LogEntry], outside_id: UUID) -> bytes:
    """The body of POST /internal/logs."""
    entries = [
        line.as_json() if isinstance(line, LogLine) else msgspec.to_builtins(line) for line in lines
    ]
    return msgspec.json.encode({"agent_id": str(outside_id), "entries": entries})
