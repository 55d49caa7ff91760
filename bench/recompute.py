"""Which trades should there have been? Worked out a second time, from recorded inputs.

Nothing of the product is imported here, and the arithmetic is decimal where the engine's is
binary: the two agree because they follow the same written rules, not because they share code.
Plain data in, plain data out; no I/O. Agents whose plan fails, edits of a running agent, halts and
live orders are outside what is recomputed.
"""

from collections.abc import Iterable, Mapping
from decimal import ROUND_FLOOR, Context, Decimal, localcontext

from bench.recompute_rules import (
    DAY_S,
    INFINITE,
    AgentSettings,
    Command,
    ExitRules,
    Position,
    Price,
    Reading,
    Session,
    Sizing,
    Start,
    Trade,
    atr_of,
    kept,
    usd,
    written,
)

PRICE_STALE_S = 10
"""A price older than this many seconds by its publish time opens nothing and holds exits."""
NO_READING = Reading(float("nan"), float("nan"))


class _Walk:
    """One agent taken through the recorded slots, in order."""

    def __init__(self, settings: AgentSettings) -> None:
        self.settings = settings
        self.rules = ExitRules(settings)
        self.session = Session(settings)
        self.sizing = Sizing(settings)
        self.running = True
        self.deleted = False
        self.schedule_start = settings.start_slot
        self.close_asked: str | None = None
        self.position: Position | None = None
        self.trades: list[Trade] = []
        self.lost_at: int | None = None
        self.opened_on: list[int] = []

    def command(self, command: Command) -> None:
        if self.deleted:
            return
        if isinstance(command, Start):
            if not self.running:
                self.running = True
                self.schedule_start = command.slot
                self.session.restart()
                self.close_asked = None
            return
        self.running = False
        self.deleted = command.delete
        self.close_asked = None  # the last word on the position counts
        if self.position is not None and (command.close_position or command.delete):
            self.close_asked = "deleted" if command.delete else "stopped"

    def slot(
        self, slot: int, price: Decimal | None, signal: float | None, reading: Reading
    ) -> None:
        """One slot; `price` is None where there is none or it is stale."""
        closed_here = False
        watched = self.running or self.close_asked is not None
        if self.position is not None and price is not None and watched:
            reason = self._exit_reason(self.position, slot, price)
            if reason is not None:
                self._close(self.position, slot, price, reason)
                closed_here = True
            else:
                self.rules.follow(self.position, price)
                self.session.follow(self.session.result(self.position, price))
        if not self._due(slot) or closed_here:
            return
        if price is None or not signal or not self.settings.threshold <= abs(signal) < INFINITE:
            return  # no price, no signal, none in either direction (0), no number, or too weak
        direction = 1 if signal > 0 else -1
        if self.position is None:
            if self._may_open(slot):
                self._open(slot, price, direction, reading)
        elif self.position.direction != direction:
            self._close(self.position, slot, price, "signal")

    def _due(self, slot: int) -> bool:
        waited = slot - self.schedule_start
        return self.running and waited >= 0 and waited % self.settings.interval == 0

    def _exit_reason(self, position: Position, slot: int, price: Decimal) -> str | None:
        if not position.ahead_of(position.bankrupt, price):
            return "liquidation"
        if self.close_asked is not None:
            return self.close_asked
        reason = self.rules.hit(position, price)
        if reason is None:
            reason = self.session.over(self.session.result(position, price))
        if reason is None and self.rules.timed_out(position, slot):
            reason = "time_stop"
        return reason

    def _may_open(self, slot: int) -> bool:
        pause, most = self.settings.cooldown_seconds, self.settings.max_trades_per_day
        if pause is not None and self.lost_at is not None and slot - self.lost_at < pause:
            return False
        return most is None or self.opened_on.count(slot // DAY_S) < most

    def _open(self, slot: int, price: Decimal, direction: int, reading: Reading) -> None:
        atr, fraction = atr_of(reading), self.sizing.fraction(reading)
        if fraction is None or (self.rules.dynamic and atr is None):
            return
        entry = kept(price * (1 + direction * self.rules.slip))
        quantity = kept(self.session.size * fraction / entry, ROUND_FLOOR)
        if quantity == 0:
            return  # the money buys nothing
        self.opened_on.append(slot // DAY_S)
        self.position = Position(
            direction=direction,
            entry=entry,
            quantity=quantity,
            entry_fee=usd(quantity * entry * self.rules.fee),
            bankrupt=kept(entry * (1 - Decimal(direction) / self.settings.leverage)),
            opened_slot=slot,
            atr=atr,
            best=entry,
        )

    def _close(self, position: Position, slot: int, price: Decimal, reason: str) -> None:
        exit_price = kept(price * (1 - position.direction * self.rules.slip))
        if reason == "liquidation":
            better = max if position.direction > 0 else min
            exit_price = better(exit_price, position.bankrupt)
        exit_fee = usd(position.quantity * exit_price * self.rules.fee)
        pnl = position.gross(exit_price) - position.entry_fee - exit_fee
        self.trades.append(
            self._trade(position, exit_price, position.entry_fee + exit_fee, pnl, reason, slot)
        )
        self.position = None
        self.close_asked = None
        self.lost_at = slot if pnl < 0 else None
        self.sizing.count(pnl)
        self.session.close(pnl)
        over = self.session.over(self.session.result())
        if over is not None or reason in {"session_loss", "drawdown"}:
            self.running = False

    def _trade(
        self,
        position: Position,
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
    readings: Mapping[int, Mapping[int, Reading]] | None = None,
) -> list[Trade]:
    """All trades of the agents, by agent (in the order given) and then by opening.

    prices: slot -> symbol -> Price, for every slot that was run (a slot that is not a key was
    skipped: nothing happens in it). signals: slot -> plan id -> signal; NaN or absent: none.
    readings: slot -> plan id -> Reading, for agents that need one.
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
                reading = (readings or {}).get(slot, {}).get(settings.plan_id, NO_READING)
                walk.slot(slot, usable[slot].get(settings.symbol), signal, reading)
            trades += walk.finished()
    return trades


def _usable(slot: int, frame: Mapping[str, Price]) -> dict[str, Decimal]:
    """The prices of a frame that are there and not stale."""
    return {
        symbol: written(seen.price)
        for symbol, seen in frame.items()
        if 0 < seen.price < INFINITE and slot - seen.publish_time <= PRICE_STALE_S
    }
