"""What a density run says: figures out of two readings of the pool, and what was lost of them.

due is worked out from the agents' intervals in PostgreSQL and the start slots of their rows; run is
what the workers counted, and missed what the heads admit. While workers are restarted their
counters begin anew: run is then what was due and not missed, with every shard through the slot.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters import redis_keys as keys
from adapters.redis_client import command
from bench import machine
from bench.load_table import Sample, aof_bytes
from bench.readings import Reading, Schedule, due_between, missed_between
from bench.seeding import Fleet
from bench.stack import BenchError, Stack

LAG_AIM_MS = 25.0
TRADES_PER_AGENT_HOUR_MIN = 1.0
_MIB = 2**20
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch that is measured: readings at both ends, the schedule at both ends."""

    begin: Reading
    end: Reading
    before: Schedule
    after: Schedule
    seen_lags_ms: list[float]
    samples: list[Sample]
    memory: dict[str, machine.Memory]
    restarted: int = 0


async def figures_of(stack: Stack, fleet: Fleet, window: Window, empty: int) -> dict[str, Any]:
    """Everything that is reported. empty: bytes of Redis before there was any agent."""
    begin, end = window.begin, window.end
    check_same(window)
    due = int(due_between(window.before, begin.slot, end.slot).sum())
    missed = missed_between(window.before, end.heads, begin.slot, end.slot)
    run = due - missed if window.restarted else end.total("ticks") - begin.total("ticks")
    wall = end.at - begin.at
    operations = end.redis["total_commands_processed"] - begin.redis["total_commands_processed"]
    counted_s = end.counts.at - begin.counts.at
    trades = end.counts.rows["trades"] - begin.counts.rows["trades"]
    return {
        "agents": fleet.agents,
        "plans": fleet.plans,
        "interval_s": fleet.interval,
        "shards": len(end.heads),
        "workers": len(end.reports),
        "restarted": window.restarted,
        "seconds": end.slot - begin.slot,
        "due": due,
        "run": run,
        "missed": missed,
        **_lags(window),
        **_cpu(window, run),
        **await _memory(stack, fleet, window, empty),
        "redis_ops_per_tick": round(operations / run, 4) if run else None,
        "redis_ops_per_s": round(operations / wall, 1),
        "aof_mb_per_s": round(aof_bytes(window.samples) / 1e6 / wall, 3),
        "refusals": {} if window.restarted else _refusals(window),
        "trades": trades,
        "trades_closed": end.counts.rows["closed"] - begin.counts.rows["closed"],
        "trades_per_agent_hour": round(trades / fleet.agents / counted_s * _HOUR_S, 2),
        "ledger_rows": _ledger_rows(end) - _ledger_rows(begin),
        "events_waiting_most": max(sample.waiting_events for sample in window.samples),
    }


def check_same(window: Window) -> None:
    """What was due is known while no agent starts or stops; what was run, while no worker does."""
    before, after = window.before, window.after
    if not window.restarted and window.begin.reports.keys() != window.end.reports.keys():
        raise BenchError("workers came or went during the measurement")
    if not (
        np.array_equal(before.agent, after.agent)
        and np.array_equal(before.start, after.start)
        and np.array_equal(before.interval, after.interval)
    ):
        raise BenchError("agents started or stopped during the measurement")


def failures_of(figures: dict[str, Any], strict: bool) -> list[str]:
    """Which checks have failed; empty when all is well."""
    failures = []
    if figures["due"] != figures["run"]:
        failures.append(f"due {figures['due']} is not run {figures['run']}")
    if figures["missed"]:
        failures.append(f"missed {figures['missed']}")
    failures += figures["not_stored"]
    rate = figures["trades_per_agent_hour"]
    if rate < TRADES_PER_AGENT_HOUR_MIN and figures["due"] >= figures["agents"]:
        failures.append(f"an agent traded {rate} times an hour")
    lag = figures["seen_lag_ms_p99" if figures["restarted"] else "lag_ms_p99"]
    if strict and (lag is None or lag > LAG_AIM_MS):
        failures.append(f"lag p99 {lag} ms is above {LAG_AIM_MS:g} ms")
    return failures


def _lags(window: Window) -> dict[str, Any]:
    seen = sorted(window.seen_lags_ms)
    lags: dict[str, Any] = {}
    if not window.restarted:
        lag = window.end.lag_histogram() - window.begin.lag_histogram()
        lags = {
            "lag_ms_p50": _percentile(lag, 0.50),
            "lag_ms_p99": _percentile(lag, 0.99),
            "lag_ms_max": _percentile(lag, 1.0),
        }
    return lags | {
        "seen_lag_ms_p50": _rank(seen, 0.50),
        "seen_lag_ms_p99": _rank(seen, 0.99),
        "seen_lag_ms_max": _rank(seen, 1.0),
    }


def _cpu(window: Window, run: int) -> dict[str, Any]:
    """CPU of all parts; that of a process that has ended is its supervisor's."""
    begin, end = window.begin, window.end
    wall = end.at - begin.at
    parts = {name: cpu - begin.cpu.get(name, 0.0) for name, cpu in end.cpu.items()}
    used = sum(parts.values())
    busy = end.machine_cpu.busy - begin.machine_cpu.busy
    return {
        "cpu_us_per_tick": round(used / run * 1e6, 3) if run else None,
        "cores": round(used / wall, 3),
        "cores_by_part": {name: round(cpu / wall, 3) for name, cpu in parts.items()},
        "cores_of_others": round((busy - used) / wall, 3),
        "cores_stolen": round((end.machine_cpu.stolen - begin.machine_cpu.stolen) / wall, 3),
    }


async def _memory(stack: Stack, fleet: Fleet, window: Window, empty: int) -> dict[str, Any]:
    memory = window.memory
    pool = sum(m.pss for name, m in memory.items() if name == "redis" or "worker" in name)
    redis = window.end.redis["used_memory"] - empty
    return {
        "rss_mib": {name: round(m.rss / _MIB, 1) for name, m in memory.items()},
        "pss_mib": {name: round(m.pss / _MIB, 1) for name, m in memory.items()},
        "pss_mib_in_all": round(sum(m.pss for m in memory.values()) / _MIB, 1),
        "bytes_per_agent": round(pool / fleet.agents, 1),
        "redis_bytes_per_agent": round(redis / fleet.agents, 1),
        "shard_bytes_per_agent": round(await _shard_bytes(stack) / fleet.agents, 1),
    }


def _ledger_rows(reading: Reading) -> int:
    return sum(reading.counts.rows[name] for name in ("trades", "logs", "messages"))


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
