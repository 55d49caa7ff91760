"""The written rules of stops, limits and sizes (docs/exits.md), once more, in decimal arithmetic.

Nothing of the product is imported here. Plain data, and functions of it.
"""

import math
import struct
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

INFINITE = float("inf")
DAY_S = 86_400

_DIGITS = 12
_DECIMALS = 18
_USD_STEP = Decimal("1e-8")
_MARK_STEP = Decimal("0.0005")
_VOLATILITY_TARGET = 0.2
_KELLY_TRADES = 20
_KELLY_LEAST, _KELLY_SHARE = 0.05, 0.25
_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """One agent as its owner described it, and the slot in which it was started."""

    agent_id: str
    symbol: str
    plan_id: int
    start_slot: int
    threshold: float
    interval: int = 1
    max_position_usd: float = 100.0
    stop_loss_pct: float = 2.0
    take_profit_pct: float = 4.0
    leverage: int = 1
    fee_bps: float = 10.0
    slippage_bps: float = 1.0
    max_session_loss_usd: float | None = None
    tp_sl_mode: str = "fixed"
    atr_multiple: float = 2.0
    reward_risk_ratio: float = 2.0
    trailing_stop_pct: float | None = None
    max_drawdown_pct: float | None = None
    break_even_pct: float | None = None
    time_stop_seconds: int | None = None
    cooldown_seconds: int | None = None
    max_trades_per_day: int | None = None
    sizing_mode: str = "fixed"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a slot said of a plan: ATR by price and a year's volatility, NaN where there is none."""

    atr_fraction: float
    volatility: float


@dataclass(frozen=True, slots=True)
class Price:
    """What a slot's frame said of one symbol; publish_time in Unix seconds."""

    price: float
    publish_time: float


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop (or, with `delete`, a deletion) that applies just before `slot`."""

    agent_id: str
    slot: int
    close_position: bool = True
    delete: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """A start after a stop, with the same settings; the schedule counts from `slot` again."""

    agent_id: str
    slot: int


Command = Stop | Start


@dataclass(frozen=True, slots=True)
class Trade:
    """One position from its opening; the fields of the closing are None while it is open.

    fee_usd is what was paid so far: the entry's fee, and the exit's too once it is closed.
    """

    agent_id: str
    side: str
    quantity: float
    leverage: int
    entry_price: float
    exit_price: float | None
    fee_usd: float
    pnl_usd: float | None
    open_reason: str
    close_reason: str | None
    opened_slot: int
    closed_slot: int | None


def kept(exact: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """As the books keep prices and quantities: 12 significant digits and at most 18 decimals."""
    last_digit = max(exact.adjusted() - _DIGITS + 1, -_DECIMALS)
    return exact.quantize(Decimal(1).scaleb(last_digit), rounding)


def usd(exact: Decimal) -> Decimal:
    return exact.quantize(_USD_STEP)


def written(number: float) -> Decimal:
    """The number as a person would write it: 0.1 is a tenth, not the binary fraction next to it."""
    return Decimal(repr(float(number)))


@dataclass(slots=True)
class Position:
    """An open position with its marks. atr: of the price at the entry, None where not known."""

    direction: int
    entry: Decimal
    quantity: Decimal
    entry_fee: Decimal
    bankrupt: Decimal
    opened_slot: int
    atr: Decimal | None
    best: Decimal
    at_break_even: bool = False

    def gross(self, price: Decimal) -> Decimal:
        return usd((price - self.entry) * self.quantity * self.direction)

    def ahead_of(self, level: Decimal, price: Decimal) -> bool:
        """The price is on the winning side of the level, and not on it."""
        return (price - level) * self.direction > 0


class ExitRules:
    """Where an agent's positions close, and what follows the price meanwhile."""

    def __init__(self, settings: AgentSettings) -> None:
        self.stop_share = written(settings.stop_loss_pct) / 100
        self.target_share = written(settings.take_profit_pct) / 100
        self.fee = written(settings.fee_bps) / 10_000
        self.slip = written(settings.slippage_bps) / 10_000
        self.dynamic = settings.tp_sl_mode == "dynamic"
        self.atr_multiple = written(settings.atr_multiple)
        self.ratio = written(settings.reward_risk_ratio)
        self.trailing = written(settings.trailing_stop_pct or 0) / 100
        self.break_even = written(settings.break_even_pct or 0) / 100
        self.oldest = settings.time_stop_seconds

    def first_stop(self, position: Position) -> Decimal:
        share = self.stop_share
        if self.dynamic and position.atr is not None:
            share = self.atr_multiple * position.atr
        return kept(position.entry * (1 - position.direction * share))

    def target(self, position: Position) -> Decimal:
        share = self.target_share
        if self.dynamic and position.atr is not None:
            share = self.ratio * self.atr_multiple * position.atr
        return kept(position.entry * (1 + position.direction * share))

    def stop(self, position: Position) -> Decimal:
        """The one that the price would reach first."""
        levels = [self.first_stop(position)]
        if self.trailing:
            levels.append(kept(position.best * (1 - position.direction * self.trailing)))
        if position.at_break_even:
            levels.append(self.cost(position))
        return max(levels) if position.direction > 0 else min(x for x in levels if x > 0)

    def cost(self, position: Position) -> Decimal:
        """The price at which a close loses nothing."""
        side = position.direction
        paid = position.entry + side * position.entry_fee / position.quantity
        return kept(paid / ((1 - side * self.fee) * (1 - side * self.slip)))

    def hit(self, position: Position, price: Decimal) -> str | None:
        """stop_loss, trailing_stop or take_profit, if the price is there."""
        stop = self.stop(position)
        if stop > 0 and not position.ahead_of(stop, price):
            return "stop_loss" if stop == self.first_stop(position) else "trailing_stop"
        target = self.target(position)
        if target > 0 and (position.ahead_of(target, price) or price == target):
            return "take_profit"
        return None

    def timed_out(self, position: Position, slot: int) -> bool:
        return self.oldest is not None and slot - position.opened_slot >= self.oldest

    def follow(self, position: Position, price: Decimal) -> None:
        """Best price and break-even, after a slot that has closed nothing."""
        side = position.direction
        if self.trailing:
            step = kept(position.best * (1 + side * _MARK_STEP))
            if price == step or position.ahead_of(step, price):
                position.best = price
        if self.break_even and not position.at_break_even:
            trigger = kept(position.entry * (1 + side * self.break_even))
            there = price == trigger or position.ahead_of(trigger, price)
            position.at_break_even = there and position.ahead_of(self.cost(position), price)


