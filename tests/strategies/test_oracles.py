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


# Parameters that are not the defaults: nothing may be true of those alone.
OTHERS: dict[str, dict[str, float]] = {
    "simple_momentum": {"lookback": 33},
    "dual_momentum": {"short": 7, "lookback": 15},
    "breakout": {"lookback": 9},
    "donchian_channel": {"lookback": 55},
    "ma_crossover": {"fast": 5, "lookback": 34},
    "ema_crossover": {"fast": 4, "lookback": 13},
    "macd_signal": {"fast": 5, "lookback": 15, "signal": 4},
    "supertrend": {"lookback": 10, "multiple": 1.5},
    "z_score": {"lookback": 35},
    "bollinger_reversion": {"lookback": 30, "width": 1.5},
    "rsi_signal": {"lookback": 7, "oversold": 25.0, "overbought": 72.0},
    "stochastic_signal": {"lookback": 9, "smooth": 4, "oversold": 25.0, "overbought": 70.0},
    "range_sr": {"lookback": 30, "zone": 0.8, "touches": 3},
    "bollinger_squeeze": {"lookback": 14, "width": 0.02, "narrow": 0.5, "widen": 0.05},
    "atr_breakout": {"lookback": 21, "multiple": 1.2},
    "keltner_bollinger": {"lookback": 15, "width": 1.8, "multiple": 1.4},
    "vwap_deviation": {"lookback": 30, "width": 1.5},
    "obv_trend": {"lookback": 25},
    "adx_filter": {"lookback": 9, "adx_min": 30.0},
    "ichimoku_signal": {"tenkan": 7, "lookback": 22, "senkou": 44},
    "linear_regression_channel": {"lookback": 33, "width": 1.5},
    "kalman_fair_value": {"lookback": 40, "process_noise": 0.05, "measurement_noise": 0.3},
    "time_series_momentum": {"lookback": 100},
    "heikin_ashi_trend": {"lookback": 2},
    "aroon_signal": {"lookback": 14},
    "trix_signal": {"lookback": 9, "signal": 5},
    "chande_momentum": {"lookback": 9},
    "narrow_range_breakout": {"lookback": 4},
    "money_flow_index": {"lookback": 9, "oversold": 25.0, "overbought": 70.0},
    "ou_reversion": {"lookback": 45, "half_life_max": 8.0},
    "variance_ratio": {"lookback": 80, "horizon": 3, "significance": 0.6},
}


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


@pytest.mark.parametrize("others", [False, True], ids=["defaults", "others"])
@pytest.mark.parametrize("name", [strategy.name for strategy in catalog.STRATEGIES])
def test_signal_is_what_the_oracle_says(
    name: str, others: bool, recorded: Callable[[str], Candles]
) -> None:
    strategy, oracle = catalog.get(name), ORACLES[name]
    params = OTHERS[name] if others else {}
    if others:
        assert not params.items() & strategy.defaults.items()
    seen = []
    for candles, bars in windows(recorded, TIMES_ASKED.get(name, 1)):
        if strategy.needs_volume and not candles.volume.any():
            assert not catalog.evaluate(strategy, candles, params).can_run
            continue
        expected = oracle(bars, candles.close.tolist(), **params)
        signal = catalog.evaluate(strategy, candles, params)
        # Averages of Wilder's kind start a bar apart in the two libraries; 500 bars wear that off.
        assert signal.value == pytest.approx(expected, abs=1e-7), signal.detail
        assert signal.can_run
        seen.append(signal.value)
    assert len(seen) > 150
    assert sum(value >= 0.5 for value in seen) >= 5
    assert sum(value <= -0.5 for value in seen) >= 5


def test_every_strategy_has_its_oracle() -> None:
    assert set(ORACLES) == set(OTHERS) == {strategy.name for strategy in catalog.STRATEGIES}
