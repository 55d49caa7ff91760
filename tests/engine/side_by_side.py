"""The engine's table and one reference for each of its rows, taken through the same slots.

After every slot all that can be seen of the two must be equal: every field of every row, every
event with the row after it, the counts of ticks, and the next slot with work.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from engine.commands import Command
from engine.events import Event
from engine.rows import ROW, Floats, Rows, empty_rows
from engine.schedule import Folded, SkippedRange, counts, fold_skipped, next_due
from engine.schemas import rows_from_bytes
from engine.tick import Outcome, SlotInputs, advance, apply_inbox
from tests.engine.reference import Reference
from tests.engine.reference_agent import Agent, Said, Seen
from tests.engine.reference_rules import break_even
from tests.engine.scenarios import ROWS, Quote, Scenario, Step, ToLevel, Wish

# Kept by the engine so that it can derive the counts; the counts themselves are compared.
DERIVED = {"ticks_base", "missed_base"}
NAMES = tuple(name for name in ROW.names or () if name not in DERIVED)


@dataclass(frozen=True)
class Played:
    """One call of the engine, to be made again; `run` is False for an inbox alone.

    `skipped` is what the head holds after it, before the oldest ranges are folded into the rows.
    """

    run: bool
    inputs: SlotInputs
    skipped: tuple[SkippedRange, ...]

    def call(self, rows: Rows) -> Outcome:
        inputs = self.inputs
        if self.run:
            return advance(rows, inputs)
        head = inputs.skipped, inputs.folded_slot
        return apply_inbox(rows, inputs.slot, inputs.commands, *head, inputs.symbol)

    def fold(self, rows: Rows) -> Folded:
        return fold_skipped(rows, self.inputs.slot, self.skipped, self.inputs.folded_slot)


def row_values(row: np.void) -> dict[str, object]:
    """The record as plain Python values by name."""
    values = dict(zip(ROW.names or (), row.item(), strict=True))
    return {name: values[name] for name in NAMES}


def event_values(event: Event) -> dict[str, object]:
    """The event as a reference says it; its row as the record's plain values."""
    after = rows_from_bytes(event.row_after)[0]
    assert (event.agent_id, event.seq) == (after["agent_id"].tobytes(), after["seq"])
    values: dict[str, object] = {
        each.name: getattr(event, each.name) for each in fields(Said) if each.name != "after"
    }
    return values | {"after": row_values(after)}


def said_values(said: Said) -> dict[str, object]:
    values: dict[str, object] = {
        each.name: getattr(said, each.name) for each in fields(Said) if each.name != "after"
    }
    return values | {"after": agent_values(said.after)}


def agent_values(agent: Agent) -> dict[str, object]:
    return {name: getattr(agent, name) for name in NAMES}


def seen_by_plan(inputs: SlotInputs) -> dict[int, Seen]:
    """What each plan sees; one beyond the arrays sees nothing but may have failed."""
    plans = range(len(inputs.price))
    seen = {
        plan: Seen(
            price=float(inputs.price[plan]),
            fresh=bool(inputs.fresh[plan]),
            signal=float(inputs.signal[plan]),
            failed=inputs.failed.get(plan),
            atr_fraction=_reading(inputs.atr_fraction, plan),
            volatility=_reading(inputs.volatility, plan),
            cannot_run=inputs.cannot_run.get(plan),
            symbol=int(inputs.symbol[plan])
            if inputs.symbol is not None and plan < len(inputs.symbol)
            else -1,
        )
        for plan in plans
    }
    beyond = {plan: Seen(failed=text) for plan, text in inputs.failed.items()}
    return beyond | seen


def _reading(values: Floats | None, plan: int) -> float:
    return math.nan if values is None else float(values[plan])


