"""`python -m bench.tenants`: a tenant with one agent, alone and beside a tenant with many.

Two stacks one after the other, with the agent in the same shard of both, so that it is due at the
same moment of a second; in the second one it shares that shard with agents of the other tenant. Lag
is seen from outside: when its shard's commit was heard of. Fails when the lag beside the other
tenant is more than so many times what it is alone, or when a slot was left out.
"""

import argparse
import asyncio
import json
import math
import sys
import time
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

from adapters.db import users
from adapters.price_simulated import SYMBOLS
from bench import machine
from bench.seeding import Fleet, seed, seed_running, settled
from bench.stack import SIMULATED, BenchError, Stack, end, measured, running_stack
from bench.tables import show_progress, table
from bench.ticked import TickedLog

RATIO_MAX = 1.5
WARM_UP_S = 10.0
_TELLING_S = 0.5
"""After the last slot its commit may still be on its way."""


async def measure(options: argparse.Namespace) -> int:
    """Both stacks, figures, check. The exit status."""
    alone, its_shard = await _lags(options, others=0)
    beside, shard = await _lags(options, others=options.agents)
    if shard != its_shard:
        raise BenchError(f"the agent lay in shard {its_shard}, then in shard {shard}")
    ratio = _rank(beside, 0.99) / _rank(alone, 0.99)
    figures: dict[str, Any] = {
        "agents_of_the_other": options.agents,
        "workers": options.workers,
        "seconds": options.seconds,
        "shard": shard,
        "alone_lag_ms": _percentiles(alone),
        "beside_lag_ms": _percentiles(beside),
        "p99_ratio": round(ratio, 2),
        "machine": machine.described(),
    }
    print(table(figures, "One agent beside many of another tenant"))
    failures = []
    if ratio > RATIO_MAX:
        failures.append(f"its lag p99 is {ratio:.2f} times that alone, the bound is {RATIO_MAX}")
    for where, lags in (("alone", alone), ("beside the other tenant", beside)):
        if len(lags) != options.seconds:
            failures.append(f"{where} its shard told {len(lags)} slots of {options.seconds}")
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    print(json.dumps(figures | {"failed": failures, "at": int(time.time())}))
    return 1 if failures else 0


async def _lags(options: argparse.Namespace, others: int) -> tuple[list[float], int]:
    """Sorted lags of the one agent's shard in ms, and the shard."""
    async with running_stack(options.price_source, options.workers) as stack:
        if others:
            plans = min(options.plans, others)
            seeded_s = await seed_running(stack, Fleet(others, plans, per_owner=others))
            print(f"{others} agents of one tenant made in {seeded_s:.1f} s", flush=True)
            await settled(stack)
        owner = await users.create_user(stack.database, f"{uuid4()}@example.com", "none")
        first_plan = await _plan_at_home(stack) if others else 0
        await seed(stack, Fleet(1, 1, first_plan=first_plan), owner.id)
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
        return sorted(heard.lags_ms(first, last, shard)), shard


async def _plan_at_home(stack: Stack) -> int:
    """A plan whose symbol's next agent comes into shard 0: of the shards that have the symbol, the
    emptiest is filled first.
    """
    found = await stack.sql("SELECT symbol, shard, count(*) FROM agents GROUP BY symbol, shard")
    taken: Counter[int] = Counter()
    for _, shard, agents in found:
        taken[shard] += agents
    for symbol in [symbol for symbol, shard, _ in found if shard == 0]:
        if min((taken[s], s) for each, s, _ in found if each == symbol)[1] == 0:
            return SYMBOLS.index(symbol)
    raise BenchError("shard 0 is not where the next agent of any symbol would come")


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
