"""`python -m bench.takeover`: the process that streams the prices is killed or stopped, many times.

From the signal to the first price that another process writes into the live table, by the clock of
Redis. Every second time the holder of the stream is stopped instead of killed, and goes on after
its lease was taken: it must not write. Fails when a takeover lasted longer than three seconds, a
tick was missed, a slot had no frame, or the service was asked more often than it allows.

`--source exchange` measures prices of an exchange instead: another worker has to start a process
that loads ccxt, so it may take longer, but never so long that prices turn stale.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from adapters import redis_keys as keys
from adapters.live_table import LiveTable
from bench import machine
from bench.hub_client import Account, new_account
from bench.stack import BenchError, Stack, measured, running_stack
from bench.tables import table
from engine.frames import PRICE_STALE_S
from tests.servers.exchanges import serving
from tests.servers.hashkey import HashKeyServer
from tests.servers.hermes import KEY, HermesServer, hermes

TAKEN_S = {"pyth": 3.0, "exchange": float(PRICE_STALE_S)}
"""Another process streams within this."""
PUSH_EVERY_S = 0.2
QUIET_S = 6.0
"""From one takeover to the next, so that what was killed is there again."""
GIVEN_UP_S = 30.0
POLL_S = 0.01
SYMBOLS = ("BTC/USDT", "ETH/USDT")


@dataclass(frozen=True, slots=True)
class Takeover:
    """One of them: how the holder ended, and seconds until another's first price."""

    how: str
    seconds: float
    heir_is_other: bool


async def measure(options: argparse.Namespace) -> int:
    """One run. The exit status."""
    async with hermes(event_s=0.2, walk=2e-4) as server, _moving_exchange() as exchange:
        told = {
            "ARTIC_PYTH_URL": server.url,
            "ARTIC_PYTH_API_KEY": KEY,
            "ARTIC_EXCHANGE_URL": exchange.url,
        }
        async with (
            running_stack(options.source, options.workers, options.keep, told) as stack,
            new_account(stack.hub_url) as account,
        ):
            await _until_symbols(account)
            agents = [
                await account.post("/api/agents", {"symbol": s, "strategy_name": "breakout"})
                for s in SYMBOLS
            ]
            live = LiveTable(stack.redis)
            await _until_streaming(stack, live)
            missed_before = await _missed(account, agents)
            first_slot = int(await stack.redis.get(keys.market_newest())) + 1
            takeovers = []
            for number in range(options.times):
                how = "stopped" if number % 2 else "killed"
                takeovers.append(await _one(stack, live, how))
                print(f"{how}: {takeovers[-1].seconds:.2f} s", flush=True)
            last_slot = int(await stack.redis.get(keys.market_newest()))
            frameless = await _without_frame(stack, first_slot, last_slot)
            missed = await _missed(account, agents) - missed_before
    return _report(options, server, takeovers, frameless, missed)


@asynccontextmanager
async def _moving_exchange() -> AsyncIterator[HashKeyServer]:
    """An exchange whose prices change all the time."""
    async with serving(HashKeyServer()) as exchange:
        moving = asyncio.create_task(_move(exchange))
        try:
            yield exchange
        finally:
            moving.cancel()
            await asyncio.gather(moving, return_exceptions=True)


async def _move(exchange: HashKeyServer) -> None:
    while True:
        for base, price in list(exchange.prices.items()):
            with suppress(ConnectionError):  # of a client that was killed
                await exchange.push(base, price * 1.00001)
        await asyncio.sleep(PUSH_EVERY_S)


async def _one(stack: Stack, live: LiveTable, how: str) -> Takeover:
    """Ends the holder's turn, and waits until another has written and all is as before."""
    before = await live.holder()
    pid = int(before.rpartition("-")[2])
    if not any(pid in pids for pids in stack.processes().values()):
        raise BenchError(f"{before} holds the stream, and is no process of this stack")
    began = await _redis_time(stack)
    os.kill(pid, signal.SIGSTOP if how == "stopped" else signal.SIGKILL)
    deadline = began + GIVEN_UP_S
    while await live.holder() in {"", before}:
        await _pause_until(stack, deadline)
    taken_at = await _redis_time(stack)
    while (wrote := await _last_write(stack)) < taken_at:
        await _pause_until(stack, deadline)
    after = await live.holder()
    if how == "stopped":
        os.kill(pid, signal.SIGCONT)
    await asyncio.sleep(QUIET_S)
    kept = await live.holder()
    return Takeover(how, wrote - began, heir_is_other=before not in {after, kept})


