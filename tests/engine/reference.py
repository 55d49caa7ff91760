"""One agent, one slot after the other, in plain Python: what the engine must do, to be read.

Written from the rules and not from the engine, nothing clever. In a slot commands come first, then
exits, then the signal. Ticks are counted one by one here, where the engine derives them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.commands import Command
from tests.engine import reference_rules as rules
from tests.engine.reference_agent import (
    Action,
    Flag,
    Halt,
    Reason,
    Said,
    Seen,
    Status,
    floor_quantity,
    round_price,
    round_usd,
)
from tests.engine.reference_commands import Commanded


class Reference(Commanded):
    """One row taken through the slots; `ticks` and `missed` are what its owner is told."""

    def skip(
        self, slot: int, plans: Mapping[int, Seen], commands: Sequence[Command], *, paused: bool
    ) -> list[Said]:
        """A slot that is not run: only its commands apply; a due tick is missed or paused."""
        self.slot, self.plans, self.said = slot, plans, []
        for command in commands:
            self._command(command)
        if self.agent.due(slot) and not paused:
            self.missed += 1
        return self.said

    def run(
        self,
        slot: int,
        plans: Mapping[int, Seen],
        commands: Sequence[Command],
        *,
        entries: bool = True,
        halt: int = Halt.ACTIVE,
    ) -> list[Said]:
        """A slot that is run: commands, what is said of stale prices, exits or else what follows
        the price, what is said of a strategy that cannot run, then the signal.
        """
        self.slot, self.plans, self.said = slot, plans, []
        for command in commands:
            self._command(command)
        agent = self.agent
        seen = plans.get(agent.plan_id, Seen())
        due = agent.due(slot)
        if due:
            self.ticks += 1
        if due or agent.watched:
            self._stale_or_fresh(seen)
        closed = False
        if agent.watched and seen.usable:
            closed = self._exit(seen.price, halt)
            if not closed:
                rules.follow(agent, seen.price)
        if due and agent.status == Status.RUNNING:
            if seen.failed is not None:
                agent.status, agent.status_reason = Status.ERROR, Reason.PLAN_FAILED
                self._say("failed", reason=Reason.PLAN_FAILED, text=seen.failed)
            else:
                self._ready_or_not(seen)
                if seen.usable and not closed:
                    self._signal(seen, entries and halt == Halt.ACTIVE, halt)
        return self.said

    # Prices and signals

    def _stale_or_fresh(self, seen: Seen) -> None:
        """Each is said once."""
        agent = self.agent
        if not seen.usable and not agent.has(Flag.STALE_SAID):
            agent.flags |= Flag.STALE_SAID
            self._say("stale")
        elif seen.usable and agent.has(Flag.STALE_SAID):
            agent.flags &= ~Flag.STALE_SAID
            self._say("fresh")

    def _ready_or_not(self, seen: Seen) -> None:
        """Also said once: that its strategy cannot run, or that it lacks a reading to trade on."""
        agent = self.agent
        why = seen.cannot_run
        if why is None and agent.dynamic and not rules.atr_ppm(seen.atr_fraction):
            why = "the ATR is not known: no entry with a dynamic stop"
        if why is None and agent.by_volatility and not seen.volatility >= 0:
            why = "the volatility is not known: no entry of a size that is scaled by it"
        if why is not None and not agent.has(Flag.CANNOT_RUN_SAID):
            agent.flags |= Flag.CANNOT_RUN_SAID
            self._say("cannot_run", text=why)
        elif why is None and agent.has(Flag.CANNOT_RUN_SAID):
            agent.flags &= ~Flag.CANNOT_RUN_SAID
            self._say("can_run")

    def _exit(self, price: float, halt: int) -> bool:
        """Closes for the first reason that holds, if any."""
        agent = self.agent
        if agent.reached(price, agent.liquidation_price):
            reason = int(Reason.LIQUIDATION)
        elif agent.has(Flag.CLOSING):
            reason = agent.close_reason
        elif agent.stop_loss_price > 0 and agent.reached(price, agent.stop_loss_price):
            moved = rules.stop_has_moved(agent)
            reason = Reason.TRAILING_STOP if moved else Reason.STOP_LOSS
        elif agent.take_profit_price > 0 and agent.passed(price, agent.take_profit_price):
            reason = Reason.TAKE_PROFIT
        elif rules.session_lost(agent, rules.session_result(agent, price)):
            reason = Reason.SESSION_LOSS
        elif rules.drawn_down(agent, rules.session_result(agent, price)):
            reason = Reason.DRAWDOWN
        elif halt != Halt.HALTED and rules.timed_out(agent, self.slot):
            reason = Reason.TIME_STOP
        else:
            return False
        self._close(price, reason, signal=0.0)
        return True

    def _signal(self, seen: Seen, entries: bool, halt: int) -> None:
        """Flat: open in its direction. Open: close if it is of the other. A signal has a size."""
        agent, signal = self.agent, seen.signal
        if not math.isfinite(signal) or signal == 0 or abs(signal) < agent.threshold:
            return
        direction = 1 if signal > 0 else -1
        if agent.side == 0:
            if entries and rules.may_open(agent, self.slot):
                self._open(seen, direction)
        elif agent.side != direction and Halt.HALTED not in (agent.halt, halt):
            self._close(seen.price, Reason.SIGNAL, signal)

    # Fills

    def _fill(self, price: float, direction: int) -> float:
        """The price moved against whoever buys (+1) or sells (-1)."""
        return round_price(price * (1.0 + direction * (self.agent.slippage_cbps / 1e6)))

    def _fee(self, quantity: float, fill: float) -> float:
        return round_usd(quantity * fill * (self.agent.fee_cbps / 1e6))

    def _open(self, seen: Seen, direction: int) -> None:
        """Not where a stop or a size needs a reading that is not there."""
        agent, atr = self.agent, rules.atr_ppm(seen.atr_fraction)
        if (agent.dynamic and not atr) or (agent.by_volatility and not seen.volatility >= 0):
            return
        fill = self._fill(seen.price, direction)
        quantity = floor_quantity(rules.notional(agent, seen.volatility) / fill)
        if not quantity > 0:
            return
        fee = self._fee(quantity, fill)
        agent.side, agent.entry_price, agent.quantity = direction, fill, quantity
        agent.entry_fee_usd = fee
        agent.fees_usd = round_usd(agent.fees_usd + fee)
        agent.best_price, agent.entry_atr_ppm = fill, atr
        agent.trades_that_day = min(rules.opened_today(agent, self.slot) + 1, rules.COUNT_MAX)
        agent.opened_slot = agent.action_slot = self.slot
        agent.last_action = Action.OPEN_LONG if direction > 0 else Action.OPEN_SHORT
        agent.last_reason = Reason.SIGNAL
        agent.trade_seq = agent.seq + 1
        self._set_exit_prices()
        self._say("opened", reason=Reason.SIGNAL)
        self.said[-1] = replace(
            self.said[-1],
            price=fill,
            side=direction,
            quantity=quantity,
            fee_usd=fee,
            entry_price=fill,
            entry_fee_usd=fee,
            opened_slot=self.slot,
            trade_seq=agent.seq,
            leverage=agent.leverage,
            open_reason=Reason.SIGNAL,
            signal=seen.signal,
        )

    def _close(self, price: float, reason: int, signal: float) -> None:
        """Books the result; then the agent is gone if it was to be deleted, or stops if it lost."""
        agent = self.agent
        was = replace(agent)
        fill = self._fill(price, -was.side)
        if reason == Reason.LIQUIDATION:
            worst = was.liquidation_price
            fill = max(fill, worst) if was.side > 0 else min(fill, worst)
        fee = self._fee(was.quantity, fill)
        pnl = round_usd(was.gross(fill) - was.entry_fee_usd - fee)
        agent.realized_pnl_usd = round_usd(was.realized_pnl_usd + pnl)
        agent.fees_usd = round_usd(was.fees_usd + fee)
        agent.side = 0
        agent.entry_price = agent.quantity = agent.entry_fee_usd = 0.0
        agent.stop_loss_price = agent.take_profit_price = 0.0
        agent.best_price, agent.entry_atr_ppm = 0.0, 0
        agent.flags &= ~(Flag.BREAK_EVEN | Flag.LAST_LOST)
        if pnl < 0:
            agent.flags |= Flag.LAST_LOST
        rules.count_result(agent, pnl)
        if agent.max_drawdown_bps:
            result = round_usd(agent.realized_pnl_usd - agent.session_base_usd)
            agent.session_peak_usd = max(agent.session_peak_usd, result)
        self._ask_no_close()
        agent.last_action, agent.last_reason = Action.CLOSE, reason
        agent.action_slot = self.slot
        self._say("closed", reason=reason)
        self.said[-1] = replace(
            self.said[-1],
            price=fill,
            side=was.side,
            quantity=was.quantity,
            fee_usd=fee,
            pnl_usd=pnl,
            entry_price=was.entry_price,
            entry_fee_usd=was.entry_fee_usd,
            opened_slot=was.opened_slot,
            trade_seq=was.trade_seq,
            leverage=was.leverage,
            open_reason=was.last_reason,
            signal=signal,
        )
        self._after_close(reason)

    def _after_close(self, reason: int) -> None:
        agent = self.agent
        if agent.has(Flag.DELETING):
            self._forget()
            self._say("deleted", reason=Reason.DELETED)
            return
        result = round_usd(agent.realized_pnl_usd - agent.session_base_usd)
        if agent.status not in (Status.RUNNING, Status.ERROR):
            return
        if reason == Reason.SESSION_LOSS or rules.session_lost(agent, result):
            why = Reason.SESSION_LOSS
        elif reason == Reason.DRAWDOWN or rules.drawn_down(agent, result):
            why = Reason.DRAWDOWN
        else:
            return
        agent.status, agent.status_reason = Status.STOPPED, why
        self._say("stopped", reason=why)
