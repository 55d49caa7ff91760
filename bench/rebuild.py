"""`python -m bench.rebuild`: Redis is emptied under a pool that trades; how long until all is back.

Everything comes from PostgreSQL, and the pool does it by itself. Afterwards each agent's row must
be what the record holds, and tick on. Fails when a row differs; with --strict when it took longer
than the aim.
"""

import argparse
import asyncio
import json
import sys
import time
from typing import Any

import numpy as np

from adapters import redis_keys as keys
from adapters.redis_client import command
from bench.seeding import Fleet, seed, settled
from bench.stack import SIMULATED, BenchError, Stack, measured, running_stack
from bench.tables import show_progress, table
from engine.rows import ROW, RowStatus

AIM_S = 20.0
GIVEN_UP_S = 180.0
TRADING_S = 10.0
_POLL_S = 0.05
_COMPARED = ("agent_id", "epoch", "status", "side", "quantity", "entry_price", "realized_pnl_usd")


async def measure(options: argparse.Namespace) -> int:
    """One run. The exit status."""
    fleet = Fleet(options.agents, min(options.plans, options.agents))
    async with running_stack(SIMULATED, options.workers, options.keep) as stack:
        seeded_s = await seed(stack, fleet)
        settled_s = await settled(stack)
        print(f"{fleet.agents} agents made in {seeded_s:.1f} s, running {settled_s:.1f} s later")
        await show_progress("trading", TRADING_S)
        on_record = {each: await _record(stack, each) for each in await stack.shards.open_shards()}
        began = time.monotonic()
        await command(stack.redis, "FLUSHALL")
        opened_s, ticking_s = await _until_back(stack, set(on_record), began)
        differences = await _differences(stack, on_record)
        [(trades,)] = await stack.sql("SELECT count(*) FROM trades")
    figures: dict[str, Any] = {
        "agents": fleet.agents,
        "shards": len(on_record),
        "workers": options.workers,
        "trades_before": trades,
        "rows_differing": len(differences),
        "all_shards_open_s": round(opened_s, 2),
        "all_shards_ticking_s": round(ticking_s, 2),
        "aim_s": AIM_S,
    }
    print(table(figures, "Rebuild of an emptied Redis"))
    failures = differences[:10]
    if ticking_s > AIM_S and options.strict:
        failures.append(f"it took {ticking_s:.1f} s, the aim is {AIM_S:g} s")
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    print(json.dumps(figures | {"failed": failures}))
    return 1 if failures else 0


async def _record(stack: Stack, shard: int) -> dict[int, int]:
    """The newest number of each agent of a shard on record, by row: nothing may be behind it."""
    found = await stack.sql("SELECT row, seq FROM shard_rows WHERE shard = $1", shard)
    return {int(row): int(seq) for row, seq in found}


async def _until_back(stack: Stack, shards: set[int], began: float) -> tuple[float, float]:
    """Seconds until every shard is open, and until each has run a slot after that."""
    opened: dict[int, int] = {}
    ticking: set[int] = set()
    opened_s = 0.0
    while len(ticking) < len(shards):
        waited = time.monotonic() - began
        if waited > GIVEN_UP_S:
            raise BenchError(f"after {waited:.0f} s {len(shards - ticking)} shards do not tick")
        for shard in sorted(shards - ticking):
            head = await stack.shards.read_head(shard)
            if head is None:
                continue
            if head.slot > opened.setdefault(shard, head.slot):
                ticking.add(shard)
        if len(opened) == len(shards) and not opened_s:
            opened_s = time.monotonic() - began
        await asyncio.sleep(_POLL_S)
    return opened_s, time.monotonic() - began


async def _differences(stack: Stack, before: dict[int, dict[int, int]]) -> list[str]:
    """Rows in Redis that are behind the record, or another agent's; each agent's newest stored
    row is what its row in Redis goes on from, so the two agree when no event lies between them.
    """
    problems = []
    for shard, seqs in before.items():
        raw = await command(stack.redis, "GET", keys.shard_rows(shard))
        rows = np.frombuffer(raw or b"", ROW)
        stored = await stack.sql(
            "SELECT row, seq, record FROM shard_rows WHERE shard = $1 AND agent_id IS NOT NULL",
            shard,
        )
        for row, _, record in stored:
            if row >= len(rows):
                problems.append(f"shard {shard} row {row} is missing")
                continue
            mine = rows[row]
            if mine["seq"] < seqs.get(row, 0) or mine["status"] != RowStatus.RUNNING:
                problems.append(f"shard {shard} row {row} is behind the record")
            was = np.frombuffer(record, ROW)[0]
            if was["seq"] == mine["seq"]:
                wrong = [name for name in _COMPARED if mine[name] != was[name]]
                problems += [f"shard {shard} row {row}: {name} differs" for name in wrong]
    return problems


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.rebuild", description=__doc__)
    parser.add_argument("--agents", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plans", type=int, default=1_500)
    parser.add_argument("--strict", action="store_true", help="the aim is a check, too")
    parser.add_argument("--keep", action="store_true", help="keep folder and logs")
    return measured(measure(parser.parse_args(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