class Session:
    """What an agent has won since it was started, and the limits on that."""

    def __init__(self, settings: AgentSettings) -> None:
        self.size = written(settings.max_position_usd)
        self.loss_limit = written(settings.max_session_loss_usd or 0.0)
        self.drawdown = written(settings.max_drawdown_pct or 0.0) / 100
        self.realized = self.base = self.peak = Decimal(0)

    def restart(self) -> None:
        self.base, self.peak = self.realized, Decimal(0)

    def result(self, position: Position | None = None, price: Decimal | None = None) -> Decimal:
        closed = self.realized - self.base
        if position is None or price is None:
            return closed
        return closed + position.gross(price) - position.entry_fee

    def over(self, result: Decimal) -> str | None:
        """session_loss or drawdown, where a result is at its limit."""
        if 0 < self.loss_limit <= -result:
            return "session_loss"
        fallen, equity = usd(self.peak - result), self.size + self.peak
        if self.drawdown and fallen > 0 and fallen >= usd(equity * self.drawdown):
            return "drawdown"
        return None

    def follow(self, result: Decimal) -> None:
        """A price moves the peak in steps."""
        gained = result - self.peak
        if self.drawdown and gained > 0 and gained >= usd(self.size * _MARK_STEP):
            self.peak = result

    def close(self, pnl: Decimal) -> None:
        self.realized += pnl
        if self.drawdown:
            self.peak = max(self.peak, self.result())


class Sizing:
    """The fraction of max_position_usd that an entry may take, in binary as the product has it.

    Kelly's sums are kept in binary32, so they are rounded to it here, too.
    """

    def __init__(self, settings: AgentSettings) -> None:
        self.mode = settings.sizing_mode
        self.wins = self.losses = 0
        self.won = self.lost = 0.0

    def count(self, pnl: Decimal) -> None:
        if pnl > 0:
            self.wins, self.won = self.wins + 1, _single(self.won + float(pnl))
        elif pnl < 0:
            self.losses, self.lost = self.losses + 1, _single(self.lost - float(pnl))

    def fraction(self, reading: Reading) -> Decimal | None:
        """None where a reading is needed that is not there."""
        if self.mode == "kelly":
            return written(self._kelly())
        if self.mode == "vol_scaling":
            if not reading.volatility >= 0:
                return None
            if reading.volatility == 0:
                return Decimal(1)
            return written(min(_VOLATILITY_TARGET / reading.volatility, 1.0))
        return Decimal(1)

    def _kelly(self) -> float:
        trades = self.wins + self.losses
        if trades < _KELLY_TRADES:
            return 1.0
        if not self.wins:
            return _KELLY_LEAST
        bet = share = self.wins / trades
        if self.losses:
            odds = (self.won / self.wins) / (self.lost / self.losses)
            bet = share - (1 - share) / odds
        return min(max(bet * _KELLY_SHARE, _KELLY_LEAST), 1.0)


def atr_of(reading: Reading) -> Decimal | None:
    """To one millionth of the price; None for none."""
    if not math.isfinite(reading.atr_fraction):
        return None
    ppm = (written(reading.atr_fraction) * _MILLION).quantize(Decimal(1))
    return ppm / _MILLION if ppm >= 1 else None


def _single(number: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", number))[0])