async def _pause_until(stack: Stack, deadline: float) -> None:
    if await _redis_time(stack) > deadline:
        raise BenchError(f"nobody took the stream over within {GIVEN_UP_S:g} s")
    await asyncio.sleep(POLL_S)


async def _last_write(stack: Stack) -> float:
    """When the path got its newest entry. Writes ask for the lease, so one after the lease was
    taken is the heir's; one before it may be of the old holder's own process of the exchange.
    """
    entries = await stack.redis.xrevrange(keys.market_path(), "+", "-", 1)
    return int(entries[0][0].partition(b"-")[0]) / 1000 if entries else 0.0


async def _redis_time(stack: Stack) -> float:
    seconds, micros = await stack.redis.time()
    return float(seconds) + float(micros) / 1e6


async def _until_symbols(account: Account) -> None:
    """Agents are made only of symbols that the source has said."""
    for _ in range(int(GIVEN_UP_S / 0.1)):
        try:
            await account.get("/api/market/symbols")
        except BenchError:
            await asyncio.sleep(0.1)
        else:
            return
    raise BenchError("the source does not say its symbols")


async def _until_streaming(stack: Stack, live: LiveTable) -> None:
    for _ in range(int(GIVEN_UP_S / 0.1)):
        if set(await live.prices(SYMBOLS)) == set(SYMBOLS):
            await asyncio.sleep(QUIET_S)
            return
        await asyncio.sleep(0.1)
    raise BenchError("no prices have come")


async def _missed(account: Account, agents: list[dict[str, str]]) -> int:
    statuses = [await account.get(f"/api/agents/{agent['id']}/status") for agent in agents]
    return sum(int(status["missed_ticks"]) for status in statuses)


async def _without_frame(stack: Stack, first: int, last: int) -> list[int]:
    slots = range(first, last + 1)
    kept = await asyncio.gather(*(stack.redis.exists(keys.market_frame(s)) for s in slots))
    return [slot for slot, there in zip(slots, kept, strict=True) if not there]


def _report(
    options: argparse.Namespace,
    server: HermesServer,
    takeovers: list[Takeover],
    frameless: list[int],
    missed: int,
) -> int:
    figures: dict[str, object] = {}
    for how in ("killed", "stopped"):
        took = sorted(each.seconds for each in takeovers if each.how == how)
        if took:
            shown = f"{took[0]:.2f}, {took[len(took) // 2]:.2f}, {took[-1]:.2f}"
            figures[f"{how} {len(took)} times: fastest, median, slowest, s"] = shown
    gaps = [b - a for a, b in zip(server.asked_at, server.asked_at[10:], strict=False)]
    figures |= {"slots without a frame": len(frameless), "ticks missed": missed}
    if options.source == "pyth":
        figures |= {
            "requests to the service": len(server.asked_at),
            "streams at a time, most": server.most_streams,
        }
    slowest = max(each.seconds for each in takeovers)
    problems = [
        *([f"a takeover lasted {slowest:.2f} s"] if slowest > TAKEN_S[options.source] else []),
        *(["the old holder has it again"] if not all(t.heir_is_other for t in takeovers) else []),
        *([f"{missed} ticks missed"] if missed else []),
        *([f"slots without a frame: {frameless[:5]}"] if frameless else []),
        *(["more than ten requests in ten seconds"] if gaps and min(gaps) < 10 else []),
    ]
    print(table(figures, f"{options.source}, {options.workers} workers; {machine.described()}"))
    for problem in problems:
        print(f"FAILED: {problem}", file=sys.stderr)
    return 1 if problems else 0


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.takeover", description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--source", choices=sorted(TAKEN_S), default="pyth")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="leave logs and data behind")
    return measured(measure(parser.parse_args(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
