"""/internal for agents that run outside of the pool: their status, trades and logs.

Payloads are those that exist in the field; null stands for a known field that is left out. What
comes in ends in the same tables and on the same WebSocket as the pool's own events.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from adapters.db import reported
from adapters.db.agent_edits import find_agent
from adapters.db.agents import Agent
from adapters.db.records import LogLine, UserMessage
from adapters.db.reported import NoSuchAgent, OtherPosition, RunsInThePool, TradeReport
from adapters.redis_client import away_as_error
from adapters.reported_statuses import keep_status, kept_s, read_statuses
from adapters.user_messages import publish_messages, publish_status
from api.agent_logs import Level
from api.answers import Done, answer
from api.auth import agent_id_of
from api.bodies import B, Body, Check, check_fields, read_json, without_nulls
from api.errors import FieldError, Problem, bad_input, not_found
from api.hub import Hub, hub_of
from api.reported_status import ReportStatus, status_of_report
from api.times import iso_seconds
from api.websocket_protocol import status_message

ENTRIES_MAX = 1_000
SIGNIFICANT_DIGITS = 12
LAST_DECIMAL = Decimal("1e-18")
AMOUNT_MAX = 1e15

Price = Annotated[float, Meta(gt=0, le=AMOUNT_MAX)]

CLOSE_REASONS: Mapping[str, str] = {
    **{
        word: word
        for word in (
            "take_profit", "stop_loss", "trailing_stop", "signal", "supervisor", "liquidation",
            "session_loss", "drawdown", "stopped", "deleted",
        )
    },
    "tp": "take_profit",
    "sl": "stop_loss",
    "trailing": "trailing_stop",
    "liquidated": "liquidation",
    "stop": "stopped",
    "manual": "stopped",
}  # fmt: skip
"""The contract's words, and what agents in the field say for some of them."""


def _storable(value: float) -> str | None:
    return None if _decimal(value) > 0 else "the number is too small"


def _time(value: str | float) -> datetime:
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)


def _readable_time(value: str | float) -> str | None:
    try:
        _time(value)
    except (ValueError, OverflowError):
        return "expected a time like 2026-01-31T12:00:00.000Z, or Unix seconds"
    return None


LINES = {"items": {"$ref": "#/components/schemas/ReportLine"}}
"""Each entry is read by itself, so that every bad one is named."""


class ReportTrade(Body, frozen=True, kw_only=True):
    """The body of POST /internal/trades."""

    checks: ClassVar[Mapping[str, Check]] = {"entry_price": _storable, "exit_price": _storable}

    agent_id: UUID
    side: Literal["long", "short"]
    entry_price: Price
    exit_price: Price | None = None
    size_usdt: Price | None = None
    leverage: Annotated[int, Meta(ge=1, le=1000)] | None = None
    pnl: Annotated[float, Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)] | None = None
    strategy: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    close_reason: Annotated[str, Meta(max_length=200)] | None = None
    tx_hash: Annotated[str, Meta(max_length=200)] | None = None
    event_id: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class ReportLogs(Body, frozen=True, kw_only=True):
    """The body of POST /internal/logs."""

    agent_id: UUID
    entries: Annotated[list[Any], Meta(max_length=ENTRIES_MAX, extra_json_schema=LINES)]


class ReportLine(Body, frozen=True, kw_only=True):
    """One of its entries; ts is ISO 8601, of UTC where it names no zone, or Unix seconds."""

    checks: ClassVar[Mapping[str, Check]] = {"ts": _readable_time}

    ts: str | float
    level: Level
    message: Annotated[str, Meta(max_length=20_000)]


async def report_status(request: Request) -> Response:
    """POST /internal/agents/{id}/status: kept for a few ticks, and streamed."""
    hub = hub_of(request)
    agent = await find_agent(hub.database, agent_id_of(request))
    if agent is None:
        raise not_found("agent")
    report = await _read_report(request, ReportStatus)
    if agent.wanted == "running":
        raise _in_the_pool()
    realized = await reported.realized(hub.database, agent.id)
    async with away_as_error():
        now_s = hub.clock.now()
        before = (await read_statuses(hub.state_redis, [agent.id])).get(agent.id)
        status = status_of_report(agent, report, before, realized, now_s)
        encoded = msgspec.json.encode(status)
        await keep_status(hub.state_redis, agent.id, encoded, kept_s(agent.interval_seconds))
        message = status_message(status, iso_seconds(now_s))
        await publish_status(hub.state_redis, agent.user_id, message)
    return answer(Done(ok=True))


