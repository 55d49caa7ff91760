"""One agent, one slot after the other, in plain Python: what the engine must do, to be read.

Written from the rules and not from the engine, nothing clever. In a slot commands come first, then
exits, then the signal. Ticks are counted one by one here, where the engine derives them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.commands import Command, Wanted
from tests.engine.reference_agent import (
    Action,
    Agent,
    Flag,
    Reason,
    Said,
    Seen,
    Status,
    floor_quantity,
    round_price,
    round_usd,
)


@dataclass
class Reference:
    """One row taken through the slots; `ticks` and `missed` are what its owner is told."""

    agent: Agent = field(default_factory=Agent)
    ticks: int = 0
    missed: int = 0
    slot: int = 0
    said: list[Said] = field(default_factory=list)

    def skip(self, slot: int, commands: Sequence[Command], *, paused: bool) -> list[Said]:
        """A slot that is not run: only its commands apply; a due tick is missed or paused."""
        self.slot, self.said = slot, []
        for command in commands:
            self._command(command)
        if self.agent.due(slot) and not paused:
            self.missed += 1
        return self.said

    def run(self, slot: int, plans: Mapping[int, Seen], commands: Sequence[Command]) -> list[Said]:
        """A slot that is run: commands, what is said of stale prices, exits, then the signal."""
        self.slot, self.said = slot, []
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
            closed = self._exit(seen.price)
        if due and agent.status == Status.RUNNING:
            if seen.failed is not None:
                agent.status, agent.status_reason = Status.ERROR, Reason.PLAN_FAILED
                self._say("failed", reason=Reason.PLAN_FAILED, text=seen.failed)
            elif seen.usable and not closed:
                self._signal(seen.price, seen.signal)
        return self.said

    def _say(self, kind: str, *, reason: int = Reason.NONE, text: str = "") -> None:
        self.agent.seq += 1
        after = replace(self.agent)
        self.said.append(Said(kind, after, self.slot, after.seq, reason=reason, text=text))

    # Commands

    def _command(self, command: Command) -> None:
        """The whole wanted state; only a newer epoch counts, and only for the row's own agent."""
        agent = self.agent
        free = agent.status == Status.FREE
        if command.epoch <= agent.epoch or not (free or agent.agent_id == command.agent_id):
            return
        if agent.agent_id != command.agent_id:
            agent.agent_id, agent.seq = command.agent_id, 0
        heard_before = command.asked_epoch and agent.epoch >= command.asked_epoch
        agent.epoch = command.epoch
        if command.wanted == Wanted.DELETED or agent.has(Flag.DELETING):
            self._delete()
        elif free:
            self._create(command)
        elif command.wanted == Wanted.STOPPED and not heard_before:
            self._stop(command)
        elif agent.status == Status.RUNNING or heard_before:
            if agent.status == Status.RUNNING and command.interval != agent.interval:
                agent.start_slot = self.slot
            self._take_settings(command)
            self._say("edited")
        else:
            self._start(command)

    def _create(self, command: Command) -> None:
        self._forget()
        self._take_settings(command)
        if command.wanted == Wanted.STOPPED:
            self.agent.status = Status.STOPPED
            self._say("created")
            return
        self.agent.status = Status.RUNNING
        self.agent.start_slot = self.slot
        self._say("created")
        self._say("started")

    def _start(self, command: Command) -> None:
        agent = self.agent
        agent.status, agent.status_reason = Status.RUNNING, Reason.NONE
        agent.start_slot = self.slot
        agent.session_base_usd = agent.realized_pnl_usd
        self._ask_no_close()
        self._take_settings(command)
        self._say("started")

    def _stop(self, command: Command) -> None:
        agent = self.agent
        agent.status, agent.status_reason = Status.STOPPED, Reason.BY_USER
        self._take_settings(command)
        self._ask_no_close()
        if agent.side and command.close_position:
            agent.flags |= Flag.CLOSING
            agent.close_reason = Reason.STOPPED
        self._say("stopped", reason=Reason.BY_USER)

    def _delete(self) -> None:
        """A flat agent is gone at once; an open one stands, and is gone when it is closed."""
        agent = self.agent
        if agent.side == 0:
            self._forget()
            self._say("deleted", reason=Reason.DELETED)
            return
        agent.status, agent.status_reason = Status.STOPPED, Reason.DELETED
        agent.flags |= Flag.CLOSING | Flag.DELETING
        agent.close_reason = Reason.DELETED
        self._say("stopped", reason=Reason.DELETED)

    def _forget(self) -> None:
        """A free row keeps whose it was, the epoch and the event number: against late commands."""
        was = self.agent
        free = Agent(agent_id=was.agent_id, epoch=was.epoch, seq=was.seq)
        for name, value in vars(free).items():
            setattr(was, name, value)
        self.ticks = self.missed = 0

    def _ask_no_close(self) -> None:
        self.agent.flags &= ~Flag.CLOSING
        self.agent.close_reason = Reason.NONE

    def _take_settings(self, command: Command) -> None:
        """All of them, but an open position keeps its leverage; its stop and target move."""
        agent = self.agent
        agent.plan_id = command.plan_id
        agent.interval = command.interval
        agent.threshold = command.threshold
        agent.max_position_usd = command.max_position_usd
        agent.stop_loss_ppm = command.stop_loss_ppm
        agent.take_profit_ppm = command.take_profit_ppm
        agent.fee_cbps = command.fee_cbps
        agent.slippage_cbps = command.slippage_cbps
        agent.max_session_loss_usd = command.max_session_loss_usd
        if agent.side == 0:
            agent.leverage = command.leverage
        else:
            self._set_exit_prices()

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

    def _exit(self, price: float) -> bool:
        """Closes for the first reason that holds, if any."""
        agent = self.agent
        if agent.reached(price, agent.liquidation_price):
            reason = int(Reason.LIQUIDATION)
        elif agent.has(Flag.CLOSING):
            reason = agent.close_reason
        elif agent.stop_loss_price > 0 and agent.reached(price, agent.stop_loss_price):
            reason = Reason.STOP_LOSS
        elif agent.take_profit_price > 0 and agent.passed(price, agent.take_profit_price):
            reason = Reason.TAKE_PROFIT
        elif self._session_lost(price):
            reason = Reason.SESSION_LOSS
        else:
            return False
        self._close(price, reason, signal=0.0)
        return True

    def _session_lost(self, price: float) -> bool:
        agent = self.agent
        session = agent.realized_pnl_usd - agent.session_base_usd
        result = round_usd(session + agent.gross(price) - agent.entry_fee_usd)
        return 0 < agent.max_session_loss_usd <= -result

    def _signal(self, price: float, signal: float) -> None:
        """Flat: open in its direction. Open: close if it is of the other. A signal has a size."""
        agent = self.agent
        if not math.isfinite(signal) or signal == 0 or abs(signal) < agent.threshold:
            return
        direction = 1 if signal > 0 else -1
        if agent.side == 0:
            self._open(price, direction, signal)
        elif agent.side != direction:
            self._close(price, Reason.SIGNAL, signal)

    # Fills

    def _fill(self, price: float, direction: int) -> float:
        """The price moved against whoever buys (+1) or sells (-1)."""
        return round_price(price * (1.0 + direction * (self.agent.slippage_cbps / 1e6)))

    def _fee(self, quantity: float, fill: float) -> float:
        return round_usd(quantity * fill * (self.agent.fee_cbps / 1e6))

    def _set_exit_prices(self) -> None:
        """So many millionths of the entry against and for the position; 0 for none."""
        agent = self.agent
        entry, side = agent.entry_price, agent.side
        stop, target = agent.stop_loss_ppm, agent.take_profit_ppm
        agent.stop_loss_price = round_price(entry * (1.0 - side * stop / 1e6)) if stop else 0.0
        agent.take_profit_price = (
            round_price(entry * (1.0 + side * target / 1e6)) if target else 0.0
        )

    def _open(self, price: float, direction: int, signal: float) -> None:
        agent = self.agent
        fill = self._fill(price, direction)
        quantity = floor_quantity(agent.max_position_usd / fill)
        if not quantity > 0:
            return
        fee = self._fee(quantity, fill)
        agent.side, agent.entry_price, agent.quantity = direction, fill, quantity
        agent.entry_fee_usd = fee
        agent.fees_usd = round_usd(agent.fees_usd + fee)
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
            signal=signal,
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
        lost = reason == Reason.SESSION_LOSS or 0 < agent.max_session_loss_usd <= -result
        if lost and agent.status in (Status.RUNNING, Status.ERROR):
            agent.status, agent.status_reason = Status.STOPPED, Reason.SESSION_LOSS
            self._say("stopped", reason=Reason.SESSION_LOSS)
