"""`python -m bench [NAME ...] [--full]`: the measurements one after another, short or at full size.

Every one runs, also after one has failed. Exits non-zero when a check of any of them failed.
"""

import argparse
import sys
import time
from collections.abc import Callable

from bench import candle_rush, density, first_tick, hub, plans, soak, strategies, takeover, trades

Measurement = tuple[Callable[[list[str]], int], list[str], list[str]]

MEASUREMENTS: dict[str, Measurement] = {
    "strategies": (strategies.main, ["--symbols", "20", "--strict"], ["--strict"]),
    "plans": (plans.main, ["--slots", "5"], []),
    "density": (density.main, ["--agents", "2000", "--seconds", "15"], []),
    "first-tick": (first_tick.main, ["--agents", "20"], []),
    "trades": (trades.main, ["--seconds", "30"], []),
    "kill": (trades.main, ["--seconds", "40", "--kill"], ["--kill"]),
    "hub": (
        hub.main,
        ["--seconds", "1", "--rounds", "3", "--agents", "2000", "--sockets", "200"],
        [],
    ),
    "soak": (soak.main, ["--seconds", "60"], []),
    "takeover": (takeover.main, ["--times", "4"], []),
    "candle-rush": (candle_rush.main, ["--users", "10", "--symbols", "10"], []),
}
"""By name: what runs, its arguments in the short set, and at full size."""


def main(argv: list[str] | None = None) -> int:
    """Runs what was named, or all; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--full", action="store_true", help="as in docs/measurements.md")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(MEASUREMENTS))
    if unknown:
        parser.error(f"no measurement {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    statuses: dict[str, int] = {}
    for name in options.names or MEASUREMENTS:
        run, short, full = MEASUREMENTS[name]
        began = time.monotonic()
        statuses[name] = run(full if options.full else short)
        print(f"{name}: {time.monotonic() - began:.0f} s\n", flush=True)
    for name, status in statuses.items():
        print(f"{name}: {'FAILED' if status else 'ok'}", file=sys.stderr if status else sys.stdout)
    return 1 if any(statuses.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
