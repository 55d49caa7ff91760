"""`python -m bench.upgrade`: a pool comes to a new row schema while it trades.

Two workers write schema 1; then one is replaced by one that writes the newest, so that both are at
work side by side, and at last only the new one is. Afterwards the journal is held against an
undisturbed run and the record against the journal, as in bench.chaos; and nothing may be missed.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from adapters.processes import start_process, stop_process
from bench.chaos import RISK_OF_TRADERS, come_to_rest, judge
from bench.chaos_market import REACH_S, MarketRecording
from bench.hub_client import new_account
from bench.seeding import Fleet, seed, settled
from bench.stack import ARTIC, SIMULATED, BenchError, Stack, end, measured, running_stack
from bench.tables import show_progress, table
from engine.rows import ROW_SCHEMA

OLD, NEW = {"ARTIC_ROW_SCHEMA": "1"}, {"ARTIC_ROW_SCHEMA": str(ROW_SCHEMA)}
STOP_S = 15.0
SWITCHED_S = 60.0
_POLL_S = 0.1
_SHOWN = 10


async def measure(options: argparse.Namespace) -> int:
    """One run. The exit status."""
    fleet = Fleet(options.agents, min(options.plans, options.agents), risk=RISK_OF_TRADERS)
    async with (
        running_stack(SIMULATED, workers=1, keep=options.keep, told=OLD) as stack,
        new_account(stack.hub_url) as account,
    ):
        market = MarketRecording()
        recording = asyncio.create_task(market.follow(stack.redis_url))
        try:
            async with _worker(stack, OLD):
                me = UUID((await account.get("/api/me"))["id"])
                await seed(stack, fleet, owner=me)
                await settled(stack)
                await show_progress("schema 1", options.seconds / 3)
                before = await _schemas(stack)
            async with _worker(stack, NEW):
                await show_progress("side by side", options.seconds / 3)
                beside = await _schemas(stack)
                pid = stack.pid_of("worker-1")
                assert pid is not None
                os.kill(pid, signal.SIGSTOP)
                took_s = await _switched(stack)
                await show_progress("new schema", options.seconds / 3)
                os.kill(pid, signal.SIGCONT)
                await come_to_rest(stack, account)
            await market.take(stack.redis, int(time.time()), REACH_S)
        finally:
            await end(recording)
        figures, problems = await judge(stack, market, losses=())
    if set(before) != {1}:
        problems.append(f"shards were of schema {sorted(before)} before the upgrade")
    if figures["slots_not_run"]:
        problems.append(f"{figures['slots_not_run']} slots were not run")
    figures = {
        "agents": options.agents,
        "shards_by_schema_before": before,
        "shards_by_schema_side_by_side": beside,
        "all_switched_s": round(took_s, 1),
        **figures,
        "differences": len(problems),
    }
    print(table(figures, "Upgrade under load"))
    for problem in problems[:_SHOWN]:
        print(f"FAILED: {problem}", file=sys.stderr)
    print(json.dumps(figures | {"failed": problems[:_SHOWN]}))
    return 1 if problems else 0


@asynccontextmanager
async def _worker(stack: Stack, told: dict[str, str]) -> AsyncIterator["subprocess.Popen[bytes]"]:
    """One more worker beside that of `artic up`; it ends in order."""
    command = [*ARTIC, "worker"]
    environment = stack.environment() | told
    path = stack.folder / f"worker-{'old' if told is OLD else 'new'}.log"
    process = start_process(command, log_path=path, env=environment)
    try:
        yield process
        if process.poll() is not None:
            raise BenchError(f"a worker has ended: {path.read_text()[-500:]}")
    finally:
        await stop_process(process, signal.SIGTERM, STOP_S)


async def _schemas(stack: Stack) -> dict[int, int]:
    """How many shards are of which schema."""
    found: dict[int, int] = {}
    for shard in await stack.shards.open_shards():
        head = await stack.shards.read_head(shard)
        if head is not None:
            found[head.schema] = found.get(head.schema, 0) + 1
    return found


async def _switched(stack: Stack) -> float:
    """Seconds until every shard is of the newest schema."""
    began = time.monotonic()
    while set(found := await _schemas(stack)) != {ROW_SCHEMA}:
        if time.monotonic() - began > SWITCHED_S:
            raise BenchError(f"after {SWITCHED_S:g} s shards by schema are {found}")
        await asyncio.sleep(_POLL_S)
    return time.monotonic() - began


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.upgrade", description=__doc__)
    parser.add_argument("--agents", type=int, default=1_000)
    parser.add_argument("--plans", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--keep", action="store_true", help="keep folder and logs")
    return measured(measure(parser.parse_args(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
