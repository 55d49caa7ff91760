"""The undisturbed run beside a chaotic one: the same frames, signals and stamped commands, every
slot in order, nothing dies. What it decides is held against the journal, and the journal against
trades, logs and rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any
from uuid import UUID

import numpy as np

from adapters.slot_readings import decode_readings, decode_signals
from bench.chaos_market import MarketRecording
from bench.stack import Stack
from engine.events import Event, decode_event, event_id, log_lines
from engine.frames import PRICE_STALE_S, TIMEFRAME_NAMES, TIMEFRAMES, decode_frame
from engine.replay import difference, row_difference, split_commanded
from engine.rows import ROW_SCHEMA, ROWS_PER_SHARD, Reason, Rows, empty_rows
from engine.schemas import record_from_bytes, record_schema
from engine.tick import SlotInputs, advance
from strategies.sizing import volatility_per_atr

Floats = np.ndarray[Any, np.dtype[np.float64]]


LOST_SLOTS = 3
"""The slots whose signals a Redis without its last second may have lost: that of its end, and two
before it.
"""


@dataclass(frozen=True, slots=True)
class Plans:
    """Of each plan by id: symbol and timeframe, '' where there is none."""

    symbols: list[str]
    timeframes: list[str]


@dataclass(slots=True)
class Verdict:
    """What was compared, and what is not the same."""

    slots_run: int = 0
    slots_not_run: int = 0
    decisions: int = 0
    lacking: int = 0
    problems: list[str] = field(default_factory=list)


async def read_plans(stack: Stack) -> Plans:
    """All plans of the record."""
    found = await stack.sql("SELECT id, symbol, timeframe FROM plans")
    size = max((int(row[0]) for row in found), default=0) + 1
    symbols, timeframes = [""] * size, [""] * size
    for number, symbol, timeframe in found:
        symbols[number], timeframes[number] = symbol, timeframe
    return Plans(symbols, timeframes)


async def read_journal(stack: Stack) -> dict[int, dict[int, list[Event]]]:
    """Every event, by shard and slot, in the order of each agent's numbers."""
    found = await stack.sql("SELECT shard, slot, payload FROM journal ORDER BY agent_id, seq")
    by_shard: dict[int, dict[int, list[Event]]] = {}
    for shard, slot, payload in found:
        event = decode_event(payload)
        by_shard.setdefault(shard, {}).setdefault(slot, []).append(event)
    return by_shard


class Undisturbed:
    """Runs shards again, slot by slot."""

    def __init__(self, market: MarketRecording, plans: Plans, losses: Sequence[float]) -> None:
        """losses: when Redis lost its last second, in Unix seconds."""
        self._market = market
        self._plans = plans
        self._lost = {int(at) - back for at in losses for back in range(LOST_SLOTS)}
        self.inputs = lru_cache(maxsize=1024)(self._inputs)

    def run(self, shard: int, events: Mapping[int, list[Event]], last: int, into: Verdict) -> Rows:
        """The shard's table after `last`, from nothing."""
        rows = empty_rows(ROWS_PER_SHARD)
        skipped = self._market.skipped.get(shard, set())
        for slot in range(min(events), last + 1):
            told = events.get(slot, [])
            commanded, decided = _split(told)
            rows = _with_rows(rows, commanded)
            inputs = self.inputs(slot)
            not_run = any(each.first <= slot <= each.last for each in skipped)
            if inputs is None and decided and not not_run:
                # Used, stored in PostgreSQL, and lost with Redis before anybody took it down.
                into.lacking += len(decided)
                rows = _with_rows(rows, decided)
                continue
            if inputs is None or not_run:
                into.slots_not_run += 1
                into.problems += [
                    f"shard {shard} slot {slot} was not run, but says {each.kind}"
                    for each in decided
                ]
                continue
            held = any(each.first <= slot <= each.last for each in self._market.held.get(shard, ()))
            outcome = advance(rows, replace(inputs, entries=not held))
            into.slots_run += 1
            into.decisions += len(decided)
            rows = outcome.rows
            wrong = list(_differences(shard, slot, outcome.events, decided))
            if len(wrong) == len(unseen := self._unseen(slot, rows, outcome.events, decided)):
                into.lacking += len(unseen)
            else:
                into.problems += wrong
            # After a difference it is another history; an older schema keeps less than the engine.
            older = [e for e in decided if record_schema(e.row_after) != ROW_SCHEMA]
            rows = _with_rows(rows, decided if wrong else older)
        return rows

    def _unseen(
        self, slot: int, rows: Rows, now: Sequence[Event], then: Sequence[Event]
    ) -> list[Event]:
        """Decisions from signals that were used, and lost with the last second of Redis before
        anybody took them down, while what came of them was in PostgreSQL already.
        """
        if slot not in self._lost:
            return []
        decided_now = {(event.agent_id, event.seq) for event in now}
        signals = decode_signals(self._market.signals.get(slot, b""))
        return [
            event
            for event in then
            if (event.agent_id, event.seq) not in decided_now
            and not signals.of(rows["plan_id"][event.row : event.row + 1].astype(np.int64)).known[0]
        ]

    def _inputs(self, slot: int) -> SlotInputs | None:
        data = self._market.frames.get(slot)
        if data is None:
            return None
        frame = decode_frame(data)
        signals = decode_signals(self._market.signals.get(slot, b""))
        readings, _ = decode_readings(self._market.readings.get(slot, b""))
        size = len(self._plans.symbols)
        of = signals.of(np.arange(size))
        price, fraction = np.full(size, np.nan), np.full(size, np.nan)
        per_atr, fresh = np.full(size, np.nan), np.zeros(size, np.bool_)
        places = {symbol: place for place, symbol in enumerate(frame.symbols)}
        for plan_id, symbol in enumerate(self._plans.symbols):
            place = places.get(symbol)
            if place is None:
                continue
            timeframe = self._plans.timeframes[plan_id]
            price[plan_id] = frame.price[place]
            fresh[plan_id] = frame.publish_time[place] >= slot - PRICE_STALE_S
            window = place * len(TIMEFRAMES) + TIMEFRAME_NAMES.index(timeframe)
            if window < len(readings):
                fraction[plan_id] = readings[window]
            per_atr[plan_id] = volatility_per_atr(TIMEFRAMES[timeframe])
        failed = np.flatnonzero(of.known & np.isnan(of.values)).tolist()
        return SlotInputs(
            slot=slot,
            price=price,
            fresh=fresh,
            signal=of.values,
            failed=dict.fromkeys(failed, "failed"),
            atr_fraction=fraction,
            volatility=fraction * per_atr,
            cannot_run=dict.fromkeys(np.flatnonzero(of.cannot_run).tolist(), "cannot run"),
        )


