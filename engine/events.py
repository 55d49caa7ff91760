"""What happened to an agent, each event with its row as it was right after it.

An event is a fact: its id follows from the agent and its number, whoever writes it down, however
often.
"""

from collections.abc import Iterator
from typing import Final
from uuid import UUID, uuid5

import msgspec
import numpy as np

from engine.errors import EventError
from engine.rows import Reason, RowRule
from engine.schemas import record_from_bytes


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One of the kinds created started edited stopped deleted opened closed stale fresh failed
    cannot_run can_run halted reducing resumed moving.

    `seq` counts per agent. The fields from price to signal are those of `opened` and `closed`.
    """

    kind: str
    agent_id: bytes
    row: int
    seq: int
    slot: int
    row_after: bytes
    reason: int = 0  # rows.Reason
    price: float = 0.0  # of this fill
    side: int = 0  # of the position
    quantity: float = 0.0
    fee_usd: float = 0.0  # of this fill
    pnl_usd: float = 0.0  # of the trade, net of both fees; 0 while open
    entry_price: float = 0.0
    entry_fee_usd: float = 0.0
    opened_slot: int = 0
    trade_seq: int = 0  # seq of the trade's `opened`
    leverage: int = 0
    open_reason: int = 0  # rows.Reason
    signal: float = 0.0  # that led to it; 0 for exits
    text: str = ""  # of `failed` and `cannot_run`: what the plan raised or said


_decoder = msgspec.msgpack.Decoder(Event)


def encode_event(event: Event) -> bytes:
    return msgspec.msgpack.encode(event)


def decode_event(payload: bytes) -> Event:
    """Raises EventError."""
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EventError(f"no event: {error}") from error


def event_id(agent_id: bytes, seq: int) -> UUID:
    """Of the event, and with trade_seq of the trade."""
    return uuid5(UUID(bytes=agent_id), str(seq))


_TRIGGERED: Final = frozenset(
    {Reason.STOP_LOSS, Reason.TAKE_PROFIT, Reason.TRAILING_STOP, Reason.LIQUIDATION}
)


def log_lines(event: Event) -> list[tuple[str, str]]:
    """What the owner reads of it, as (level, message) in the levels of the log."""
    match event.kind:
        case "created":
            return [("init", f"agent created: {_settings(event)}")]
        case "edited":
            return [("init", f"configuration loaded: {_settings(event)}")]
        case "started":
            return [("start", "trading loop started")]
        case "stopped":
            return [("stop", f"agent stopped: {_words(event.reason)}")]
        case "deleted":
            return [("stop", "agent deleted")]
        case "opened":
            return [("action", f"opened {_position(event)}, signal {event.signal:.6g}")]
        case "closed":
            return _closed(event)
        case "stale":
            return [("warn", "price is stale: no entry and no exit until it is fresh")]
        case "fresh":
            return [("warn", "price is fresh again")]
        case "failed":
            who = "strategy" if event.reason == Reason.PLAN_FAILED else "agent"
            return [("error", f"{who} failed: {event.text}")]
        case "cannot_run":
            return [("warn", f"cannot run: {event.text}")]
        case "can_run":
            return [("warn", "can run again")]
        case "halted":
            return [("warn", "halted: no entry and no exit by signal; stop and target stand")]
        case "reducing":
            return [("warn", "reducing: no entry, exits only")]
        case "moving":
            return [("warn", "the position closes first: the agent moves to another symbol")]
        case "resumed":
            return [("warn", "no longer halted")]
    raise EventError(f"no event: kind {event.kind!r}")


def _closed(event: Event) -> list[tuple[str, str]]:
    why = _words(event.reason)
    line = ("action", f"closed {_position(event)}, {why}, P&L {event.pnl_usd:+.2f} USD")
    return [("sl_tp", f"{why} triggered"), line] if event.reason in _TRIGGERED else [line]


def _position(event: Event) -> str:
    side = "long" if event.side > 0 else "short"
    return f"{side} {event.quantity:.12g} at {event.price:.12g}"


def _settings(event: Event) -> str:
    """What an agent uses beyond size, stop and target is named only where it uses it."""
    row = record_from_bytes(event.row_after)[0]
    return (
        f"interval {row['interval']} s, position up to {row['max_position_usd']:.12g} USD, "
        f"leverage {row['leverage']}, threshold {row['threshold']:.12g}, "
        f"stop loss {row['stop_loss_ppm'] / 1e4:.6g} %, "
        f"take profit {row['take_profit_ppm'] / 1e4:.6g} %"
        + "".join(f", {words}" for words in _more_settings(row))
    )


def _more_settings(row: np.void) -> Iterator[str]:
    rules = RowRule(int(row["rules"]))
    if rules & RowRule.DYNAMIC:
        yield (
            f"both by ATR: stop {row['atr_multiple_centi'] / 100:.6g} of it, "
            f"target {row['reward_risk_centi'] / 100:.6g} times the risk"
        )
    for name, words in (
        ("trailing_stop_bps", "trailing stop"),
        ("break_even_bps", "break-even after"),
        ("max_drawdown_bps", "drawdown up to"),
    ):
        if row[name]:
            yield f"{words} {row[name] / 100:.6g} %"
    if row["time_stop_s"]:
        yield f"time stop {row['time_stop_s']} s"
    if row["cooldown_s"]:
        yield f"pause after a loss {row['cooldown_s']} s"
    if row["max_trades_per_day"]:
        yield f"at most {row['max_trades_per_day']} trades a day"
    if rules & RowRule.KELLY:
        yield "size by Kelly"
    if rules & RowRule.VOLATILITY:
        yield "size by volatility"


def _words(reason: int) -> str:
    return Reason(reason).name.lower().replace("_", " ")
