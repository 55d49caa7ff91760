"""`python -m tests.simulation`: more seeds than the suite runs, on every core.

--seeds how many, --first from which on, --fault only these kinds of faults (comma-separated).
The exit code is 1 when a seed fails; it is printed with the steps that it takes.
"""

import argparse
import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path
from queue import Empty
from typing import TypeAlias

from adapters.db.migrate import migrate
from adapters.embedded_postgres import EmbeddedPostgres
from tests.simulation.real_side import RealSide
from tests.simulation.run import run, shrunk
from tests.simulation.schedule import FAULTS, FaultKind, draw

Found: TypeAlias = "multiprocessing.Queue[tuple[int, str, dict[str, int]]]"
Seeds: TypeAlias = "multiprocessing.Queue[int]"


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--fault", default="", help=f"of {', '.join(FAULTS)}")
    options = parser.parse_args()
    kinds = [kind for kind in FAULTS if kind in options.fault.split(",")]
    if options.fault and len(kinds) != len(options.fault.split(",")):
        print(f"--fault: choose of {', '.join(FAULTS)}", file=sys.stderr)
        return 2
    return search(range(options.first, options.first + options.seeds), kinds or list(FAULTS))


def search(seeds: range, kinds: list[FaultKind]) -> int:
    """Runs seeds on every core."""
    context = multiprocessing.get_context("spawn")
    todo: Seeds = context.Queue()
    found: Found = context.Queue()
    for seed in seeds:
        todo.put(seed)
    began, failed, tally = time.monotonic(), 0, dict[str, int]()
    workers = [
        context.Process(target=work, args=(todo, found, kinds)) for _ in range(os.cpu_count() or 1)
    ]
    for worker in workers:
        worker.start()
    for done in range(1, len(seeds) + 1):
        _, text, counts = found.get()
        for name, count in counts.items():
            tally[name] = tally.get(name, 0) + count
        if text:
            failed += 1
            print(text, flush=True)
        if done % 100 == 0:
            print(f"{done} seeds, {failed} failed, {time.monotonic() - began:.0f} s", flush=True)
    for worker in workers:
        worker.join()
    print(f"{len(seeds)} seeds, {failed} failed, {time.monotonic() - began:.0f} s")
    print(", ".join(f"{name}: {count}" for name, count in sorted(tally.items())))
    return 1 if failed else 0


def work(todo: Seeds, found: Found, kinds: list[FaultKind]) -> None:
    """One process with a server of its own, until no seed is left."""
    with tempfile.TemporaryDirectory(prefix="artic-simulation-") as folder:
        Path(folder).chmod(0o711)
        server = EmbeddedPostgres(Path(folder), durable=False)
        url = asyncio.run(server.start())
        try:
            asyncio.run(migrate(url))
            side = RealSide(url)
            while True:
                try:
                    seed = todo.get(timeout=1)
                except Empty:
                    break
                outcome = run(draw(seed, kinds), side)
                text = str(shrunk(outcome, side)) if outcome.violation else ""
                found.put((seed, text, outcome.counts))
            side.close()
        finally:
            asyncio.run(server.stop())


if __name__ == "__main__":
    raise SystemExit(main())
