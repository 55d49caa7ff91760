"""`python -m bench [NAME ...] [--full]`: the measurements one after another, short or at full size.

Every one runs, also after one has failed. Exits non-zero when a check of any of them failed. The
whole short set writes what it found into docs/measurements.md.
"""

import argparse
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from bench import candle_rush, density, first_tick, hub, plans, soak, strategies, takeover, trades
from bench.record import Done, figures_in, last_line, written
from bench.stack import ROOT

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

SHOWN = frozenset(
    (
        "agents",
        "due",
        "run",
        "missed",
        "lag_ms_p50",
        "lag_ms_p99",
        "lag_ms_max",
        "cpu_us_per_tick",
        "bytes_per_agent",
        "redis_ops_per_tick",
        "trades",
        "ledger_rows",
        "own_process_cpu_us_per_tick",
        "own_process_pss_bytes_per_agent",
        "round_trips",
        "get_status_ratio",
        "create_ratio",
        "long_list_p50_ms",
        "sockets_connected_s",
    )
)
"""Figures that the document repeats; the others are in the output alone."""


def main(argv: list[str] | None = None) -> int:
    """Runs what was named, or all; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--full", action="store_true", help="as in docs/measurements.md")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(MEASUREMENTS))
    if unknown:
        parser.error(f"no measurement {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    done: list[Done] = []
    for name in options.names or MEASUREMENTS:
        run, short, full = MEASUREMENTS[name]
        began = time.monotonic()
        with last_line() as said:
            status = run(full if options.full else short)
        done.append(Done(name, time.monotonic() - began, status, figures_in(said.line)))
        print(f"{name}: {done[-1].seconds:.0f} s\n", flush=True)
    for each in done:
        word, stream = ("FAILED", sys.stderr) if each.status else ("ok", sys.stdout)
        print(f"{each.name}: {word}", file=stream)
    if not options.names and not options.full:
        today = datetime.now(UTC).date().isoformat()
        written(ROOT / "docs" / "measurements.md", done, today, SHOWN.__contains__)
    return 1 if any(each.status for each in done) else 0


if __name__ == "__main__":
    raise SystemExit(main())
