"""`python -m bench.tenants`: a tenant with one agent, alone and beside a tenant with many.

Two stacks one after the other. Beside the other tenant the agent shares a shard with agents of the
other; looked at, too, is the shard that it has when it comes first, alone in it or not: that one is
due in the moment in which frames are made. Lag is seen from outside: when the shard's commit was
heard of. Fails when the worse lag of the two is more than so many times that of the agent alone, or
when a slot was left out.
"""

import argparse
import asyncio
import json
import math
import sys
import time
from typing import Any
from uuid import UUID, uuid4

from adapters.db import users
from bench import machine
from bench.seeding import Fleet, seed, seed_running, settled
from bench.stack import SIMULATED, BenchError, Stack, end, measured, running_stack
from bench.tables import show_progress, table
from bench.ticked import TickedLog

RATIO_MAX = 1.5
FIRST_SHARD = 0
WARM_UP_S = 10.0
_TELLING_S = 0.5
"""After the last slot its commit may still be on its way."""


async def measure(options: argparse.Namespace) -> int:
    """Both stacks, figures, check. The exit status."""
    alone = (await _lags(options, others=0))[FIRST_SHARD]
    seen = await _lags(options, others=options.agents)
    ratio = max(_rank(lags, 0.99) for lags in seen.values()) / _rank(alone, 0.99)
    figures: dict[str, Any] = {
        "agents_of_the_other": options.agents,
        "workers": options.workers,
        "seconds": options.seconds,
        "alone_lag_ms": _percentiles(alone),
        "beside_lag_ms": {shard: _percentiles(lags) for shard, lags in seen.items()},
        "p99_ratio": round(ratio, 2),
        "machine": machine.described(),
    }
    print(table(figures, "One agent beside many of another tenant"))
    failures = []
    if ratio > RATIO_MAX:
        failures.append(f"its lag p99 is {ratio:.2f} times that alone, the bound is {RATIO_MAX}")
    told = [("alone", alone), *((f"beside, shard {shard}", lags) for shard, lags in seen.items())]
    for where, lags in told:
        if len(lags) != options.seconds:
            failures.append(f"{where}: {len(lags)} slots of {options.seconds} were told")
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    print(json.dumps(figures | {"failed": failures, "at": int(time.time())}))
    return 1 if failures else 0


async def _lags(options: argparse.Namespace, others: int) -> dict[int, list[float]]:
    """Sorted lags in ms of the first shard and of the agent's, by shard."""
    async with running_stack(options.price_source, options.workers) as stack:
        if others:
            plans = min(options.plans, others)
            seeded_s = await seed_running(stack, Fleet(others, plans, per_owner=others))
            print(f"{others} agents of one tenant made in {seeded_s:.1f} s", flush=True)
            await settled(stack)
        owner = await users.create_user(stack.database, f"{uuid4()}@example.com", "none")
        await seed(stack, Fleet(1, 1), owner.id)
        await settled(stack)
        shard = await _shard_of(stack, owner.id)
        what = f"beside {others}" if others else "alone"
        await show_progress(f"{what}: warming up", options.warm_up)
        heard = TickedLog()
        listener = asyncio.create_task(heard.listen(stack.redis_url))
        try:
            await heard.listening.wait()
            first = int(time.time())
            last = first + options.seconds
            await show_progress(what, last + 1 + _TELLING_S - time.time())
        finally:
            await end(listener)
        return {
            each: sorted(heard.lags_ms(first, last, each)) for each in sorted({FIRST_SHARD, shard})
        }


async def _shard_of(stack: Stack, owner: UUID) -> int:
    [(shard,)] = await stack.sql("SELECT shard FROM agents WHERE user_id = $1", owner)
    return int(shard)


def _rank(ordered: list[float], share: float) -> float:
    if not ordered:
        raise BenchError("nothing was heard of the agent's shard")
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def _percentiles(ordered: list[float]) -> dict[str, float]:
    named = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
    return {name: round(_rank(ordered, share), 1) for name, share in named}


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.tenants", description=__doc__)
    parser.add_argument("--agents", type=int, default=100_000, help="of the other tenant")
    parser.add_argument("--plans", type=int, default=1_500, help="of the other tenant's agents")
    parser.add_argument("--seconds", type=int, default=120, help="of each measurement")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--warm-up", type=float, default=WARM_UP_S, help="seconds")
    parser.add_argument("--price-source", default=SIMULATED)
    return measured(measure(parser.parse_args(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
