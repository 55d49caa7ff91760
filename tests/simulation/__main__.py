"""`python -m tests.simulation`: more seeds than the suite runs, on every core.

--seeds how many, --first from which on, --fault only these kinds of faults (comma-separated).
--planted: takes one rule of the design out after the other, and says how many seeds it takes to
see it; the suite goes on from the table that this writes. The exit code is 1 when a seed fails,
or a planted fault is not found.
"""

import argparse
import sys
import time
from functools import partial

from tests.simulation.planted import FAULTS, Sight, record
from tests.simulation.planted import SEEDS as PLANTED_SEEDS
from tests.simulation.schedule import FAULTS as KINDS
from tests.simulation.schedule import FaultKind
from tests.simulation.search import find_fault, on_every_core, run_seed


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
    if options.planted:
        return find_planted(options.first, options.seeds or PLANTED_SEEDS)
    seeds = range(options.first, options.first + (options.seeds or 2_000))
    return search(seeds, kinds or list(KINDS))


def search(seeds: range, kinds: list[FaultKind]) -> int:
    """Runs seeds on every core."""
    began, failed, tally = time.monotonic(), 0, dict[str, int]()
    found = on_every_core(partial(run_seed, kinds), seeds)
    for done, (text, counts) in enumerate(found, start=1):
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


def find_planted(first: int, seeds: int) -> int:
    """Prints a table of the planted faults: how many seeds it takes, and what was seen then.

    A search that begins with the first seed is kept for the suite.
    """
    print("| rule that is taken out | seeds | seen as |\n|---|---|---|")
    names = [fault.name for fault in FAULTS]
    sights: dict[str, Sight] = {}
    find = partial(find_fault, range(first, first + seeds))
    for name, sight in on_every_core(find, names):
        if isinstance(sight, Sight):
            sights[name] = sight
            print(f"| {name} | {sight.seed - first + 1} | {sight.seen} |", flush=True)
        else:
            print(f"| {name} | {sight} | |", flush=True)
        if first == 0:
            record(sights)
    return 1 if len(sights) < len(names) else 0


if __name__ == "__main__":
    raise SystemExit(main())
