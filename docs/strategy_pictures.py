"""Draws the pictures of docs/strategies.md: `make strategy-pictures`, or some with ARGS="z_score".

Each shows the signal of one strategy, with its defaults, at every close of four days of bitcoin in
August 2024 (a rise, a range, a fall), and what the trading rule makes of it without stops, targets
and fees. They are drawn from the recording that the tests use and come out the same to the byte.
"""

import io
import os
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from PIL import Image

from strategies import catalog
from strategies.base import WINDOW_BARS, Candles, FloatArray, Strategy

HERE = Path(__file__).resolve().parent
RECORDING = "BTCUSDT_15m_2024.csv"
FIRST, BARS = 21_098, 400
"""Where the four days begin in the recording: 2024-08-07 17:30 UTC."""

UP, DOWN, PRICE, FAINT = "#1a7f4b", "#b3382c", "#24292f", "#8c959f"
STYLE = {
    "font.family": "DejaVu Sans",  # it comes with matplotlib, so every machine has the same
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
}


def recorded() -> FloatArray:
    """The four days as rows of bars, with the window that the first of them needs before it."""
    folder = Path(os.environ.get("ARTIC_TEST_DATA", HERE.parents[1] / "shared" / "data"))
    if not (folder / RECORDING).is_file():
        sys.exit(f"no {RECORDING} in {folder}; set ARTIC_TEST_DATA to the folder of recordings")
    bars: FloatArray = np.loadtxt(folder / RECORDING, delimiter=",", skiprows=1)
    return bars[FIRST - WINDOW_BARS + 1 : FIRST + BARS]


def signals(strategy: Strategy, bars: FloatArray) -> FloatArray:
    """The signal at each close, as a backtest sees it: the window ends with that bar."""
    plan = catalog.prepare(strategy, {})
    windows = (
        Candles.from_bars(bars[end - WINDOW_BARS : end])
        for end in range(WINDOW_BARS, len(bars) + 1)
    )
    return np.array([plan.evaluate(window).value for window in windows])


def sides(values: FloatArray, threshold: float) -> list[int]:
    """The position after each close: flat opens with the signal, an opposite one closes."""
    held, side = [], 0
    for value in values.tolist():
        if abs(value) >= threshold:
            direction = 1 if value > 0 else -1
            side = direction if side == 0 else side if side == direction else 0
        held.append(side)
    return held


def draw(strategy: Strategy, bars: FloatArray) -> bytes:
    """One picture as PNG."""
    shown, values = Candles.from_bars(bars[-BARS:]), signals(strategy, bars)
    threshold = float(strategy.defaults["threshold"])
    held = sides(values, threshold)
    time = shown.time.astype("datetime64[s]")
    figure = Figure(figsize=(9, 4.2), dpi=100, layout="constrained")
    heights = [3.0, 0.6, 1.6] if strategy.needs_volume else [3.0, 1.6]
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    draw_price(panels[0], time, shown, held)
    if strategy.needs_volume:
        panels[1].fill_between(time, shown.volume, step="mid", color=FAINT, linewidth=0)
        panels[1].set_ylabel("volume", fontsize=7)
        panels[1].set_yticks([])
    draw_signal(panels[-1], time, values, threshold)
    panels[0].set_title(f"{strategy.name}  ({strategy.family})", loc="left", fontweight="bold")
    panels[0].set_title("BTC/USDT, 15-minute bars, UTC", loc="right", color=FAINT, fontsize=8)
    locator = AutoDateLocator()
    panels[-1].xaxis.set_major_locator(locator)
    panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    panels[-1].set_xlim(time[0], time[-1])
    return as_png(figure)


def draw_price(panel: Any, time: Any, shown: Candles, held: list[int]) -> None:
    """Closes, highs and lows, and in color while the rule is long or short."""
    panel.fill_between(time, shown.low, shown.high, color=FAINT, alpha=0.35, linewidth=0)
    panel.plot(time, shown.close, color=PRICE, linewidth=0.9)
    edges = [at for at in range(1, BARS) if held[at] != held[at - 1]]
    for begin, end in zip([0, *edges], [*edges, BARS - 1], strict=True):
        if held[begin]:
            color = UP if held[begin] > 0 else DOWN
            panel.axvspan(time[begin], time[end], color=color, alpha=0.12, linewidth=0)
            marker = "^" if held[begin] > 0 else "v"
            price = shown.close[begin]
            panel.plot(time[begin], price, marker, color=color, markersize=6)
            panel.plot(time[end], shown.close[end], "x", color=color, markersize=4)
    panel.set_ylabel("price")
    panel.yaxis.set_major_formatter("{x:,.0f}")


def draw_signal(panel: Any, time: Any, values: FloatArray, threshold: float) -> None:
    """The signal as an area, and the lines at which the rule acts."""
    for color, part in ((UP, np.maximum(values, 0)), (DOWN, np.minimum(values, 0))):
        panel.fill_between(time, part, step="post", color=color, alpha=0.75, linewidth=0)
    for line in (-threshold, threshold):
        panel.axhline(line, color=FAINT, linewidth=0.7, linestyle=(0, (4, 3)))
    panel.axhline(0, color=FAINT, linewidth=0.5)
    panel.set_ylim(-1.05, 1.05)
    panel.set_yticks([-1, -threshold, 0, threshold, 1])
    panel.set_ylabel("signal")


def as_png(figure: Figure) -> bytes:
    """Few colors, no date and no version in it, so that the same picture is the same file."""
    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    Image.open(drawn).convert("RGB").quantize(128).save(packed, format="PNG", optimize=True)
    return packed.getvalue()


def main() -> None:
    """Draws the strategies named, or all of them, into docs/strategies/."""
    mpl.rcParams.update(STYLE)
    bars = recorded()
    every = (*catalog.STRATEGIES, catalog.ENSEMBLE)
    chosen = [catalog.get(name) for name in sys.argv[1:]] or every
    folder = HERE / "strategies"
    folder.mkdir(exist_ok=True)
    for strategy in chosen:
        (folder / f"{strategy.name}.png").write_bytes(draw(strategy, bars))
    print(f"{len(chosen)} pictures in {folder.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