def _split(events: Sequence[Event]) -> tuple[list[Event], list[Event]]:
    """Events of a slot: those that answered commands, and decisions, over all agents."""
    by_agent: dict[bytes, list[Event]] = {}
    for event in events:
        by_agent.setdefault(event.agent_id, []).append(event)
    commanded: list[Event] = []
    decided: list[Event] = []
    for own in by_agent.values():
        first, rest = split_commanded(own)
        commanded += first
        decided += rest
    return commanded, decided


def _with_rows(rows: Rows, events: Sequence[Event]) -> Rows:
    if not events:
        return rows
    rows = rows.copy()
    for event in events:
        rows[event.row] = record_from_bytes(event.row_after)[0]
    return rows


def _differences(
    shard: int, slot: int, now: Sequence[Event], then: Sequence[Event]
) -> Iterator[str]:
    mine = {(event.agent_id, event.seq): event for event in now}
    theirs = {(event.agent_id, event.seq): event for event in then}
    for key in mine.keys() | theirs.keys():
        place = f"shard {shard} slot {slot} agent {UUID(bytes=key[0])} event {key[1]}"
        if key not in theirs:
            yield f"{place}: {mine[key].kind} is not on record"
        elif key not in mine:
            yield f"{place}: {theirs[key].kind} is not decided by the undisturbed run"
        elif wrong := difference(mine[key], theirs[key]):
            yield f"{place}: {wrong}"


async def compare_rows(stack: Stack, shard: int, expected: Rows) -> list[str]:
    """The table in Redis with that of the undisturbed run."""
    state = await stack.shards.read(shard)
    assert state is not None
    return [
        f"shard {shard} row {row}: {wrong}"
        for row in range(len(state.rows))
        if (wrong := row_difference(state.rows[row], expected[row]))
    ]


async def compare_record(stack: Stack, events: Sequence[Event]) -> list[str]:
    """Trades and logs in PostgreSQL with what the events say: each once, no other."""
    trades, lines = expected_record(events)
    problems = []
    found = await stack.sql(
        "SELECT id, agent_id, side, quantity, entry_price, exit_price, fee_usd, pnl_usd,"
        " close_reason FROM trades"
    )
    stored = {row[0]: tuple(row[1:]) for row in found}
    for key in stored.keys() | trades.keys():
        if key not in stored or key not in trades:
            problems.append(f"trade {key} is {'not on record' if key in trades else 'nobody`s'}")
        elif _as_floats(stored[key]) != trades[key]:
            problems.append(f"trade {key}: {stored[key]} on record, {trades[key]} decided")
    logs: dict[tuple[UUID, str, str, int], int] = {}
    for agent_id, level, message, slot in await stack.sql(
        "SELECT agent_id, level, message, extract(epoch from ts)::bigint FROM logs"
    ):
        key = agent_id, level, message, slot
        logs[key] = logs.get(key, 0) + 1
    for line in logs.keys() | lines.keys():
        if logs.get(line, 0) != lines.get(line, 0):
            problems.append(f"log {line}: {logs.get(line, 0)} on record, {lines.get(line, 0)} said")
    return problems


def expected_record(
    events: Sequence[Event],
) -> tuple[dict[UUID, tuple[Any, ...]], dict[tuple[UUID, str, str, int], int]]:
    """Trades by id and log lines, counted, that these events make."""
    trades: dict[UUID, tuple[Any, ...]] = {}
    lines: dict[tuple[UUID, str, str, int], int] = {}
    for event in events:
        agent = UUID(bytes=event.agent_id)
        side = "long" if event.side > 0 else "short"
        if event.kind == "opened":
            fee = float(str(event.fee_usd))
            opened = (agent, side, event.quantity, event.price, None, fee, None, None)
            trades[event_id(event.agent_id, event.seq)] = opened
        elif event.kind == "closed":
            trades[event_id(event.agent_id, event.trade_seq)] = (
                agent, side, event.quantity, event.entry_price, event.price,
                round(event.entry_fee_usd + event.fee_usd, 8), event.pnl_usd,
                Reason(event.reason).name.lower(),
            )  # fmt: skip
        for level, message in log_lines(event):
            line = agent, level, message, event.slot
            lines[line] = lines.get(line, 0) + 1
    return trades, lines


def _as_floats(row: Sequence[Any]) -> tuple[Any, ...]:
    agent, side, *numbers, reason = row
    return agent, side, *(None if each is None else float(each) for each in numbers), reason
