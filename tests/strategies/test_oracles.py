"""Each strategy against an oracle that shares no code with it, on real candles.

Oracles are talipp's incremental indicators, or the formula in plain Python, one file for each
family of strategies in tests/strategies/oracles. Only the grading, 0.5 at the trigger, is the same.
"""

from collections.abc import Callable, Iterator
from functools import cache

import pytest
from talipp.ohlcv import OHLCV

from strategies import catalog
from strategies.base import Candles
from tests.strategies.oracles import (
    mean_reversion,
    momentum,
    statistical,
    trend,
    volatility,
    volume,
)
from tests.strategies.oracles.formulas import Oracle

ORACLES: dict[str, Oracle] = {
    **momentum.ORACLES,
    **trend.ORACLES,
    **mean_reversion.ORACLES,
    **volatility.ORACLES,
    **volume.ORACLES,
    **statistical.ORACLES,
}

RECORDINGS = {
    "BTCUSDT_15m_2024.csv": 307,
    "BTCUSDT_1m_2024.csv": 1511,
    "BTCUSDT_1h_2024_jan_feb.csv": 61,
    "ETHUSDT_1h_2024_jan_feb.csv": 67,
    "SOLUSDT_1h_2024_jan_feb.csv": 71,
    "BTCUSD_1d.csv": 131,
    "ETHUSD_1m_coinbase_days.csv": 173,
}

# Those that seldom speak are asked more often.
TIMES_ASKED = {"dual_momentum": 4, "bollinger_squeeze": 4, "variance_ratio": 4}


def windows(
    recorded: Callable[[str], Candles], times: int
) -> Iterator[tuple[Candles, list[OHLCV]]]:
    for name, stride in RECORDINGS.items():
        candles = recorded(name)
        bars = as_bars(candles)
        for end in range(500, len(candles), stride // times):
            cut = slice(end - 500, end)
            window = Candles(
                candles.time[cut], candles.open[cut], candles.high[cut],
                candles.low[cut], candles.close[cut], candles.volume[cut],
            )  # fmt: skip
            yield window, bars[cut]


@cache
def as_bars(candles: Candles) -> list[OHLCV]:
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    return [OHLCV(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


@pytest.mark.parametrize("name", [strategy.name for strategy in catalog.STRATEGIES])
def test_signal_is_what_the_oracle_says(name: str, recorded: Callable[[str], Candles]) -> None:
    strategy, oracle = catalog.get(name), ORACLES[name]
    seen = []
    for candles, bars in windows(recorded, TIMES_ASKED.get(name, 1)):
        if strategy.needs_volume and not candles.volume.any():
            assert not catalog.evaluate(strategy, candles, {}).can_run
            continue
        expected = oracle(bars, candles.close.tolist())
        signal = catalog.evaluate(strategy, candles, {})
        # Averages of Wilder's kind start a bar apart in the two libraries; 500 bars wear that off.
        assert signal.value == pytest.approx(expected, abs=1e-7), signal.detail
        assert signal.can_run
        seen.append(signal.value)
    assert len(seen) > 150
    assert sum(value >= 0.5 for value in seen) >= 5
    assert sum(value <= -0.5 for value in seen) >= 5


def test_every_strategy_has_its_oracle() -> None:
    assert set(ORACLES) == {strategy.name for strategy in catalog.STRATEGIES}
