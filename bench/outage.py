"""`python -m bench.outage --minutes M --agents N`: PostgreSQL is away while agents trade.

Ticks and exits go on, events wait in the streams, and at a bound nothing is opened any more. When
PostgreSQL is back everything is stored: no event lost, none twice. Fails when a slot was missed, a
stream outgrew its bound, or the record is not whole afterwards.
"""

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

from adapters import redis_keys as keys
from adapters.redis_client import command
from bench.seeding import Fleet, seed, settled
from bench.stack import SIMULATED, BenchError, Stack, measured, running_stack
from bench.tables import table
from workers.settings import ENTRIES_STOP_AT_EVENTS

CAUGHT_UP_S = 600.0
_LOOK_EVERY_S = 1.0
_SHOWN = 10


@dataclass(slots=True)
class Seen:
    """The most that was seen of each while PostgreSQL was away."""

    events_of_a_shard: int = 0
    events: int = 0
    stream_bytes: int = 0
    redis_bytes: int = 0
    shards_at_the_bound: int = 0

    async def look(self, stack: Stack, bound: int) -> int:
        """Looks once; the events that wait now."""
        shards = await stack.shards.open_shards()
        waiting = await stack.shards.events_waiting(shards)
        total = sum(waiting.values())
        used = [
            int(await command(stack.redis, "MEMORY", "USAGE", keys.shard_events(shard)) or 0)
            for shard in shards
        ]
        self.events_of_a_shard = max(self.events_of_a_shard, *waiting.values())
        self.events = max(self.events, total)
        self.stream_bytes = max(self.stream_bytes, sum(used))
        memory = await stack.redis.info("memory")
        self.redis_bytes = max(self.redis_bytes, int(memory["used_memory"]))
        at_bound = sum(count >= bound for count in waiting.values())
        self.shards_at_the_bound = max(self.shards_at_the_bound, at_bound)
        return total


async def measure(options: argparse.Namespace) -> int:
    """One run. The exit status."""
    fleet = Fleet(options.agents, min(options.plans, options.agents))
    seen = Seen()
    async with running_stack(SIMULATED, options.workers, options.keep) as stack:
        seeded_s = await seed(stack, fleet)
        settled_s = await settled(stack)
        print(f"{fleet.agents} agents made in {seeded_s:.1f} s, running {settled_s:.1f} s later")
        [(before,)] = await stack.sql("SELECT count(*) FROM trades")
        missed_before = await _missed(stack)
        await stack.postgres.stop()
        began = time.monotonic()
        while time.monotonic() - began < options.minutes * 60:
            await seen.look(stack, ENTRIES_STOP_AT_EVENTS)
            await asyncio.sleep(_LOOK_EVERY_S)
        waiting = await seen.look(stack, ENTRIES_STOP_AT_EVENTS)
        missed = await _missed(stack) - missed_before
        await stack.postgres.start()
        caught_up_s = await _caught_up(stack, waiting)
        caught_up_missed = await _missed(stack) - missed_before - missed
        problems = _told(missed, "while PostgreSQL was away") + await _not_whole(stack)
        problems += _told(caught_up_missed, "while the ledger caught up")
        [(after,)] = await stack.sql("SELECT count(*) FROM trades")
    if seen.events_of_a_shard > 2 * ENTRIES_STOP_AT_EVENTS:
        problems.append(f"a stream held {seen.events_of_a_shard} events")
    figures: dict[str, Any] = {
        "agents": options.agents,
        "minutes_away": options.minutes,
        "events_waiting_at_the_end": waiting,
        "most_events_of_a_shard": seen.events_of_a_shard,
        "bound_of_entries": ENTRIES_STOP_AT_EVENTS,
        "shards_that_stopped_entries": seen.shards_at_the_bound,
        "most_stream_mib": round(seen.stream_bytes / 2**20, 1),
        "most_redis_mib": round(seen.redis_bytes / 2**20, 1),
        "caught_up_s": round(caught_up_s, 1),
        "events_stored_per_s": round(waiting / caught_up_s) if caught_up_s else None,
        "trades_meanwhile": after - before,
        "slots_missed_by_shards": len(missed) + len(caught_up_missed),
        "slots_missed_before": len(missed_before),
        "problems": len(problems),
    }
    print(table(figures, "PostgreSQL away"))
    for problem in problems[:_SHOWN]:
        print(f"FAILED: {problem}", file=sys.stderr)
    print(json.dumps(figures | {"failed": problems[:_SHOWN]}))
    return 1 if problems else 0


async def _missed(stack: Stack) -> set[tuple[int, int]]:
    """(shard, slot) of what was not run since the shards were opened."""
    missed = set()
    for shard in await stack.shards.open_shards():
        head = await stack.shards.read_head(shard)
        for skipped in () if head is None else head.skipped:
            if not skipped.paused:
                missed |= {(shard, slot) for slot in range(skipped.first, skipped.last + 1)}
    return missed


def _told(missed: set[tuple[int, int]], when: str) -> list[str]:
    by_slot: dict[int, int] = {}
    for _, slot in missed:
        by_slot[slot] = by_slot.get(slot, 0) + 1
    return [f"{by_slot[slot]} shards missed slot {slot} {when}" for slot in sorted(by_slot)]


async def _caught_up(stack: Stack, waiting: int) -> float:
    """Seconds until fewer events wait than a few seconds make."""
    began = time.monotonic()
    usual = max(waiting // 50, 1_000)
    while (left := sum((await _waiting(stack)).values())) > usual:
        if time.monotonic() - began > CAUGHT_UP_S:
            raise BenchError(f"after {CAUGHT_UP_S:g} s {left} events still wait")
        await asyncio.sleep(_LOOK_EVERY_S)
    return time.monotonic() - began


async def _waiting(stack: Stack) -> dict[int, int]:
    return await stack.shards.events_waiting(await stack.shards.open_shards())


async def _not_whole(stack: Stack) -> list[str]:
    """What the record lacks, or has as it should not."""
    [(frozen, quarantined, gaps)] = await stack.sql(
        "SELECT (SELECT count(*) FROM shards WHERE frozen IS NOT NULL),"
        " (SELECT count(*) FROM quarantine),"
        " (SELECT count(*) FROM (SELECT max(seq) - count(*) AS lacking FROM journal"
        "  GROUP BY agent_id) numbered WHERE lacking <> 0)"
    )
    problems = []
    if frozen or quarantined:
        problems.append(f"{frozen} shards are frozen, {quarantined} events in quarantine")
    if gaps:
        problems.append(f"the events of {gaps} agents are not numbered without gaps")
    return problems


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.outage", description=__doc__)
    parser.add_argument("--agents", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plans", type=int, default=1_500)
    parser.add_argument("--keep", action="store_true", help="keep folder and logs")
    return measured(measure(parser.parse_args(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
