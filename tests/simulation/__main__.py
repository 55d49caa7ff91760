"""`python -m tests.simulation`: more seeds than the suite runs, on every core.

--seeds how many, --first from which on, --fault only these kinds of faults (comma-separated).
--planted: takes one rule of the design out after the other, and says how many seeds it takes to
see it. The exit code is 1 when a seed fails, or a planted fault is not found.
"""

import argparse
import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.context import SpawnContext
from pathlib import Path
from queue import Empty
from typing import Any, TypeAlias

from adapters.db.migrate import migrate
from adapters.embedded_postgres import EmbeddedPostgres
from tests.simulation.planted import BY_NAME, FAULTS, planted
from tests.simulation.real_side import RealSide
from tests.simulation.run import run, shrunk
from tests.simulation.schedule import FAULTS as KINDS
from tests.simulation.schedule import FaultKind, draw

Queue: TypeAlias = "multiprocessing.Queue[Any]"

PLANTED_SEEDS = 500


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=None)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--fault", default="", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--planted", action="store_true")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS if kind in options.fault.split(",")]
    if options.fault and len(kinds) != len(options.fault.split(",")):
        print(f"--fault: choose of {', '.join(KINDS)}", file=sys.stderr)
        return 2
    context = multiprocessing.get_context("spawn")
    if options.planted:
        return find_planted(context, options.first, options.seeds or PLANTED_SEEDS)
    seeds = range(options.first, options.first + (options.seeds or 2_000))
    return search(context, seeds, kinds or list(KINDS))


def search(context: SpawnContext, seeds: range, kinds: list[FaultKind]) -> int:
    """Runs seeds on every core."""
    began, failed, tally = time.monotonic(), 0, dict[str, int]()
    for done, (text, counts) in enumerate(on_every_core(context, run_seed, seeds, kinds), start=1):
        for name, count in counts.items():
            tally[name] = tally.get(name, 0) + count
        if text:
            failed += 1
            print(text, flush=True)
        if done % 100 == 0:
            print(f"{done} seeds, {failed} failed, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{len(seeds)} seeds, {failed} failed, {time.monotonic() - began:.0f} s")
    print(", ".join(f"{name}: {count}" for name, count in sorted(tally.items())))
    return 1 if failed else 0


def run_seed(side: RealSide, seed: int, kinds: list[FaultKind]) -> tuple[str, dict[str, int]]:
    """'' or the failure with as few steps as it takes, and what happened how often."""
    outcome = run(draw(seed, kinds), side)
    return str(shrunk(outcome, side)) if outcome.violation else "", outcome.counts


def find_planted(context: SpawnContext, first: int, seeds: int) -> int:
    """Prints a table of the planted faults: how many seeds it takes, and what was seen then."""
    print("| rule that is taken out | seeds | seen as |\n|---|---|---|")
    names = [fault.name for fault in FAULTS]
    missing = 0
    for name, seed, seen in on_every_core(context, find_fault, names, range(first, first + seeds)):
        missing += seed is None
        needed = "not found" if seed is None else seed - first + 1
        print(f"| {name} | {needed} | {seen} |", flush=True)
    return 1 if missing else 0


def find_fault(side: RealSide, name: str, seeds: range) -> tuple[str, int | None, str]:
    """The first seed that sees a fault, and as what."""
    for seed in seeds:
        violation = run(draw(seed), side, partial(planted, fault=BY_NAME[name])).violation
        if violation:
            return name, seed, violation.splitlines()[0][:120]
    return name, None, ""


def on_every_core(
    context: SpawnContext, work: Any, items: Sequence[Any], argument: Any
) -> Iterator[Any]:
    """What work(side, item, argument) answers for each item, in the order in which it comes."""
    todo, found = context.Queue(), context.Queue()
    for item in items:
        todo.put(item)
    processes = [
        context.Process(target=_worker, args=(todo, found, work, argument))
        for _ in range(os.cpu_count() or 1)
    ]
    for process in processes:
        process.start()
    for _ in items:
        yield found.get()
    for process in processes:
        process.join()


def _worker(todo: Queue, found: Queue, work: Any, argument: Any) -> None:
    with _side() as side:
        while True:
            try:
                item = todo.get(timeout=1)
            except Empty:
                return
            found.put(work(side, item, argument))


@contextmanager
def _side() -> Iterator[RealSide]:
    """A database on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="artic-simulation-") as folder:
        Path(folder).chmod(0o711)
        server = EmbeddedPostgres(Path(folder), durable=False)
        url = asyncio.run(server.start())
        try:
            asyncio.run(migrate(url))
            side = RealSide(url)
            yield side
            side.close()
        finally:
            asyncio.run(server.stop())


if __name__ == "__main__":
    raise SystemExit(main())
