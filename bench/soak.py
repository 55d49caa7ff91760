"""`python -m bench.soak`: live prices from a service that breaks, and agents that trade on them.

A Hermes server of our own disconnects, sends nonsense and stalls by the clock, while the real stack
streams from it. Fails when a tick was missed, a slot had no frame, a trade was made on a stale
price, memory grew, or the service was asked more often than it allows.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from adapters import redis_keys as keys
from bench import machine
from bench.hub_client import Account, new_account
from bench.stack import Stack, measured, running_stack
from bench.tables import table
from engine.frames import PRICE_STALE_S, decode_frame
from tests.servers.exchanges import serving
from tests.servers.hashkey import HashKeyServer
from tests.servers.hermes import KEY, HermesServer, hermes

DISCONNECT_S, MALFORMED_S, STALL_S = 20.0, 10.0, 60.0
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
STRATEGIES = ("simple_momentum", "momentum_breakout", "bollinger_reversion")
WARM_UP_S = 20.0
"""Until every agent has ticked on a live price, and every process has loaded what it needs."""
GROWTH_MAX = 0.05
"""Of the memory of a process, from the second quarter of the run to the last."""
GROWTH_BYTES = 6 * 2**20
SETTLE_S = 3.0


@dataclass(slots=True)
class Watch:
    """What was seen from outside. ages: seconds from publish time to slot, the oldest symbol's."""

    frames: dict[int, dict[str, tuple[float, float]]] = field(default_factory=dict)
    without_frame: list[int] = field(default_factory=list)
    memory: dict[str, list[int]] = field(default_factory=dict)

    def ages(self) -> list[float]:
        """Of each slot, how old its oldest price was."""
        return [
            max(slot - published for _, published in prices.values())
            for slot, prices in self.frames.items()
            if prices
        ]


async def measure(options: argparse.Namespace) -> int:
    """One run. The exit status."""
    watch = Watch()
    async with hermes(event_s=0.4, walk=2e-4) as server, serving(HashKeyServer()) as exchange:
        told = {
            "ARTIC_PYTH_URL": server.url,
            "ARTIC_PYTH_API_KEY": KEY,
            "ARTIC_EXCHANGE_URL": exchange.url,
        }
        async with (
            running_stack("pyth", options.workers, options.keep, told) as stack,
            new_account(stack.hub_url) as account,
        ):
            await _make_agents(account, options.agents)
            await asyncio.sleep(WARM_UP_S)
            began = await account.get("/api/agents")
            missed_before = await _missed(account, began)
            first_slot = int(await stack.redis.get(keys.market_newest())) + 1
            async with _faults(server) as faults, _watching(stack, watch, first_slot):
                await asyncio.sleep(options.seconds)
            await asyncio.sleep(SETTLE_S)
            missed = await _missed(account, began) - missed_before
            sources = (await account.get("/api/market/sources"))["sources"]
            trades = await stack.sql(
                "SELECT symbol, extract(epoch FROM opened_at)::bigint,"
                " extract(epoch FROM closed_at)::bigint FROM trades"
            )
            errors = stack.errors()
    return _report(options, watch, server, faults, missed, sources[0], trades, errors)


