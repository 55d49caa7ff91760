"""What the strategies cost: `python -m bench.strategies [--bars N] [--symbols S] [--strict]`

Every strategy of the catalogue with its defaults on N simulated 1-minute bars of S symbols. A bar
that closes makes all indicators anew, a later second of the same bar only adds the forming bar:
both are told. Each strategy is timed on windows of its own, so that none profits from another; the
whole catalogue on one window is what a worker does. Medians, since other work on the machine only
adds; --strict fails when the catalogue of one symbol misses CATALOGUE_US_MAX.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from adapters.price_simulated import SimulatedPrices
from engine.frames import CLOSE, HIGH, LOW, VOLUME, Floats
from strategies import catalog
from strategies.base import Candles
from strategies.evaluation import Prepared

CATALOGUE_US_MAX = 1000.0
AT = 1_767_225_600
"""The moment of the newest bar; simulated prices are functions of the time alone."""
SECONDS = 4
"""Seconds of the same bar that are looked at after the one in which it began."""
ROUNDS = 5


def seconds_of_a_bar(symbol: str, bars: int, turn: int) -> list[Floats]:
    """Windows f8[6, bars] of one symbol: as its last bar begins, and some seconds later."""
    rows = SimulatedPrices(seed=turn).history(symbol, "1m", AT, bars)
    first = np.ascontiguousarray(rows.T)
    moves = np.random.default_rng(turn).normal(0, 2e-4, SECONDS)
    windows = [first]
    for move in moves.tolist():
        later = windows[-1].copy()
        later[CLOSE, -1] *= 1 + move
        later[HIGH, -1] = max(later[HIGH, -1], later[CLOSE, -1])
        later[LOW, -1] = min(later[LOW, -1], later[CLOSE, -1])
        later[VOLUME, -1] *= 1.01
        windows.append(later)
    return windows


def look(columns: Floats, before: Candles | None) -> Candles:
    """A window as a worker takes it up: checked, and what is known of its closed bars kept."""
    candles = Candles(*columns)
    if before is not None:
        candles.follow(before)
    _ = candles.flaw, candles.flat
    return candles


def alone_us(plans: list[Prepared], windows: Iterable[list[Floats]]) -> list[tuple[float, float]]:
    """Median microseconds of each strategy: when a bar has closed, and in later seconds."""
    new_bar: list[list[float]] = [[] for _ in plans]
    later: list[list[float]] = [[] for _ in plans]
    for seconds in windows:
        # strategy after strategy on each window, so that other work falls on all of them alike
        for place, plan in enumerate(plans):
            candles: Candles | None = None
            for columns in seconds:
                taken = later[place] if candles else new_bar[place]
                candles = look(columns, candles)
                began = time.perf_counter_ns()
                plan.evaluate(candles)
                taken.append((time.perf_counter_ns() - began) / 1e3)
    return [(median(first), median(rest)) for first, rest in zip(new_bar, later, strict=True)]


def catalogue_us(plans: list[Prepared], windows: Iterable[list[Floats]]) -> tuple[float, float]:
    """Median microseconds of all strategies on one window, taking it up included."""
    new_bar: list[float] = []
    later: list[float] = []

    def everything(columns: Floats, before: Candles | None) -> Candles:
        candles = look(columns, before)
        for plan in plans:
            plan.evaluate(candles)
        return candles

    for seconds in windows:
        candles: Candles | None = None
        for columns in seconds:
            began = time.perf_counter_ns()
            before, candles = candles, everything(columns, candles)
            (later if before else new_bar).append((time.perf_counter_ns() - began) / 1e3)
    return median(new_bar), median(later)


def main(argv: list[str] | None = None) -> int:
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.strategies", description=__doc__)
    parser.add_argument("--bars", type=int, default=300)
    parser.add_argument("--symbols", type=int, default=50, help="at most 50")
    parser.add_argument("--strict", action="store_true", help="fail when the aim is missed")
    options = parser.parse_args(argv)
    symbols = SimulatedPrices.symbols[: options.symbols]
    windows = [
        seconds_of_a_bar(symbol, options.bars, turn) for turn in range(ROUNDS) for symbol in symbols
    ]
    plans = [catalog.prepare(strategy, {}) for strategy in catalog.STRATEGIES]
    table = Table(title=f"{options.bars} bars of {len(symbols)} symbols, median us")
    for name in ("strategy", "a bar closed", "later second"):
        table.add_column(name, justify="left" if name == "strategy" else "right")
    catalogue_us(plans, windows[:10])  # the first calls of all
    for plan, costs in zip(plans, alone_us(plans, windows), strict=True):
        table.add_row(plan.strategy.name, *(f"{us:.1f}" for us in costs))
    new_bar, later = catalogue_us(plans, windows)
    table.add_section()
    table.add_row(f"all {len(plans)} on one window", f"{new_bar:.0f}", f"{later:.0f}")
    Console(width=80, color_system=None).print(table)
    missed = new_bar > CATALOGUE_US_MAX
    said = "missed" if missed else "reached"
    print(f"the whole catalogue of one symbol, at most {CATALOGUE_US_MAX:.0f} us: {said}")
    return 1 if missed and options.strict else 0


if __name__ == "__main__":
    sys.exit(main())