async def report_trade(request: Request) -> Response:
    """POST /internal/trades: a position opened, or with exit_price closed."""
    hub = hub_of(request)
    report = await _read_report(request, ReportTrade)
    agent = await find_agent(hub.database, report.agent_id)
    if agent is None:
        raise not_found("agent")
    now = datetime.fromtimestamp(hub.clock.now(), UTC)
    trade = _trade(agent, report, now)
    try:
        messages = await reported.store_trade(hub.database, agent.id, trade)
    except (NoSuchAgent, RunsInThePool, OtherPosition) as error:
        raise _refusal(error) from error
    await _publish(hub, messages)
    return answer(Done(ok=True))


async def report_logs(request: Request) -> Response:
    """POST /internal/logs: lines that were sent before count once."""
    hub = hub_of(request)
    report = await _read_report(request, ReportLogs)
    now = datetime.fromtimestamp(hub.clock.now(), UTC)
    lines = _lines(report.entries, now)
    try:
        messages = await reported.store_logs(hub.database, report.agent_id, lines)
    except (NoSuchAgent, RunsInThePool) as error:
        raise _refusal(error) from error
    await _publish(hub, messages)
    return answer(Done(ok=True))


async def _read_report(request: Request, kind: type[B]) -> B:
    return check_fields(without_nulls(await read_json(request), kind), kind)


async def _publish(hub: Hub, messages: Sequence[UserMessage]) -> None:
    async with away_as_error():
        await publish_messages(hub.state_redis, messages)


def _refusal(error: Exception) -> Problem:
    if isinstance(error, NoSuchAgent):
        return not_found("agent")
    return _in_the_pool() if isinstance(error, RunsInThePool) else Problem(409, str(error))


def _in_the_pool() -> Problem:
    return Problem(409, "the agent is wanted running in the pool: stop it there first")


def _decimal(value: float) -> Decimal:
    """As written, with at most 18 decimals."""
    number = Decimal(repr(value))
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -18:
        number = number.quantize(LAST_DECIMAL, ROUND_HALF_EVEN)
    return number


def _trade(agent: Agent, report: ReportTrade, now: datetime) -> TradeReport:
    """size_usdt is notional; without it a position is taken to be as large as it may be."""
    size = report.size_usdt or float(agent.risk_params["max_position_usd"])
    quantity = _decimal(float(f"{size / report.entry_price:.{SIGNIFICANT_DIGITS}g}"))
    if not 0 < quantity < Decimal("1e20"):
        raise bad_input([FieldError("size_usdt", "no quantity at this entry_price")])
    reason = (report.close_reason or "signal").strip().lower().replace(" ", "_").replace("-", "_")
    return TradeReport(
        side=report.side,
        entry_price=_decimal(report.entry_price),
        quantity=quantity,
        leverage=report.leverage or int(agent.risk_params["leverage"]),
        strategy_name=(report.strategy or agent.strategy_name).replace("\0", "?"),
        mode="live" if report.tx_hash or agent.live_mode else "paper",
        at=now,
        exit_price=None if report.exit_price is None else _decimal(report.exit_price),
        pnl_usd=None if report.pnl is None else _decimal(report.pnl),
        close_reason=CLOSE_REASONS.get(reason, "signal"),
        event_id=report.event_id,
        line=_more(report),
    )


def _more(report: ReportTrade) -> str | None:
    """A log line for what a trade has no field for."""
    more = []
    reason = report.close_reason if report.exit_price is not None else None
    if reason and reason not in CLOSE_REASONS.values():
        more.append(f"close reason {reason!r}")
    if report.tx_hash:
        more.append(f"transaction {report.tx_hash}")
    if not more:
        return None
    verb = "opened" if report.exit_price is None else "closed"
    return f"{verb} {report.side}: {', '.join(more)}".replace("\0", "?")


def _lines(entries: Sequence[object], now: datetime) -> list[LogLine]:
    """The entries as lines, none of them later than now."""
    errors: list[FieldError] = []
    lines: list[LogLine] = []
    for number, entry in enumerate(entries):
        try:
            line = check_fields(entry, ReportLine)
        except Problem as problem:
            errors += [
                FieldError(f"entries.{number}.{error.field}", error.message)
                for error in problem.errors
            ]
        else:
            ts = min(_time(line.ts), now)
            lines.append(LogLine(0, ts, line.level, line.message.replace("\0", "?")))
    if errors:
        raise bad_input(errors)
    return lines
