"""What a command does to one agent, in plain Python: the first half of the scalar reference."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engine.commands import Command, ExitMode, SizingMode, Wanted
from tests.engine import reference_rules as rules
from tests.engine.reference_agent import Agent, Flag, Halt, Reason, Said, Seen, Status, round_usd


@dataclass
class Commanded:
    """One row and what is done to it in a slot; `plans` is what the slot knows of each plan."""

    agent: Agent = field(default_factory=Agent)
    ticks: int = 0
    missed: int = 0
    slot: int = 0
    said: list[Said] = field(default_factory=list)
    plans: Mapping[int, Seen] = field(default_factory=dict)

    def _say(self, kind: str, *, reason: int = Reason.NONE, text: str = "") -> None:
        self.agent.seq += 1
        after = replace(self.agent)
        self.said.append(Said(kind, after, self.slot, after.seq, reason=reason, text=text))

    def _command(self, command: Command) -> None:
        """The whole wanted state; only a newer epoch counts, and only for the row's own agent."""
        agent = self.agent
        free = agent.status == Status.FREE
        if command.epoch <= agent.epoch or not (free or agent.agent_id == command.agent_id):
            return
        heard_before = command.asked_epoch and agent.epoch >= command.asked_epoch
        goes_on = agent.status if heard_before else command.wanted
        if goes_on == Status.RUNNING and not agent.has(Flag.DELETING) and self._moves(command):
            if not agent.has(Flag.MOVING):
                agent.flags |= Flag.CLOSING | Flag.MOVING
                agent.close_reason = Reason.STOPPED
                self._say("moving")
            return
        if agent.agent_id != command.agent_id:
            agent.agent_id, agent.seq = command.agent_id, 0
        agent.epoch = command.epoch
        if command.wanted == Wanted.DELETED or agent.has(Flag.DELETING):
            self._delete()
        elif free:
            self._create(command)
        elif command.wanted == Wanted.STOPPED and not heard_before:
            self._stop(command)
        elif command.wanted == Wanted.FAILED and not heard_before:
            self._fail(command)
        elif agent.status == Status.RUNNING or heard_before:
            self._edit(command)
        else:
            self._start(command)

    def _moves(self, command: Command) -> bool:
        """The open position is on another symbol than the command's plan, if both are known."""
        here = self.plans.get(self.agent.plan_id, Seen()).symbol
        there = self.plans.get(command.plan_id, Seen()).symbol
        return self.agent.side != 0 and here >= 0 and there >= 0 and here != there

    def _edit(self, command: Command) -> None:
        """`edited` says that something else than the halt is new, or that nothing is."""
        agent = self.agent
        before = replace(agent)
        if agent.status == Status.RUNNING and command.interval != agent.interval:
            agent.start_slot = self.slot
        self._take_settings(command)
        if replace(before, halt=agent.halt) != agent or before.halt == agent.halt:
            self._say("edited")
        self._say_halt(before.halt)

    def _say_halt(self, before: int) -> None:
        if self.agent.halt != before:
            self._say({0: "resumed", 1: "reducing", 2: "halted"}[self.agent.halt])

    def _create(self, command: Command) -> None:
        self._forget()
        self._take_settings(command)
        if command.wanted in (Wanted.STOPPED, Wanted.FAILED):
            self.agent.status = Status.STOPPED
            self._say("created")
        else:
            self.agent.status = Status.RUNNING
            self.agent.start_slot = self.slot
            self._say("created")
            self._say("started")
        self._say_halt(Halt.ACTIVE)
        if command.wanted == Wanted.FAILED:
            self._not_stored()

    def _fail(self, command: Command) -> None:
        """Who stands already is edited; open positions keep their exits."""
        if self.agent.status != Status.RUNNING:
            self._edit(command)
            return
        before = self.agent.halt
        self._take_settings(command)
        self._not_stored()
        self._say_halt(before)

    def _not_stored(self) -> None:
        self.agent.status, self.agent.status_reason = Status.ERROR, Reason.PLAN_FAILED
        self._say("failed", text="an event of it could not be stored; its log says which, and why")

    def _start(self, command: Command) -> None:
        agent = self.agent
        agent.status, agent.status_reason = Status.RUNNING, Reason.NONE
        agent.start_slot = self.slot
        agent.session_base_usd = agent.realized_pnl_usd
        agent.session_peak_usd = 0.0
        self._ask_no_close()
        before = agent.halt
        self._take_settings(command)
        self._say("started")
        self._say_halt(before)

    def _stop(self, command: Command) -> None:
        agent = self.agent
        agent.status, agent.status_reason = Status.STOPPED, Reason.BY_USER
        before = agent.halt
        self._take_settings(command)
        self._ask_no_close()
        if agent.side and command.close_position:
            agent.flags |= Flag.CLOSING
            agent.close_reason = Reason.STOPPED
        self._say("stopped", reason=Reason.BY_USER)
        self._say_halt(before)

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
        """All of them, but an open position keeps its leverage and its symbol; its stop and target
        move. Marks that were not kept so far begin at the entry, and at what the session has won.
        """
        agent = self.agent
        if command.trailing_stop_bps and not agent.trailing_stop_bps:
            agent.best_price = agent.entry_price
        if command.max_drawdown_bps and not agent.max_drawdown_bps:
            won = round_usd(agent.realized_pnl_usd - agent.session_base_usd)
            agent.session_peak_usd = max(won, 0.0)
        if not self._moves(command):
            agent.plan_id = command.plan_id
        agent.interval = command.interval
        agent.threshold = command.threshold
        agent.max_position_usd = command.max_position_usd
        agent.stop_loss_ppm = command.stop_loss_ppm
        agent.take_profit_ppm = command.take_profit_ppm
        agent.fee_cbps = command.fee_cbps
        agent.slippage_cbps = command.slippage_cbps
        agent.max_session_loss_usd = command.max_session_loss_usd
        agent.time_stop_s = command.time_stop_s
        agent.cooldown_s = command.cooldown_s
        agent.atr_multiple_centi = command.atr_multiple_centi
        agent.reward_risk_centi = command.reward_risk_centi
        agent.trailing_stop_bps = command.trailing_stop_bps
        agent.break_even_bps = command.break_even_bps
        agent.max_drawdown_bps = command.max_drawdown_bps
        agent.max_trades_per_day = command.max_trades_per_day
        agent.halt = int(command.halt)
        agent.dynamic = command.tp_sl_mode == ExitMode.DYNAMIC
        agent.by_kelly = command.sizing_mode == SizingMode.KELLY
        agent.by_volatility = command.sizing_mode == SizingMode.VOL_SCALING
        agent.flags &= ~Flag.MOVING
        if not command.break_even_bps:
            agent.flags &= ~Flag.BREAK_EVEN
        if agent.side == 0:
            agent.leverage = command.leverage
        else:
            self._set_exit_prices()

    def _set_exit_prices(self) -> None:
        self.agent.stop_loss_price = rules.stop(self.agent)
        self.agent.take_profit_price = rules.target(self.agent)
