"""`python -m workers.replay AGENT --from TIME --to TIME`: an agent's decisions, made once more.

From the journal and the archive in PostgreSQL alone, with the engine of this version: every slot
is run again and what it decides is held against what the pool decided then. The exit code is 1
when anything differs, 2 when it cannot be replayed.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from adapters import redis_keys as keys
from adapters.db import journal, plans
from adapters.db.connection import Database, close_database, open_database
from adapters.db.journal import JournalEntry
from adapters.db.plans import Plan
from adapters.errors import AdapterError
from adapters.log import configure_logging
from adapters.market_archive import BLOCK_SLOTS, Block, decode_block, read_minute
from adapters.redis_client import AWAY, Redis, open_redis
from adapters.settings import Settings, SettingsError, load_settings
from adapters.slot_readings import decode_readings, decode_signals
from engine.errors import EngineError
from engine.events import Event, decode_event, log_lines
from engine.frames import PRICE_STALE_S, TIMEFRAME_NAMES, TIMEFRAMES, Floats, decode_frame
from engine.replay import Replayed, commands_only, replay_slot, row_after
from engine.rows import Halt, Rows
from engine.schedule import SkippedRange
from engine.tick import SlotInputs
from strategies.sizing import volatility_per_atr

FAILED, CANNOT_RUN = "the strategy failed", "the strategy cannot run on its candles"
"""The words themselves are not recorded, and are not compared."""
LATER_BLOCKS = 15
"""Minutes after the end in whose blocks slots of before may still be told as not run."""
MARGIN_S = 5
LONGEST_S = 7 * 86_400


class CannotReplay(Exception):
    """What is needed is not kept, or was never there; the text says what."""


@dataclass(slots=True)
class Tally:
    """What a replay has come to."""

    run: int = 0
    not_run: int = 0
    lost: int = 0
    lacking: int = 0
    decisions: int = 0
    differences: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the answer: of a tick, or of an event; differs says what is not the same."""

    slot: int
    text: str
    differs: str = ""

    def __str__(self) -> str:
        moment = datetime.fromtimestamp(self.slot, UTC)
        mark = f"DIFFERS: {self.differs}; " if self.differs else ""
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}  {mark}{self.text}"


@dataclass(slots=True)
class Market:
    """The archive, a minute at a time, with the slots that each shard had not run."""

    database: Database
    redis: Redis
    shard: int
    skipped: dict[int, list[SkippedRange]] = field(default_factory=dict)
    held: dict[int, list[SkippedRange]] = field(default_factory=dict)
    _block: Block | None = None

    async def read_skipped(self, first_slot: int, last_slot: int) -> None:
        """Gathers the ranges that were not run from every block that may tell of them."""
        end = last_slot + LATER_BLOCKS * BLOCK_SLOTS
        for first in range(_minute(first_slot), end + 1, BLOCK_SLOTS):
            block = await self._read(first)
            for shard, ranges in (block.skipped if block else {}).items():
                self.skipped.setdefault(shard, []).extend(ranges)
            for shard, ranges in (block.held if block else {}).items():
                self.held.setdefault(shard, []).extend(ranges)

    def is_kept(self, slot: int) -> bool:
        """Whether the archive has the minute of the slot that was asked for last."""
        return self._block is not None and self._block.first_slot == _minute(slot)

    def was_skipped(self, shard: int, slot: int) -> bool:
        return any(each.first <= slot <= each.last for each in self.skipped.get(shard, ()))

    def was_held(self, shard: int, slot: int) -> Halt:
        """How far it was held back: REDUCING, too, where the ledger was too far behind."""
        told = self.held.get(shard, ())
        halts = [
            Halt.HALTED if each.paused else Halt.REDUCING
            for each in told
            if each.first <= slot <= each.last
        ]
        return max(halts, default=Halt.ACTIVE)

    async def inputs(self, slot: int, plan_id: int, plan: Plan) -> SlotInputs | None:
        """What a plan saw in a slot, None where the slot had no frame."""
        first = _minute(slot)
        if self._block is None or self._block.first_slot != first:
            self._block = await self._read(first)
        if self._block is None or slot not in self._block.frames:
            return None
        frame = decode_frame(self._block.frames[slot])
        signals = decode_signals(self._block.signals.get(slot, b""))
        of_windows, _ = decode_readings(self._block.readings.get(slot, b""))
        saw = signals.of(np.array([plan_id]))
        place = frame.find(plan.symbol)
        window = place * len(TIMEFRAMES) + TIMEFRAME_NAMES.index(plan.timeframe)
        fraction = of_windows[window] if place >= 0 and window < len(of_windows) else np.nan
        per_atr = volatility_per_atr(TIMEFRAMES[plan.timeframe])
        signal = saw.values[0]
        return SlotInputs(
            slot=slot,
            price=_of_plan(plan_id, frame.price[place] if place >= 0 else np.nan),
            fresh=np.full(
                plan_id + 1,
                place >= 0 and bool(frame.publish_time[place] >= slot - PRICE_STALE_S),
            ),
            signal=_of_plan(plan_id, signal),
            failed={plan_id: FAILED} if saw.known[0] and np.isnan(signal) else {},
            atr_fraction=_of_plan(plan_id, fraction),
            volatility=_of_plan(plan_id, fraction * per_atr),
            cannot_run={plan_id: CANNOT_RUN} if saw.cannot_run[0] else {},
        )

    async def _read(self, first_slot: int) -> Block | None:
        """From the archive; what is too young for it from Redis, as long as that answers."""
        data = await journal.read_block(self.database, first_slot)
        if data is not None:
            return decode_block(data)
        try:
            now, _ = await self.redis.time()
            if first_slot < now - keys.FRAME_TTL_S + MARGIN_S:
                return None  # a part of it may be gone
            block = await read_minute(self.redis, first_slot, [self.shard])
        except AWAY:
            return None
        return block if block.frames else None


