"""Which trades should there have been? Worked out a second time, from recorded inputs.

Nothing of the product is imported here, and the arithmetic is decimal where the engine's is
binary: the two agree because they follow the same written rules, not because they share code.
Plain data in, plain data out; no I/O. Fixed stops and targets on paper; agents whose plan fails,
edits of a running agent and live orders are outside what is recomputed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal, localcontext

PRICE_STALE_S = 10
"""A price older than this many seconds by its publish time opens nothing and holds exits."""

NUMBER_TOLERANCE = 1e-9
"""Relative difference below which two numbers are called the same."""

USD_TOLERANCE = 2.5e-8
"""Amounts are kept to eight decimals, and a result is made of three: two units are rounding."""

NOTIONAL_TOLERANCE = 2e-11
"""Of the notional, for amounts: where the 13th digit of a price is an exact 5, decimal and binary
may round it to different sides, and a result is the difference of two such prices.
"""

INFINITE = float("inf")

_DIGITS = 12
_DECIMALS = 18
_USD_STEP = Decimal("1e-8")
_NOTHING = Decimal(0)


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


@dataclass(slots=True)
class _Position:
    direction: int
    entry: Decimal
    quantity: Decimal
    entry_fee: Decimal
    stop: Decimal
    target: Decimal
    bankrupt: Decimal
    opened_slot: int

    def gross(self, price: Decimal) -> Decimal:
        return _usd((price - self.entry) * self.quantity * self.direction)

    def ahead_of(self, level: Decimal, price: Decimal) -> bool:
        """The price is on the winning side of the level, and not on it."""
        return (price - level) * self.direction > 0


def _kept(exact: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """As the books keep prices and quantities: 12 significant digits and at most 18 decimals."""
    last_digit = max(exact.adjusted() - _DIGITS + 1, -_DECIMALS)
    return exact.quantize(Decimal(1).scaleb(last_digit), rounding)


def _usd(exact: Decimal) -> Decimal:
    return exact.quantize(_USD_STEP)


def _written(number: float) -> Decimal:
    """The number as a person would write it: 0.1 is a tenth, not the binary fraction next to it."""
    return Decimal(repr(float(number)))


class _Walk:
    """One agent taken through the recorded slots, in order."""

    def __init__(self, settings: AgentSettings) -> None:
        self.settings = settings
        self.size = _written(settings.max_position_usd)
        self.stop_share = _written(settings.stop_loss_pct) / 100
        self.target_share = _written(settings.take_profit_pct) / 100
        self.fee_share = _written(settings.fee_bps) / 10_000
        self.slip_share = _written(settings.slippage_bps) / 10_000
        self.loss_limit = _written(settings.max_session_loss_usd or 0.0)
        self.running = True
        self.deleted = False
        self.schedule_start = settings.start_slot
        self.realized = _NOTHING
        self.session_base = _NOTHING
        self.close_asked: str | None = None
        self.position: _Position | None = None
        self.trades: list[Trade] = []

    def command(self, command: Command) -> None:
        if self.deleted:
            return
        if isinstance(command, Start):
            if not self.running:
                self.running = True
                self.schedule_start = command.slot
                self.session_base = self.realized
                self.close_asked = None
            return
        self.running = False
        self.deleted = command.delete
        self.close_asked = None  # the last word on the position counts
        if self.position is not None and (command.close_position or command.delete):
            self.close_asked = "deleted" if command.delete else "stopped"

    def slot(self, slot: int, price: Decimal | None, signal: float | None) -> None:
        """One slot; `price` is None where there is none or it is stale."""
        closed_here = False
        if self.position is not None and price is not None:
            reason = self._exit_reason(self.position, price)
            if reason is not None:
                self._close(self.position, slot, price, reason)
                closed_here = True
        if not self._due(slot) or closed_here:
            return
        if price is None or not signal or not self.settings.threshold <= abs(signal) < INFINITE:
            return  # no price, no signal, none in either direction (0), no number, or too weak
        direction = 1 if signal > 0 else -1
        if self.position is None:
            self._open(slot, price, direction)
        elif self.position.direction != direction:
            self._close(self.position, slot, price, "signal")

    def _due(self, slot: int) -> bool:
        waited = slot - self.schedule_start
        return self.running and waited >= 0 and waited % self.settings.interval == 0

    def _exit_reason(self, position: _Position, price: Decimal) -> str | None:
        if not self.running and self.close_asked is None:
            return None
        if not position.ahead_of(position.bankrupt, price):
            return "liquidation"
        if self.close_asked is not None:
            return self.close_asked
        if not position.ahead_of(position.stop, price):
            return "stop_loss"
        if position.ahead_of(position.target, price) or price == position.target:
            return "take_profit"
        result = self.realized - self.session_base + position.gross(price) - position.entry_fee
        if self.loss_limit > 0 and result <= -self.loss_limit:
            return "session_loss"
        return None

    def _open(self, slot: int, price: Decimal, direction: int) -> None:
        entry = _kept(price * (1 + direction * self.slip_share))
        quantity = _kept(self.size / entry, ROUND_FLOOR)
        if quantity == 0:
            return  # the money buys nothing
        self.position = _Position(
            direction=direction,
            entry=entry,
            quantity=quantity,
            entry_fee=_usd(quantity * entry * self.fee_share),
            stop=_kept(entry * (1 - direction * self.stop_share)),
            target=_kept(entry * (1 + direction * self.target_share)),
            bankrupt=_kept(entry * (1 - Decimal(direction) / self.settings.leverage)),
            opened_slot=slot,
        )

    def _close(self, position: _Position, slot: int, price: Decimal, reason: str) -> None:
        exit_price = _kept(price * (1 - position.direction * self.slip_share))
        if reason == "liquidation":
            better = max if position.direction > 0 else min
            exit_price = better(exit_price, position.bankrupt)
        exit_fee = _usd(position.quantity * exit_price * self.fee_share)
        pnl = position.gross(exit_price) - position.entry_fee - exit_fee
        self.trades.append(
            self._trade(position, exit_price, position.entry_fee + exit_fee, pnl, reason, slot)
        )
        self.position = None
        self.close_asked = None
        self.realized += pnl
        lost = self.session_base - self.realized
        if reason == "session_loss" or 0 < self.loss_limit <= lost:
            self.running = False

    def _trade(
        self,
        position: _Position,
        exit_price: Decimal | None,
        fee: Decimal,
        pnl: Decimal | None,
        reason: str | None,
        closed_slot: int | None,
    ) -> Trade:
        return Trade(
            agent_id=self.settings.agent_id,
            side="long" if position.direction > 0 else "short",
            quantity=float(position.quantity),
            leverage=self.settings.leverage,
            entry_price=float(position.entry),
            exit_price=None if exit_price is None else float(exit_price),
            fee_usd=float(fee),
            pnl_usd=None if pnl is None else float(pnl),
            open_reason="signal",
            close_reason=reason,
            opened_slot=position.opened_slot,
            closed_slot=closed_slot,
        )

    def finished(self) -> list[Trade]:
        """The closed trades, and the open position as a trade without an end."""
        if self.position is None:
            return self.trades
        fee = self.position.entry_fee
        return [*self.trades, self._trade(self.position, None, fee, None, None, None)]


def recompute(
    agents: Iterable[AgentSettings],
    prices: Mapping[int, Mapping[str, Price]],
    signals: Mapping[int, Mapping[int, float]],
    commands: Iterable[Command] = (),
) -> list[Trade]:
    """All trades of the agents, by agent (in the order given) and then by opening.

    prices: slot -> symbol -> Price, for every slot that was run (a slot that is not a key was
    skipped: nothing happens in it). signals: slot -> plan id -> signal; NaN or absent: none.
    commands: stops and starts, each applied just before the first slot that was run from its slot
    on, those of one slot in the order given.
    """
    slots = sorted(prices)
    usable = {slot: _usable(slot, prices[slot]) for slot in slots}
    by_agent: dict[str, list[Command]] = {}
    for command in sorted(commands, key=lambda each: each.slot):
        by_agent.setdefault(command.agent_id, []).append(command)
    trades: list[Trade] = []
    with localcontext(Context(prec=50)):
        for settings in agents:
            walk = _Walk(settings)
            waiting = by_agent.get(settings.agent_id, [])[::-1]
            for slot in slots:
                while waiting and waiting[-1].slot <= slot:
                    walk.command(waiting.pop())
                signal = signals.get(slot, {}).get(settings.plan_id)
                walk.slot(slot, usable[slot].get(settings.symbol), signal)
            trades += walk.finished()
    return trades


def _usable(slot: int, frame: Mapping[str, Price]) -> dict[str, Decimal]:
    """The prices of a frame that are there and not stale."""
    return {
        symbol: _written(seen.price)
        for symbol, seen in frame.items()
        if 0 < seen.price < INFINITE and slot - seen.publish_time <= PRICE_STALE_S
    }


def compare(expected: Sequence[Trade], ledger_rows: Iterable[Mapping[str, object]]) -> list[str]:
    """Differences in plain words, none when the ledger holds exactly the expected trades.

    A ledger row has the names of a trade in the API (agent_id, side, quantity, leverage,
    entry_price, exit_price, fee_usd, pnl_usd, open_reason, close_reason, opened_at, closed_at);
    times as datetime, ISO 8601 text or Unix seconds; numbers as int, float or Decimal. Slots, sides
    and reasons must be equal, numbers to 1e-9 of their size (USD amounts at least to the tolerances
    above: rounding to eight decimals and to the last digit of a price).
    """
    differences: list[str] = []
    found: dict[tuple[str, float | None], Mapping[str, object]] = {}
    for row in ledger_rows:
        key = str(row["agent_id"]), _seconds(row["opened_at"])
        if key in found:
            differences.append(f"{_name(*key)}: more than once in the ledger")
        found[key] = row
    for trade in expected:
        wanted_key = trade.agent_id, float(trade.opened_slot)
        name = _name(*wanted_key)
        match = found.pop(wanted_key, None)
        if match is None:
            differences.append(f"{name}: not in the ledger ({trade.side}, {trade.close_reason})")
        else:
            differences += [f"{name}: {each}" for each in _field_differences(trade, match)]
    differences += [f"{_name(*key)}: in the ledger, not expected" for key in found]
    return differences


def _name(agent_id: str, opened: float | None) -> str:
    return f"agent {agent_id}, opened at {'no time' if opened is None else f'{opened:.15g}'}"


def _field_differences(trade: Trade, row: Mapping[str, object]) -> list[str]:
    said: list[tuple[str, object, object]] = []
    for name in ("side", "leverage", "open_reason", "close_reason"):
        wanted: object = getattr(trade, name)
        if row[name] != wanted:
            said.append((name, row[name], wanted))
    closed = _seconds(row["closed_at"])
    if closed != trade.closed_slot:
        said.append(("closed_at", closed, trade.closed_slot))
    usd = max(USD_TOLERANCE, NOTIONAL_TOLERANCE * trade.quantity * trade.entry_price)
    for name, at_least in (
        ("quantity", 0.0),
        ("entry_price", 0.0),
        ("exit_price", 0.0),
        ("fee_usd", usd),
        ("pnl_usd", usd),
    ):
        number: float | None = getattr(trade, name)
        if not _same(row[name], number, at_least):
            said.append((name, row[name], number))
    return [f"{name} is {got}, expected {wanted}" for name, got, wanted in said]


def _same(got: object, wanted: float | None, at_least: float) -> bool:
    if got is None or wanted is None:
        return got is None and wanted is None
    number = float(str(got))
    return abs(number - wanted) <= max(NUMBER_TOLERANCE * abs(wanted), at_least)


def _seconds(moment: object) -> float | None:
    """Unix seconds of a time in any of the forms a ledger row may give it."""
    if moment is None:
        return None
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if isinstance(moment, datetime):
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return aware.timestamp()
    return float(str(moment))
