"""What the scalar reference of one agent is made of: words, rounding, state and events.

Written from the rules and not from the engine: floats, ints and dataclasses, no arrays. The fields
have the names of the record, so that the two can be held against each other.
"""

import math
import struct
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal
from enum import IntEnum


class Status(IntEnum):
    FREE = 0
    RUNNING = 1
    STOPPED = 2
    ERROR = 3


class Flag(IntEnum):
    CLOSING = 1
    DELETING = 2
    STALE_SAID = 4
    CANNOT_RUN_SAID = 8
    BREAK_EVEN = 16
    LAST_LOST = 32
    MOVING = 64


class Halt(IntEnum):
    ACTIVE = 0
    REDUCING = 1
    HALTED = 2


class Action(IntEnum):
    NONE = 0
    OPEN_LONG = 1
    OPEN_SHORT = 2
    CLOSE = 3


class Reason(IntEnum):
    NONE = 0
    SIGNAL = 1
    TAKE_PROFIT = 2
    STOP_LOSS = 3
    TRAILING_STOP = 4
    LIQUIDATION = 6
    SESSION_LOSS = 7
    DRAWDOWN = 8
    STOPPED = 9
    DELETED = 10
    PLAN_FAILED = 11
    BY_USER = 12
    TIME_STOP = 13


_LAST_DECIMAL = Decimal("1e-18")
_FLOOR_12_DIGITS = Context(prec=12, rounding=ROUND_FLOOR)


def round_price(number: float) -> float:
    """Twelve significant digits (at most 18 decimals), half to even, counted in binary64."""
    exponent = -7
    while abs(number) >= float(f"1e{exponent + 1}"):
        exponent += 1
    if exponent <= 11:
        scale = 10.0 ** (11 - exponent)
        return float(round(number * scale)) / scale
    scale = 10.0 ** (exponent - 11)
    return float(round(number / scale)) * scale


def floor_quantity(number: float) -> float:
    """Twelve significant digits (at most 18 decimals), never more than the number as written."""
    written = Decimal(repr(number))
    if number < 1e-7:
        return float(written.quantize(_LAST_DECIMAL, rounding=ROUND_FLOOR))
    return float(_FLOOR_12_DIGITS.plus(written))


def round_usd(number: float) -> float:
    """Eight decimals, half to even."""
    return float(round(number * 1e8)) / 1e8


def single(number: float) -> float:
    """The nearest number of binary32, in which sums are kept that need not be exact."""
    (kept,) = struct.unpack("<f", struct.pack("<f", number))
    return float(kept)


@dataclass(frozen=True)
class Seen:
    """What one slot holds for one agent's plan; `failed` is the text of what the plan raised."""

    price: float = math.nan
    fresh: bool = False
    signal: float = math.nan
    failed: str | None = None
    atr_fraction: float = math.nan
    volatility: float = math.nan
    cannot_run: str | None = None
    symbol: int = -1

    @property
    def usable(self) -> bool:
        return self.fresh and 0.0 < self.price < math.inf


@dataclass
class Agent:
    """One row: every field is one of the record, by the same name and in the same unit."""

    agent_id: bytes = bytes(16)
    max_position_usd: float = 0.0
    threshold: float = 0.0
    max_session_loss_usd: float = 0.0
    realized_pnl_usd: float = 0.0
    session_base_usd: float = 0.0
    fees_usd: float = 0.0
    entry_price: float = 0.0
    quantity: float = 0.0
    entry_fee_usd: float = 0.0
    stop_loss_price: float = 0.0
    take_profit_price: float = 0.0
    start_slot: int = 0
    opened_slot: int = 0
    action_slot: int = 0
    plan_id: int = 0
    interval: int = 0
    epoch: int = 0
    seq: int = 0
    trade_seq: int = 0
    stop_loss_ppm: int = 0
    take_profit_ppm: int = 0
    fee_cbps: int = 0
    slippage_cbps: int = 0
    leverage: int = 0
    status: int = Status.FREE
    flags: int = 0
    last_action: int = Action.NONE
    last_reason: int = Reason.NONE
    status_reason: int = Reason.NONE
    close_reason: int = Reason.NONE
    side: int = 0
    session_peak_usd: float = 0.0
    best_price: float = 0.0
    won_usd: float = 0.0
    lost_usd: float = 0.0
    time_stop_s: int = 0
    cooldown_s: int = 0
    entry_atr_ppm: int = 0
    atr_multiple_centi: int = 0
    reward_risk_centi: int = 0
    trailing_stop_bps: int = 0
    break_even_bps: int = 0
    max_drawdown_bps: int = 0
    max_trades_per_day: int = 0
    trades_that_day: int = 0
    wins: int = 0
    losses: int = 0
    halt: int = Halt.ACTIVE
    dynamic: bool = False
    by_kelly: bool = False
    by_volatility: bool = False

    @property
    def rules(self) -> int:
        """The column that says which settings are in use, bit by bit."""
        used = (
            self.max_session_loss_usd > 0,
            self.max_drawdown_bps > 0,
            self.time_stop_s > 0,
            self.trailing_stop_bps > 0,
            self.break_even_bps > 0,
            self.dynamic,
            self.by_kelly,
            self.by_volatility,
        )
        return sum(1 << bit for bit, each in enumerate(used) if each)

    def has(self, flag: Flag) -> bool:
        return bool(self.flags & flag)

    def due(self, slot: int) -> bool:
        """Its signal is looked at in this slot."""
        waited = slot - self.start_slot
        return self.status == Status.RUNNING and waited >= 0 and waited % self.interval == 0

    @property
    def watched(self) -> bool:
        """Its exits are looked at in every slot."""
        awake = self.status in (Status.RUNNING, Status.ERROR) or self.has(Flag.CLOSING)
        return self.side != 0 and awake

    @property
    def liquidation_price(self) -> float:
        """Where the gross loss has eaten the margin, which is the notional by the leverage."""
        return round_price(self.entry_price * (1.0 - self.side / self.leverage))

    def gross(self, price: float) -> float:
        """USD won or lost at `price`, before fees."""
        return round_usd((price - self.entry_price) * self.quantity * self.side)

    def reached(self, price: float, level: float) -> bool:
        """The price has moved against the position up to the level."""
        return price <= level if self.side > 0 else price >= level

    def passed(self, price: float, level: float) -> bool:
        """The price has moved in favour of the position up to the level."""
        return price >= level if self.side > 0 else price <= level


@dataclass(frozen=True)
class Said:
    """One event as it must be said; `after` is the agent right after it."""

    kind: str
    after: Agent
    slot: int
    seq: int
    reason: int = Reason.NONE
    price: float = 0.0
    side: int = 0
    quantity: float = 0.0
    fee_usd: float = 0.0
    pnl_usd: float = 0.0
    entry_price: float = 0.0
    entry_fee_usd: float = 0.0
    opened_slot: int = 0
    trade_seq: int = 0
    leverage: int = 0
    open_reason: int = Reason.NONE
    signal: float = 0.0
    text: str = ""