async def _make_agents(account: Account, count: int) -> None:
    risk = {"max_position_usd": 1000, "stop_loss_pct": 0.1, "take_profit_pct": 0.1}
    for number in range(count):
        body = {
            "symbol": SYMBOLS[number % len(SYMBOLS)],
            "strategy_name": STRATEGIES[number // len(SYMBOLS) % len(STRATEGIES)],
            "interval_seconds": 1 + number % 2,
            "strategy_params": {"threshold": 0.01},
            "risk_params": risk,
        }
        await account.post("/api/agents", body)


async def _missed(account: Account, agents: list[dict[str, str]]) -> int:
    statuses = [await account.get(f"/api/agents/{agent['id']}/status") for agent in agents]
    return sum(int(status["missed_ticks"]) for status in statuses)


@asynccontextmanager
async def _faults(server: HermesServer) -> AsyncIterator[dict[str, int]]:
    """Lets the server fail by the clock; how often it did, by kind."""
    done = {"disconnect": 0, "malformed event": 0, "stalled socket": 0}

    async def every(seconds: float, first: float, kind: str, fail: Callable[[], None]) -> None:
        await asyncio.sleep(first)
        while True:
            fail()
            done[kind] += 1
            await asyncio.sleep(seconds)

    # Never two at once: a disconnect would hide what came just before it.
    faults = (
        (DISCONNECT_S, 20.0, "disconnect", server.wire.break_off),
        (MALFORMED_S, 5.0, "malformed event", server.malformed),
        (STALL_S, 28.0, "stalled socket", server.stall),
    )
    tasks = [asyncio.create_task(every(*fault)) for fault in faults]
    try:
        yield done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def _watching(stack: Stack, watch: Watch, first_slot: int) -> AsyncIterator[None]:
    """Reads every frame, and every few seconds the memory of our processes, without that of the
    exchange's, which comes and goes.
    """
    parts = [part for part in stack.processes() if part.startswith(("worker", "hub", "agent"))]

    async def look() -> None:
        slot = first_slot
        while True:
            now = int((await stack.redis.time())[0])
            while slot < now:
                data = await stack.redis.get(keys.market_frame(slot))
                if data is None:
                    watch.without_frame.append(slot)
                else:
                    frame = decode_frame(data)
                    watch.frames[slot] = {
                        symbol: (float(frame.price[n]), float(frame.publish_time[n]))
                        for n, symbol in enumerate(frame.symbols)
                    }
                slot += 1
            if now % 5 == 0:
                for part in parts:
                    if (pid := stack.pid_of(part)) is not None:
                        watch.memory.setdefault(part, []).append(machine.memory([pid]).pss)
            await asyncio.sleep(1.0)

    task = asyncio.create_task(look())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _report(
    options: argparse.Namespace,
    watch: Watch,
    server: HermesServer,
    faults: dict[str, int],
    missed: int,
    source: dict[str, object],
    trades: list[tuple[object, ...]],
    errors: list[str],
) -> int:
    ages = watch.ages()
    moments = [(str(s), int(str(t))) for s, *times in trades for t in times if t is not None]
    known = [(s, t) for s, t in moments if t in watch.frames]
    stale = [(s, t) for s, t in known if t - watch.frames[t][s][1] > PRICE_STALE_S]
    grown = {part: _growth(sizes) for part, sizes in watch.memory.items() if len(sizes) >= 8}
    gaps = [b - a for a, b in zip(server.asked_at, server.asked_at[10:], strict=False)]
    problems = [
        *([f"{missed} ticks missed"] if missed else []),
        *([f"slots without a frame: {watch.without_frame[:5]}"] if watch.without_frame else []),
        *([f"traded on stale prices: {stale[:5]}"] if stale else []),
        *(["nothing was traded"] if not known else []),
        *([f"memory grew: {part} by {of:.0%}" for part, (of, size) in grown.items()
           if of > GROWTH_MAX and size > GROWTH_BYTES]),
        *(["more than ten requests in ten seconds"] if gaps and min(gaps) < 10 else []),
        *errors[:5],
    ]  # fmt: skip
    figures = {
        "faults": faults,
        "streams asked for": server.streams_asked,
        "events sent": server.events,
        "errors, malformed events counted": f"{source['errors']}, {source['malformed']}",
        "slots": len(watch.frames),
        "slots without a frame": len(watch.without_frame),
        "ticks missed": missed,
        "age of a slot's oldest price, max": f"{max(ages, default=0):.0f} s",
        "slots with a stale price": sum(age > PRICE_STALE_S for age in ages),
        "fills": len(known),
        "fills on a stale price": len(stale),
        **{
            f"memory of {part}, MB in each quarter": ", ".join(
                f"{size / 2**20:.1f}" for size in _quarters(watch.memory[part])
            )
            for part in grown
        },
    }
    title = f"{options.agents} agents on prices of Pyth; {machine.described()}"
    print(table(figures, title))
    for problem in problems:
        print(f"FAILED: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _quarters(sizes: list[int]) -> list[int]:
    """The median of each quarter of a run."""
    quarter = len(sizes) // 4
    return [sorted(sizes[n * quarter : (n + 1) * quarter])[quarter // 2] for n in range(4)]


def _growth(sizes: list[int]) -> tuple[float, int]:
    """From the second quarter, when every cache has filled up, to the last: fraction and bytes."""
    _, second, _, last = _quarters(sizes)
    return last / second - 1, last - second


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--agents", type=int, default=18)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="leave logs and data behind")
    options = parser.parse_args(argv)
    print(f"soak: {options.seconds:g} s from {time.strftime('%H:%M:%S')}", flush=True)
    return measured(measure(options))


if __name__ == "__main__":
    raise SystemExit(main())
