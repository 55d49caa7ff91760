"""`python -m bench.candle_rush`: many users who ask for many candles at once, from nothing.

Thirty users, forty symbols, three timeframes, one request for each, all in the same moment, twice.
TwelveData and an exchange of our own count what they are asked. Fails when a caller waits longer
than five seconds or gets nothing, when TwelveData is asked more than eight times in any minute, or
anybody for the same candles twice.
"""

import argparse
import asyncio
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bench import machine
from bench.http_load import request_bytes
from bench.hub_client import new_account
from bench.stack import measured, running_stack
from bench.tables import table
from tests.servers.exchanges import serving
from tests.servers.hashkey import HashKeyServer
from tests.servers.hermes import KEY as PYTH_KEY
from tests.servers.hermes import Feed, hermes
from tests.servers.twelvedata import KEY, TwelveDataServer, twelvedata

TIMEFRAMES = ("1m", "5m", "1h")
PER_MINUTE = 8
CALLER_S = 5.0
BETWEEN_S = 45.0
"""From one rush to the next: what came in the first is fresh in the second."""
READ_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Told:
    """One caller's answer: status, where the candles came from, how long it took."""

    status: int
    source: str
    seconds: float
    bars: int


async def measure(options: argparse.Namespace) -> int:
    """One run. The exit status."""
    bases = {f"C{n:02}": 100.0 + n for n in range(options.symbols)}
    feeds = {base: Feed(f"{n:064x}", base, bases[base]) for n, base in enumerate(bases, 1)}
    exchange = HashKeyServer(prices=dict(bases))
    async with (
        hermes(feeds=feeds, event_s=0.4, walk=2e-4) as prices,
        serving(exchange),
        twelvedata(bases=bases) as candles,
    ):
        told = {
            "ARTIC_PYTH_URL": prices.url,
            "ARTIC_PYTH_API_KEY": PYTH_KEY,
            "ARTIC_EXCHANGE_URL": exchange.url,
            "ARTIC_TWELVEDATA_URL": candles.url,
            "ARTIC_TWELVE_DATA_API_KEY": KEY,
        }
        async with (
            running_stack("pyth", 2, options.keep, told) as stack,
            AsyncExitStack() as users,
        ):
            tokens = [
                (await users.enter_async_context(new_account(stack.hub_url))).token
                for _ in range(options.users)
            ]
            paths = [
                f"/api/market/candles?symbol={base}/USDT&timeframe={timeframe}&limit=100"
                for base in bases
                for timeframe in TIMEFRAMES
            ]
            port = int(stack.hub_url.rpartition(":")[2])
            rushes = []
            for number in range(options.rushes):
                if number:
                    await asyncio.sleep(BETWEEN_S)
                rushes.append(await _rush(port, tokens, paths))
            errors = stack.errors()
    return _report(options, rushes, candles, exchange, errors)


async def _rush(port: int, tokens: Sequence[str], paths: Sequence[str]) -> list[Told]:
    """Opens a connection for every request, then sends all of them."""
    go = asyncio.Event()
    opened = 0

    async def ask(token: str, path: str) -> tuple[bytes, bytes, float]:
        nonlocal opened
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=READ_BYTES)
        opened += 1
        await go.wait()
        began = time.perf_counter()
        writer.write(request_bytes("GET", path, token=token))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        took = time.perf_counter() - began
        writer.close()
        return head, body, took

    callers = [asyncio.create_task(ask(token, path)) for token in tokens for path in paths]
    while opened < len(callers) and not any(caller.done() for caller in callers):
        await asyncio.sleep(0.01)
    go.set()
    answers = await asyncio.gather(*callers)
    # Only now, so that reading one does not make another wait.
    return [_told(*each) for each in answers]


def _told(head: bytes, body: bytes, took: float) -> Told:
    status = int(head.split(b" ", 2)[1])
    answer = json.loads(body)
    return Told(status, answer.get("source", ""), took, len(answer.get("candles", ())))


def _report(
    options: argparse.Namespace,
    rushes: list[list[Told]],
    candles: TwelveDataServer,
    exchange: HashKeyServer,
    errors: list[str],
) -> int:
    answers = [told for rush in rushes for told in rush]
    slowest = _slowest(answers)
    statuses = Counter(told.status for told in answers)
    most = candles.most_in(60)
    twice = _asked_twice(candles)
    twice_exchange = [each for each, times in Counter(exchange.candles_asked).items() if times > 1]
    figures = {
        "callers in each rush": len(rushes[0]),
        "answers by status": statuses,
        **{
            f"rush {n}: answers by source": Counter(told.source for told in rush)
            for n, rush in enumerate(rushes, 1)
        },
        "answers with 100 bars": sum(told.bars == 100 for told in answers),
        **{
            f"rush {n}: median and slowest caller, s": f"{_median(rush):.2f}, {_slowest(rush):.2f}"
            for n, rush in enumerate(rushes, 1)
        },
        "TwelveData: requests": len(candles.asked),
        "TwelveData: most in any 60 s": most,
        "TwelveData: the same within 60 s": len(twice),
        "exchange: requests for candles": len(exchange.candles_asked),
    }
    what = f"{options.users} users, {options.symbols} symbols, {len(TIMEFRAMES)} timeframes"
    print(table(figures, f"{what}; {machine.described()}"))
    problems = [
        *([f"a caller waited {slowest:.1f} s"] if slowest > CALLER_S else []),
        *([f"{n} callers were told {status}" for status, n in statuses.items() if status != 200]),
        *([f"TwelveData was asked {most} times in a minute"] if most > PER_MINUTE else []),
        *([f"TwelveData was asked twice for {twice[:3]}"] if twice else []),
        *([f"the exchange was asked twice for {twice_exchange[:3]}"] if twice_exchange else []),
        *errors[:5],
    ]
    for problem in problems:
        print(f"FAILED: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _slowest(answers: Sequence[Told]) -> float:
    return max(told.seconds for told in answers)


def _median(answers: Sequence[Told]) -> float:
    return sorted(told.seconds for told in answers)[len(answers) // 2]


def _asked_twice(candles: TwelveDataServer) -> list[tuple[str, str]]:
    """Symbols and intervals that were asked for again before a minute was over."""
    last: dict[tuple[str, str], float] = {}
    twice = []
    for when, _, symbol, interval in candles.asked:
        if when - last.get((symbol, interval), -1e9) < 60:
            twice.append((symbol, interval))
        last[symbol, interval] = when
    return twice


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.candle_rush", description=__doc__)
    parser.add_argument("--users", type=int, default=30)
    parser.add_argument("--symbols", type=int, default=40)
    parser.add_argument("--rushes", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="leave logs and data behind")
    options = parser.parse_args(argv)
    # A socket for each request, here and in the hub, which inherits it.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return measured(measure(options))


if __name__ == "__main__":
    raise SystemExit(main())
