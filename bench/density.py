"""`python -m bench.density`: how many agents a machine bears, and what a tick of one costs.

due is worked out here, from the agents' intervals in PostgreSQL and the start slots of their rows;
run is what the workers counted; missed is what the shards' heads admit. Fails when due is not run
or something was missed. Lag is a figure with its aim, and a check with --strict.
"""

import argparse
import asyncio
import json
import math
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters import redis_keys as keys
from adapters.redis_client import command
from bench import machine
from bench.readings import (
    Reading,
    Schedule,
    due_between,
    missed_between,
    read_pool,
    read_schedule,
)
from bench.seeding import Fleet, seed, settled
from bench.stack import SIMULATED, BenchError, Stack, measured, running_stack
from bench.tables import show_progress, table
from bench.ticked import TickedLog

LAG_AIM_MS = 25.0
WARM_UP_S = 5.0
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch that is measured: readings at both ends, the schedule at both ends."""

    begin: Reading
    end: Reading
    before: Schedule
    after: Schedule
    seen_lags_ms: list[float]


async def measure(options: argparse.Namespace) -> int:
    """One run: stack, agents, window, figures. The exit status."""
    fleet = Fleet(options.agents, min(options.plans, options.agents), options.interval)
    async with running_stack(options.price_source, options.workers, options.keep) as stack:
        empty = int((await stack.redis.info("memory"))["used_memory"])
        seeded_s = await seed(stack, fleet)
        settled_s = await settled(stack)
        print(f"{fleet.agents} agents made in {seeded_s:.1f} s, running {settled_s:.1f} s later")
        await show_progress("warming up", WARM_UP_S)
        window = await _observe(stack, options.seconds)
        figures = await _figures(stack, fleet, window, empty)
    return _report(figures, options.strict)


async def _observe(stack: Stack, seconds: float) -> Window:
    shards = await stack.shards.open_shards()
    heard = TickedLog()
    listener = asyncio.create_task(heard.listen(stack.redis_url))
    try:
        await heard.listening.wait()
        before = await read_schedule(stack, shards)
        begin = await read_pool(stack, shards)
        await show_progress("measuring", seconds - 0.5)
        end = await read_pool(stack, shards)
        after = await read_schedule(stack, shards)
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
    return Window(begin, end, before, after, heard.lags_ms(begin.slot, end.slot))


async def _figures(stack: Stack, fleet: Fleet, window: Window, empty: int) -> dict[str, Any]:
    begin, end = window.begin, window.end
    _check_same(window)
    due = int(due_between(window.before, begin.slot, end.slot).sum())
    run = end.total("ticks") - begin.total("ticks")
    commits = end.total("commits") - begin.total("commits")
    wall = end.at - begin.at
    parts = {name: cpu - begin.cpu.get(name, 0.0) for name, cpu in end.cpu.items()}
    used = sum(parts.values())
    busy = end.machine_cpu.busy - begin.machine_cpu.busy
    operations = end.redis["total_commands_processed"] - begin.redis["total_commands_processed"]
    memory = {name: machine.memory(pids) for name, pids in stack.processes().items()}
    pool = sum(m.pss for name, m in memory.items() if name == "redis" or "worker" in name)
    lag = end.lag_histogram() - begin.lag_histogram()
    seen = sorted(window.seen_lags_ms)
    return {
        "agents": fleet.agents,
        "plans": fleet.plans,
        "interval_s": fleet.interval,
        "shards": len(end.heads),
        "workers": len(end.reports),
        "seconds": end.slot - begin.slot,
        "due": due,
        "run": run,
        "missed": missed_between(window.before, end.heads, begin.slot, end.slot),
        "lag_ms_p50": _percentile(lag, 0.50),
        "lag_ms_p99": _percentile(lag, 0.99),
        "lag_ms_max": _percentile(lag, 1.0),
        "seen_lag_ms_p50": _rank(seen, 0.50),
        "seen_lag_ms_p99": _rank(seen, 0.99),
        "seen_lag_ms_max": _rank(seen, 1.0),
        "cpu_us_per_tick": round(used / run * 1e6, 3) if run else None,
        "cores": round(used / wall, 3),
        "cores_by_part": {name: round(cpu / wall, 3) for name, cpu in parts.items()},
        "cores_of_others": round((busy - used) / wall, 3),
        "cores_stolen": round((end.machine_cpu.stolen - begin.machine_cpu.stolen) / wall, 3),
        "rss_mib": {name: round(m.rss / _MIB, 1) for name, m in memory.items()},
        "pss_mib": {name: round(m.pss / _MIB, 1) for name, m in memory.items()},
        "bytes_per_agent": round(pool / fleet.agents, 1),
        "redis_bytes_per_agent": round((end.redis["used_memory"] - empty) / fleet.agents, 1),
        "shard_bytes_per_agent": round(await _shard_bytes(stack) / fleet.agents, 1),
        "redis_ops_per_tick": round(operations / run, 4) if run else None,
        "redis_ops_per_s": round(operations / wall, 1),
        "commits": commits,
        "refusals": _refusals(window),
        "trades": end.counts["trades"] - begin.counts["trades"],
        "ledger_rows": _ledger_rows(end) - _ledger_rows(begin),
        "machine": machine.described(),
    }


def _check_same(window: Window) -> None:
    """What was due is known while no agent starts or stops; what was run, while no worker does."""
    before, after = window.before, window.after
    if window.begin.reports.keys() != window.end.reports.keys():
        raise BenchError("workers came or went during the measurement")
    if not (
        np.array_equal(before.agent, after.agent)
        and np.array_equal(before.start, after.start)
        and np.array_equal(before.interval, after.interval)
    ):
        raise BenchError("agents started or stopped during the measurement")


def _ledger_rows(reading: Reading) -> int:
    return sum(reading.counts[name] for name in ("trades", "logs", "messages"))


def _refusals(window: Window) -> dict[str, int]:
    total: dict[str, int] = {}
    for sign, reading in ((1, window.end), (-1, window.begin)):
        for report in reading.reports.values():
            for reason, count in report["refusals"].items():
                total[reason] = total.get(reason, 0) + sign * int(count)
    return {reason: count for reason, count in total.items() if count}


async def _shard_bytes(stack: Stack) -> int:
    total = 0
    for shard in await stack.shards.open_shards():
        for key in (keys.shard_head(shard), keys.shard_rows(shard), keys.shard_events(shard)):
            total += int(await command(stack.redis, "MEMORY", "USAGE", key) or 0)
    return total


def _percentile(histogram: NDArray[np.int64], share: float) -> int | None:
    """Upper edge of the bucket (ms) in which the share is reached."""
    total = int(histogram.sum())
    if total <= 0:
        return None
    return int(np.searchsorted(histogram.cumsum(), math.ceil(share * total))) + 1


def _rank(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[max(math.ceil(share * len(ordered)) - 1, 0)], 1)


def _report(figures: dict[str, Any], strict: bool) -> int:
    print(table(figures, "Density"))
    failures = []
    if figures["due"] != figures["run"]:
        failures.append(f"due {figures['due']} is not run {figures['run']}")
    if figures["missed"]:
        failures.append(f"missed {figures['missed']}")
    lag = figures["lag_ms_p99"]
    print(f"lag p99 {lag} ms, aim {LAG_AIM_MS:g} ms")
    if strict and (lag is None or lag > LAG_AIM_MS):
        failures.append(f"lag p99 {lag} ms is above {LAG_AIM_MS:g} ms")
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    print(json.dumps(figures | {"failed": failures, "at": int(time.time())}))
    return 1 if failures else 0


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.density", description=__doc__)
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plans", type=int, default=400, help="50 symbols x all strategies")
    parser.add_argument("--interval", type=int, default=1, help="seconds between ticks")
    parser.add_argument("--price-source", default=SIMULATED)
    parser.add_argument("--strict", action="store_true", help="the aim of the lag is a check, too")
    parser.add_argument("--keep", action="store_true", help="keep folder and logs")
    return measured(measure(parser.parse_args(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
