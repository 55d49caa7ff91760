"""Defaults that trade: the rule of the contract on a year of bitcoin, no fees, no exits."""

from collections.abc import Callable

import pytest

from strategies import catalog
from strategies.base import WINDOW_BARS, Candles

TRADES_OF_EACH_SIDE = 20


@pytest.mark.parametrize("name", [*(s.name for s in catalog.STRATEGIES), catalog.ENSEMBLE.name])
def test_defaults_open_long_and_short(name: str, recorded: Callable[[str], Candles]) -> None:
    """Flat and |signal| >= threshold opens; the other direction closes; a later bar may reopen."""
    year = recorded("BTCUSDT_15m_2024.csv")
    strategy = catalog.get(name)
    threshold = float(strategy.defaults["threshold"])
    side, closed = 0, {+1: 0, -1: 0}
    for end in range(WINDOW_BARS, len(year)):
        cut = slice(end - WINDOW_BARS, end)
        window = Candles(
            year.time[cut], year.open[cut], year.high[cut],
            year.low[cut], year.close[cut], year.volume[cut],
        )  # fmt: skip
        signal = catalog.evaluate(strategy, window, {}).value
        if abs(signal) < threshold:
            continue
        direction = 1 if signal > 0 else -1
        if side == 0:
            side = direction
        elif side != direction:
            closed[side] += 1
            side = 0
        if min(closed.values()) >= TRADES_OF_EACH_SIDE:
            return
    pytest.fail(f"{name} closed {closed[1]} long and {closed[-1]} short trades in a year")
