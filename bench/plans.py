"""What the signals of a slot cost a worker: python -m bench.plans --plans N --shards K

One process, a real Redis, simulated prices of 50 symbols. Each slot, the plans are asked for shard
by shard, as ticks do. CPU is that of this process (without Redis, which is told apart), so other
work on the machine moves it little. Fails above CPU_US_MAX a plan.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from adapters import redis_keys as keys
from adapters.embedded_redis import EmbeddedRedis
from adapters.market_store import MarketStore
from adapters.price_simulated import SimulatedPrices
from adapters.redis_client import Redis, command, open_redis
from adapters.redis_clock import RedisClock
from bench.seeding import plan_parts
from engine.frames import Frame
from strategies import catalog
from workers.plan_book import PlanBook

CPU_US_MAX = 40.0
TIMEFRAME = "1m"


class PlansOnRecord:
    """A plan as PostgreSQL would have it."""

    def __init__(self, number: int) -> None:
        self.id = number
        self.symbol, self.strategy, params = plan_parts(number - 1)
        declared = catalog.get(self.strategy)
        self.timeframe, self.version = TIMEFRAME, declared.version
        self.params = declared.plan_params(params)


async def next_frame(market: MarketStore, clock: RedisClock, after: int) -> Frame:
    """The frame of the next slot, asked for as soon as it begins."""
    while True:
        answer = await market.frame(max(clock.slot(), after + 1))
        if answer.frame is not None and answer.frame.slot > after:
            return answer.frame
        await asyncio.sleep(0.005)


async def redis_cpu_s(redis: Redis) -> float:
    used = await command(redis, "INFO", "cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


async def measure(redis: Redis, plans: int, shards: int, slots: int) -> dict[str, float]:
    """Median microseconds a plan and slot: of this process and of Redis, and ms a shard's table."""
    from adapters.plan_directory import publish_plans

    await publish_plans(redis, [PlansOnRecord(number) for number in range(1, plans + 1)])
    market = MarketStore(redis, SimulatedPrices())
    clock = RedisClock(redis)
    await clock.refresh()
    book = PlanBook(redis, market)
    numbers = np.arange(1, plans + 1)
    parts = np.array_split(numbers, shards)
    slot, cpu, redis_cpu, waited = 0, [], [], []
    for turn in range(slots + 2):
        frame = await next_frame(market, clock, slot)
        slot = frame.slot
        began_redis, began = await redis_cpu_s(redis), time.process_time()
        for part in parts:
            began_part = time.perf_counter()
            await book.table(frame, part, late=False)
            if turn >= 2:
                waited.append((time.perf_counter() - began_part) * 1e3)
        if turn >= 2:
            cpu.append((time.process_time() - began) / plans * 1e6)
            redis_cpu.append((await redis_cpu_s(redis) - began_redis) / plans * 1e6)
    size = int(await command(redis, "MEMORY", "USAGE", keys.market_signals(slot)))
    return {
        "us of CPU a plan, median": median(cpu),
        "us of Redis a plan, median": median(redis_cpu),
        "ms for one shard, median": median(waited),
        "ms for one shard, longest": max(waited),
        "bytes a slot in Redis": size,
    }


async def run(plans: int, shards: int, slots: int) -> int:
    with tempfile.TemporaryDirectory(prefix="artic-bench-") as folder:
        server = EmbeddedRedis(Path(folder), durable=False)
        redis = open_redis(await server.start())
        try:
            figures = await measure(redis, plans, shards, slots)
        finally:
            await redis.aclose()
            await server.stop()
    for name, value in figures.items():
        print(f"{name:32} {value:12,.2f}")
    cost = figures["us of CPU a plan, median"]
    if cost > CPU_US_MAX:
        print(f"too slow: {cost:.1f} us a plan, at most {CPU_US_MAX:g}")
        return 1
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.plans", description=__doc__)
    parser.add_argument("--plans", type=int, default=1500)
    parser.add_argument("--shards", type=int, default=12)
    parser.add_argument("--slots", type=int, default=10)
    options = parser.parse_args(argv)
    return asyncio.run(run(options.plans, options.shards, options.slots))


if __name__ == "__main__":
    sys.exit(main())
