"""What goes on while a measurement runs: a bar, and a table that is renewed once a second.

The samples stay: some figures, as the growth of the AOF, are sums over them.
"""

import asyncio
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.progress import Progress
from rich.table import Table

from adapters import redis_keys as keys
from adapters.redis_client import command
from bench.stack import Stack

_STEP_S = 1.0
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """The stack at one moment (time.monotonic()); counters are those of the workers so far."""

    at: float
    ticks: int
    events: int
    missed_slots: int
    waiting_events: int
    redis: dict[str, Any]


async def watched_load(stack: Stack, shards: list[int], seconds: float) -> list[Sample]:
    """Waits, and shows where the pool stands; answers what was seen."""
    end = time.monotonic() + seconds
    console = Console(file=sys.stderr)
    progress = Progress(console=console)
    task = progress.add_task("measuring", total=seconds)
    samples = [await _sample(stack, shards)]
    with Live(Group(progress), console=console, transient=True, auto_refresh=False) as live:
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _STEP_S))
            samples.append(await _sample(stack, shards))
            progress.update(task, completed=seconds - max(end - time.monotonic(), 0.0))
            live.update(Group(_shown(samples), progress), refresh=console.is_terminal)
    return samples


def aof_bytes(samples: list[Sample]) -> int:
    """What was appended to the AOF; a rewrite, which makes it shorter, counts as nothing."""
    sizes = [int(sample.redis["aof_current_size"]) for sample in samples]
    return sum(max(after - before, 0) for before, after in pairwise(sizes))


async def _sample(stack: Stack, shards: list[int]) -> Sample:
    names = await command(stack.redis, "ZRANGE", keys.workers(), 0, -1)
    pipe = stack.redis.pipeline(transaction=False)
    pipe.info()
    for name in names:
        pipe.get(keys.worker_report(name.decode()))
    for shard in shards:
        pipe.xlen(keys.shard_events(shard))
    info, *answers = await pipe.execute()
    reports = [msgspec.json.decode(body) for body in answers[: len(names)] if body is not None]
    return Sample(
        time.monotonic(),
        sum(report["ticks"] for report in reports),
        sum(report["events"] for report in reports),
        sum(report["missed_slots"] for report in reports),
        sum(map(int, answers[len(names) :])),
        info,
    )


def _shown(samples: list[Sample]) -> Table:
    before, now = samples[-2:]
    passed = now.at - before.at
    table = Table(show_header=False)
    for name, value in {
        "ticks": f"{now.ticks - samples[0].ticks:,}",
        "ticks a second": f"{(now.ticks - before.ticks) / passed:,.0f}",
        "events a second": f"{(now.events - before.events) / passed:,.0f}",
        "events that wait for the ledger": f"{now.waiting_events:,}",
        "slots missed by shards": f"{now.missed_slots - samples[0].missed_slots:,}",
        "Redis, MiB": f"{now.redis['used_memory'] / _MIB:,.0f}",
        "AOF, MiB": f"{now.redis['aof_current_size'] / _MIB:,.0f}",
        "Redis commands a second": f"{now.redis['instantaneous_ops_per_sec']:,}",
    }.items():
        table.add_row(name, value)
    return table
