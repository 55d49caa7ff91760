"""`python -m bench.density`: how many agents a machine bears, and what a tick of one costs.

The agents trade, and in the end each of their trades has to be a row in PostgreSQL. Fails when a
due tick was not run, something was missed, or an event is not on record. Lag is a figure with its
aim, and a check with --strict.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from typing import Any

from bench import machine
from bench.density_figures import LAG_AIM_MS, Window, failures_of, figures_of
from bench.load_table import watched_load
from bench.own_process import own_processes
from bench.readings import read_counts, read_pool, read_reports, read_schedule
from bench.seeding import RISK, SEEDED_SEQ, Fleet, running_records, seed_running, settled
from bench.stack import SIMULATED, BenchError, Stack, measured, running_stack
from bench.stored import stored_events
from bench.tables import show_progress, table
from bench.ticked import TickedLog
from bench.watching import Watching, watching

WARM_UP_S = 10.0
BACK_S = 60.0
MARKS = {"trailing_stop_pct": 0.4, "max_drawdown_pct": 50.0}
"""Of every agent with --marks: the row remembers the best price and the session's peak."""
_POLL_S = 0.1


async def measure(options: argparse.Namespace) -> int:
    """One run: stack, agents, window, figures. The exit status."""
    risk = RISK | {"stop_loss_pct": options.exits_pct, "take_profit_pct": options.exits_pct}
    risk |= MARKS if options.marks else {}
    plans = min(options.plans, options.agents)
    fleet = Fleet(options.agents, plans, options.interval, risk, options.per_owner)
    figures: dict[str, Any] = {}
    async with running_stack(options.price_source, options.workers, options.keep) as stack:
        if options.own_processes:
            records = await running_records(stack, fleet, options.own_processes)
            figures |= await own_processes(stack, records)
        empty = int((await stack.redis.info("memory"))["used_memory"])
        seeded_s = await seed_running(stack, fleet)
        print(f"{fleet.agents} agents made in {seeded_s:.1f} s", flush=True)
        settled_s = await settled(stack)
        print(f"the pool was in step {settled_s:.1f} s later", flush=True)
        async with watching(stack, options.watched) as owners:
            await show_progress("warming up", options.warm_up)
            window = await _observe(stack, options, owners, figures)
        figures = await figures_of(stack, fleet, window, empty) | figures
        stored = await stored_events(stack, await stack.shards.open_shards(), SEEDED_SEQ)
    figures |= {
        "marks": options.marks,
        "exits_pct": options.exits_pct,
        "seeded_s": round(seeded_s, 1),
        "events": stored.events,
        "trades_in_all": stored.trades,
        "ledger_was_behind_s": round(stored.waited_s, 2),
        "not_stored": stored.problems,
        "machine": machine.described(),
    }
    return _report(figures, options.strict)


async def _observe(
    stack: Stack, options: argparse.Namespace, owners: Watching | None, figures: dict[str, Any]
) -> Window:
    shards = await stack.shards.open_shards()
    before = await read_schedule(stack, shards)
    heard = TickedLog()
    listener = asyncio.create_task(heard.listen(stack.redis_url))
    try:
        await heard.listening.wait()
        begin = await read_pool(stack, shards, await read_counts(stack))
        if owners is not None:
            await owners.begin()
        restarting = asyncio.create_task(_restart(stack, options.workers * options.restart))
        samples = await watched_load(stack, shards, options.seconds - 0.5)
        await restarting
        end = await read_pool(stack, shards)
        if owners is not None:
            figures |= {"watched": options.watched, **await owners.figures()}
        memory = {name: machine.memory(pids) for name, pids in stack.processes().items()}
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
    after = await read_schedule(stack, shards)
    lags = heard.lags_ms(begin.slot, end.slot)
    restarted = options.workers * options.restart
    return Window(begin, end, before, after, lags, samples, memory, restarted)


async def _restart(stack: Stack, workers: int) -> None:
    """SIGTERM to one worker after the other, each when the one before is back with its leases."""
    for number in range(1, workers + 1):
        before = stack.pid_of(f"worker-{number}")
        assert before is not None
        os.kill(before, signal.SIGTERM)
        deadline = time.monotonic() + BACK_S
        while stack.pid_of(f"worker-{number}") in (None, before) or not await _all_owned(stack):
            if time.monotonic() > deadline:
                raise BenchError(f"worker {number} did not come back within {BACK_S:.0f} s")
            await asyncio.sleep(_POLL_S)


async def _all_owned(stack: Stack) -> bool:
    """Whether every worker that runs serves something."""
    reports = await read_reports(stack)
    running = {str(pid) for pid in _worker_pids(stack)}
    owned = {name.rpartition("-")[2]: report["owned"] for name, (_, report) in reports.items()}
    return all(owned.get(pid) for pid in running)


def _worker_pids(stack: Stack) -> list[int]:
    names = [name for name in stack.processes() if name.startswith("worker-")]
    return [pid for name in names if (pid := stack.pid_of(name)) is not None]


def _report(figures: dict[str, Any], strict: bool) -> int:
    print(table(figures, "Density"))
    failures = failures_of(figures, strict)
    if "lag_ms_p99" in figures:
        print(f"lag p99 {figures['lag_ms_p99']} ms, aim {LAG_AIM_MS:g} ms")
    if "own_process_cpu_us_per_tick" in figures:
        cpu = figures["own_process_cpu_us_per_tick"] / figures["cpu_us_per_tick"]
        memory = figures["own_process_pss_bytes_per_agent"] / figures["bytes_per_agent"]
        print(f"a process for each agent takes {cpu:,.0f} times the CPU, {memory:,.0f} the memory")
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
    parser.add_argument("--plans", type=int, default=1_500, help="50 symbols x all strategies")
    parser.add_argument("--interval", type=int, default=1, help="seconds between ticks")
    parser.add_argument("--watched", type=int, default=0, help="agents whose owners look on")
    parser.add_argument("--per-owner", type=int, default=100, help="agents of one owner")
    parser.add_argument("--marks", action="store_true", help="trailing stop and drawdown limit")
    parser.add_argument("--exits-pct", type=float, default=0.5, help="stop and target, %% of price")
    parser.add_argument("--restart", action="store_true", help="every worker once, one by one")
    parser.add_argument(
        "--own-processes", type=int, default=4, help="agents in processes of their own, before"
    )
    parser.add_argument("--warm-up", type=float, default=WARM_UP_S, help="seconds")
    parser.add_argument("--price-source", default=SIMULATED)
    parser.add_argument("--strict", action="store_true", help="the aim of the lag is a check, too")
    parser.add_argument("--keep", action="store_true", help="keep folder and logs")
    return measured(measure(parser.parse_args(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