def _of_plan(plan_id: int, value: float) -> Floats:
    """A table by plan id in which only this plan is told."""
    table = np.full(plan_id + 1, np.nan)
    table[plan_id] = value
    return table


def _minute(slot: int) -> int:
    return slot - slot % BLOCK_SLOTS


async def replay(
    database: Database,
    redis: Redis,
    agent_id: UUID,
    slots: tuple[int, int],
    tally: Tally,
    *,
    ticks: bool = False,
) -> AsyncIterator[Line]:
    """The lines of an agent between two slots, both inside. Raises CannotReplay."""
    first_slot, last_slot = slots
    entries = await journal.journal_of(database, agent_id, first_slot, last_slot)
    if not entries:
        raise CannotReplay(await _why_nothing(database, agent_id))
    recorded = _by_slot(entries)
    shard_at = {entry.slot: entry.shard for entry in entries}
    rows, start = _beginning(recorded, first_slot)
    shard = entries[0].shard
    market = Market(database, redis, shard)
    await market.read_skipped(start, last_slot)
    known: dict[int, Plan] = {}
    for slot in range(start, last_slot + 1):
        shard = shard_at.get(slot, shard)
        events = recorded.get(slot, [])
        plan_id = int((row_after(events[0]) if events else rows)[0]["plan_id"])
        if plan_id not in known:
            known |= await plans.plans_of(database, [plan_id])
            if plan_id not in known:
                raise CannotReplay(f"plan {plan_id} is not on record")
        inputs = await market.inputs(slot, plan_id, known[plan_id])
        if inputs is None and not (market.is_kept(slot) and market.was_skipped(shard, slot)):
            # Nobody says that it was not run: what it saw is lost, with a Redis that was emptied or
            # before the archive had it.
            rows, lacking = _taken_over(rows, slot, events)
            tally.lost += 1
            tally.lacking += len(lacking)
            for line in lacking:
                yield line
            continue
        if inputs is None or market.was_skipped(shard, slot):
            done = commands_only(rows, events)
            tally.not_run += 1
        else:
            held = market.was_held(shard, slot)
            done = replay_slot(rows, replace(inputs, halt=held), events)
            tally.run += 1
        rows = done.rows
        for line in _lines(slot, done, inputs, ticks):
            tally.differences += bool(line.differs)
            yield line
        tally.decisions += len(done.recorded)
        if done.differences and done.recorded:
            # From here on it is another history; go on from what really happened.
            rows = row_after(done.recorded[-1])


