"""The design before rows, for comparison: a process for each agent, with the same engine in it.

Each reads the frame of the slot, runs its own strategy and keeps its own row in Redis, once a
second. There is no ledger, no hub and no queue behind it, so it is the least that it can cost.
`python -m bench.own_process KEY ROW` is one such agent; ROW is its record in hexadecimal digits.
"""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

import numpy as np
import uvloop

from adapters.market_store import MarketStore
from adapters.price_choice import open_prices
from adapters.processes import start_process, stop_process
from adapters.redis_client import command, open_redis
from adapters.redis_clock import RedisClock
from adapters.settings import load_settings
from bench import machine
from bench.stack import ROOT, STOP_S, BenchError, Stack
from bench.tables import show_progress
from engine.rows import ROW
from engine.tick import SlotInputs, advance
from workers.plan_book import PlanBook

WARM_UP_S = 5.0
MEASURED_S = 10.0
_TICKS = "bench:own:ticks"
_AFTER_SLOT_S = 0.1
"""The frame of a slot is made by then."""


async def own_processes(stack: Stack, records: list[bytes]) -> dict[str, Any]:
    """Runs a process for each of these rows for a while: CPU of a tick, memory of an agent."""
    with ExitStack() as running:
        processes = [_start(stack, number, record) for number, record in enumerate(records)]
        for process in processes:
            running.callback(process.kill)
        await show_progress("a process for each agent: warming up", WARM_UP_S)
        pids = [pid for process in processes for pid in machine.tree(process.pid)]
        ticks, cpu = await _ticks(stack), machine.cpu_seconds(pids)
        await show_progress("a process for each agent", MEASURED_S)
        ticks, cpu = await _ticks(stack) - ticks, machine.cpu_seconds(pids) - cpu
        memory = machine.memory(pids)
        await asyncio.gather(*(stop_process(each, signal.SIGTERM, STOP_S) for each in processes))
    if not ticks:
        raise BenchError(f"no agent in a process of its own has ticked, see {stack.folder}")
    return {
        "own_process_agents": len(records),
        "own_process_cpu_us_per_tick": round(cpu / ticks * 1e6, 1),
        "own_process_pss_bytes_per_agent": round(memory.pss / len(records)),
    }


def _start(stack: Stack, number: int, record: bytes) -> "subprocess.Popen[bytes]":
    command_line = [sys.executable, "-P", "-m", "bench.own_process"]
    command_line += [f"bench:own:{number}", record.hex()]
    log_path = stack.folder / f"own-process-{number}.log"
    env = stack.environment() | {"PYTHONPATH": str(ROOT)}
    return start_process(command_line, log_path=log_path, env=env)


async def _ticks(stack: Stack) -> int:
    return int(await command(stack.redis, "GET", _TICKS) or 0)


async def tick_alone(key: str, record: bytes) -> None:
    """One agent, until the process is ended."""
    settings = load_settings(os.environ)
    redis = open_redis(settings.redis_url)
    clock = RedisClock(redis)
    await clock.refresh()
    market = MarketStore(redis, open_prices(settings, redis))
    book = PlanBook(redis, market)
    rows = np.frombuffer(record, ROW)
    plans = rows["plan_id"].astype(np.int64)
    while True:
        slot = clock.slot() + 1
        await asyncio.sleep(slot + _AFTER_SLOT_S - clock.now())
        frame = (await market.frame(slot)).frame
        if frame is None:
            continue
        table = await book.table(frame, plans, late=False)
        inputs = SlotInputs(
            slot,
            table.price,
            table.fresh,
            table.signal,
            atr_fraction=table.atr_fraction,
            volatility=table.volatility,
        )
        rows = advance(rows, inputs).rows
        pipe = redis.pipeline(transaction=False)
        pipe.set(key, rows.tobytes())
        pipe.incr(_TICKS)
        await pipe.execute()


def main(argv: list[str] | None = None) -> int:
    """One agent in a process of its own."""
    key, record = sys.argv[1:] if argv is None else argv
    uvloop.run(tick_alone(key, bytes.fromhex(record)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