class SideBySide:
    """Plays a scenario; `journal` keeps the calls and `events` what the engine said."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.rows = empty_rows(ROWS)
        self.references = [Reference() for _ in range(ROWS)]
        self.prices = list(scenario.first_prices)
        self.slot = scenario.first_slot - 1
        self.skipped: tuple[SkippedRange, ...] = ()
        self.folded_slot = -1
        self.journal: list[Played] = []
        self.events: list[Event] = []
        self.newcomers = 0

    def play(self) -> None:
        for step in self.scenario.steps:
            for _ in range(step.gap.skipped):
                self._slot(step, run=False, commands=())
            self._slot(step, run=step.gap.run, commands=self._commands(step.wishes))

    def _slot(self, step: Step, *, run: bool, commands: Sequence[Command]) -> None:
        self.slot += 1
        for plan, quote in enumerate(step.quotes if run else ()):
            self.prices[plan] = self._moved(self.prices[plan], quote)
        inputs = self._inputs(step, commands)
        if not run:
            self._skip(paused=step.gap.paused)
        played = Played(run, inputs, self.skipped)
        before, stood = self.rows, self.rows.tobytes()
        outcome = played.call(before)
        assert before.tobytes() == stood, "the given table was written"
        plans = seen_by_plan(inputs)
        said = [
            reference.run(self.slot, plans, theirs, entries=step.entries, halt=step.halt)
            if run
            else reference.skip(self.slot, plans, theirs, paused=step.gap.paused)
            for row, reference in enumerate(self.references)
            for theirs in [[each for each in commands if each.row == row]]
        ]
        self.journal.append(played)
        self.events += outcome.events
        self._compare(before, outcome, said)
        self.rows, skipped, self.folded_slot = played.fold(outcome.rows)
        self.skipped = tuple(skipped)
        self._compare_schedule()

    # What the slot holds

    def _moved(self, price: float, quote: Quote) -> float:
        if not isinstance(quote.move, ToLevel):
            return min(max(price * quote.move, 1e-8), 1e8)
        agent = self.references[quote.move.row].agent
        if not agent.side:
            return price
        at_cost = quote.move.level == "break_even_price"
        level: float = break_even(agent) if at_cost else getattr(agent, quote.move.level)
        return level if level > 0 else price

    def _inputs(self, step: Step, commands: Sequence[Command]) -> SlotInputs:
        replaced = [each.seeing.replaced_by for each in step.quotes]
        price = [p if r is None else r for p, r in zip(self.prices, replaced, strict=True)]
        return SlotInputs(
            slot=self.slot,
            price=np.array(price),
            fresh=np.array([each.seeing.fresh for each in step.quotes]),
            signal=np.array([each.signal for each in step.quotes]),
            failed={} if step.failed is None else {step.failed: f"plan {step.failed} raised"},
            commands=tuple(commands),
            skipped=self.skipped,
            folded_slot=self.folded_slot,
            entries=step.entries,
            halt=step.halt,
            atr_fraction=self._readings(step, "atr_fraction"),
            volatility=self._readings(step, "volatility"),
            cannot_run={
                plan: f"plan {plan} has too few bars"
                for plan, each in enumerate(step.quotes)
                if each.cannot_run
            },
            symbol=None
            if self.scenario.symbols is None
            else np.array(self.scenario.symbols, np.int64),
        )

    def _readings(self, step: Step, name: str) -> Floats | None:
        return np.array([getattr(each, name) for each in step.quotes]) if step.readings else None

    def _commands(self, wishes: Sequence[Wish]) -> list[Command]:
        """Epochs go on from what the row has or was sent before in the same slot."""
        newest = [reference.agent.epoch for reference in self.references]
        commands: list[Command] = []
        for wish in wishes:
            epoch = max(newest[wish.row] + wish.epoch_step, 1)
            newest[wish.row] = max(newest[wish.row], epoch)
            commands += [self._command(wish, epoch)] * wish.times
        return commands

    def _command(self, wish: Wish, epoch: int) -> Command:
        configuration = self.scenario.configurations[wish.configuration]
        agent_id = self.references[wish.row].agent.agent_id
        if wish.newcomer or agent_id == bytes(16):
            self.newcomers += 1
            agent_id = bytes([wish.row]) + self.newcomers.to_bytes(14, "big") + b"\0"
        return Command(
            agent_id=agent_id,
            row=wish.row,
            epoch=epoch,
            wanted=wish.wanted,
            close_position=wish.close_position,
            asked_epoch=0 if wish.asked_before is None else max(epoch - wish.asked_before, 0),
            **vars(configuration),
        )

    def _skip(self, *, paused: bool) -> None:
        last = self.skipped[-1] if self.skipped else None
        if last is not None and last.last == self.slot - 1 and last.paused == paused:
            grown = SkippedRange(last.first, self.slot, paused)
            self.skipped = (*self.skipped[:-1], grown)
        else:
            self.skipped = (*self.skipped, SkippedRange(self.slot, self.slot, paused))

    # What must be equal

    def _compare(self, before: Rows, outcome: Outcome, said: list[list[Said]]) -> None:
        by_row: dict[int, list[Event]] = defaultdict(list)
        for event in outcome.events:
            by_row[event.row].append(event)
        for row, reference in enumerate(self.references):
            expected = [said_values(each) for each in said[row]]
            assert [event_values(each) for each in by_row[row]] == expected
            assert row_values(outcome.rows[row]) == agent_values(reference.agent)
        differing = [
            row for row in range(ROWS) if before[row].tobytes() != outcome.rows[row].tobytes()
        ]
        assert outcome.changed.tolist() == differing
        assert {row for row in by_row if by_row[row]} <= set(differing)
        assert (outcome.rows is before) == (not differing)

    def _compare_schedule(self) -> None:
        for row, reference in enumerate(self.references):
            got = counts(self.rows[row], self.slot, self.skipped, self.folded_slot)
            assert got == (reference.ticks, reference.missed), f"ticks and missed of row {row}"
        agents = [reference.agent for reference in self.references]
        coming = range(self.slot + 1, self.slot + 9)
        work = (s for s in coming if any(each.watched or each.due(s) for each in agents))
        assert next_due(self.rows, self.slot) == next(work, None)