def _taken_over(rows: Rows, slot: int, events: list[Event]) -> tuple[Rows, list[Line]]:
    """A slot of which only the journal tells: its events as they were, nothing to compare."""
    lines = [
        Line(slot, f"not replayed, its market is not in the archive: {text}")
        for event in events
        for _, text in log_lines(event)
    ]
    return (row_after(events[-1]) if events else rows), lines


async def _why_nothing(database: Database, agent_id: UUID) -> str:
    first = await journal.first_kept(database, agent_id)
    if first is None:
        return f"nothing is kept of an agent {agent_id}"
    moment = datetime.fromtimestamp(first, UTC)
    return f"the first that is kept of agent {agent_id} is of {moment:%Y-%m-%dT%H:%M:%SZ}"


def _by_slot(entries: list[JournalEntry]) -> dict[int, list[Event]]:
    found: dict[int, list[Event]] = {}
    for entry in entries:
        found.setdefault(entry.slot, []).append(decode_event(entry.payload))
    return found


def _beginning(recorded: dict[int, list[Event]], first_slot: int) -> tuple[Rows, int]:
    """The row to go on from, and the first slot to run: after the newest event of before, or the
    slot of the first event there is.
    """
    oldest = min(recorded)
    if oldest < first_slot:
        return row_after(recorded.pop(oldest)[-1]), oldest + 1
    return row_after(recorded[oldest][0]), oldest


def _lines(slot: int, done: Replayed, inputs: SlotInputs | None, ticks: bool) -> Iterator[Line]:
    for event in done.commanded:
        yield from (Line(slot, text) for _, text in log_lines(event))
    if ticks and inputs is not None:
        plan_id = len(inputs.price) - 1
        text = f"price {inputs.price[plan_id]:.12g}, signal {inputs.signal[plan_id]:+.6f}"
        yield Line(slot, text)
    if done.raised:
        yield Line(slot, f"the engine raised {done.raised}")
    for event in done.decided:
        yield from (Line(slot, text) for _, text in log_lines(event))
    for difference in done.differences:
        yield Line(slot, "", differs=difference)


async def _main(settings: Settings, options: argparse.Namespace) -> int:
    tally = Tally()
    database = await open_database(settings.database_url)
    redis = open_redis(settings.redis_url)
    try:
        slots = options.first, options.last
        async for line in replay(database, redis, options.agent, slots, tally, ticks=options.ticks):
            print(line)
    finally:
        await close_database(database)
        await redis.aclose()
    print(
        f"{tally.run} slots replayed, {tally.not_run} had not been run, {tally.decisions}"
        f" decisions on record, {tally.differences} differences"
        + (f"; what {tally.lost} slots saw is not kept" if tally.lost else "")
        + (f", {tally.lacking} lines could not be replayed" if tally.lacking else "")
    )
    return 1 if tally.differences else 2 if tally.lacking else 0


def _moment(text: str) -> int:
    """ISO 8601 (UTC unless it says otherwise) or Unix seconds."""
    if text.isdecimal():
        return int(text)
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="artic replay", description=__doc__)
    parser.add_argument("agent", type=UUID)
    parser.add_argument("--from", dest="first", type=_moment, required=True)
    parser.add_argument("--to", dest="last", type=_moment, required=True)
    parser.add_argument("--ticks", action="store_true", help="a line for every slot that was run")
    options = parser.parse_args(argv)
    if not options.first <= options.last <= options.first + LONGEST_S:
        parser.error("--to must come after --from, by seven days at most")
    try:
        settings = load_settings(os.environ, needs=("ARTIC_DATABASE_URL", "ARTIC_REDIS_URL"))
        configure_logging(settings)
        logging.getLogger().setLevel(logging.WARNING)
        return asyncio.run(_main(settings, options))
    except (AdapterError, EngineError, SettingsError, CannotReplay) as error:
        print(f"artic replay: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
