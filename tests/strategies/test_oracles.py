"""Each strategy against an oracle that shares no code with it, on real candles.

Oracles are talipp's incremental indicators, or the formula in plain Python. Only the grading,
0.5 at the trigger, is the same, and it is written out here once more.
"""

import math
import statistics
from collections.abc import Callable, Iterator

import pytest
from talipp.indicators import ATR, BB, EMA, MACD, RSI, DonchianChannels
from talipp.ohlcv import OHLCV

from strategies import catalog
from strategies.base import Candles

Oracle = Callable[[list[OHLCV], list[float]], float]

RECORDINGS = {
    "BTCUSDT_15m_2024.csv": 307,
    "BTCUSDT_1m_2024.csv": 1511,
    "BTCUSDT_1h_2024_jan_feb.csv": 61,
    "ETHUSDT_1h_2024_jan_feb.csv": 67,
    "SOLUSDT_1h_2024_jan_feb.csv": 71,
    "BTCUSD_1d.csv": 131,
    "ETHUSD_1m_coinbase_days.csv": 173,
}


def graded(multiple: float) -> float:
    return math.tanh(math.atanh(0.5) * multiple)


def true_range(bars: list[OHLCV], at: int) -> float:
    bar, close_before = bars[at], bars[at - 1].close
    high, low = max(bar.high, close_before), min(bar.low, close_before)
    return float(high - low)


def wilder_atr(closed: list[OHLCV], period: int) -> float:
    return float(ATR(period, closed)[-1])


def simple_momentum(bars: list[OHLCV], prices: list[float]) -> float:
    changes = [prices[i] - prices[i - 1] for i in range(len(prices) - 20, len(prices))]
    usual = math.sqrt(sum(change * change for change in changes) / 20)
    return graded((prices[-1] - prices[-11]) / (usual * math.sqrt(10)))


def breakout(bars: list[OHLCV], prices: list[float]) -> float:
    closed = bars[:-1]
    channel = DonchianChannels(20, closed[-20:])[-1]
    atr = wilder_atr(closed, 20)
    if prices[-1] > channel.ub:
        return graded(1 + (prices[-1] - channel.ub) / atr)
    if prices[-1] < channel.lb:
        return -graded(1 + (channel.lb - prices[-1]) / atr)
    return 0.0


def ema_crossover(bars: list[OHLCV], prices: list[float]) -> float:
    apart = EMA(9, prices)[-1] - EMA(21, prices)[-1]
    return graded(apart / wilder_atr(bars[:-1], 21) / 0.5)


def macd_signal(bars: list[OHLCV], prices: list[float]) -> float:
    newest = MACD(12, 26, 9, prices)[-1]
    return graded(newest.histogram / wilder_atr(bars[:-1], 26) / 0.15)


def z_score(bars: list[OHLCV], prices: list[float]) -> float:
    tail = prices[-20:]
    return -graded((prices[-1] - statistics.fmean(tail)) / statistics.stdev(tail) / 2)


def bollinger_reversion(bars: list[OHLCV], prices: list[float]) -> float:
    bands = BB(20, 2.0, prices[-20:])[-1]
    return -graded((prices[-1] - bands.cb) / (bands.ub - bands.cb))


def rsi_signal(bars: list[OHLCV], prices: list[float]) -> float:
    rsi = RSI(14, prices)[-1]
    return graded((50 - rsi) / 20) if rsi < 30 or rsi > 70 else 0.0


def atr_breakout(bars: list[OHLCV], prices: list[float]) -> float:
    ranges = true_range(bars, -1) / wilder_atr(bars[:-1], 14)
    if ranges < 1.5 or prices[-1] == bars[-1].open:
        return 0.0
    return math.copysign(graded(ranges / 1.5), prices[-1] - bars[-1].open)


ORACLES: dict[str, Oracle] = {
    "simple_momentum": simple_momentum,
    "breakout": breakout,
    "ema_crossover": ema_crossover,
    "macd_signal": macd_signal,
    "z_score": z_score,
    "bollinger_reversion": bollinger_reversion,
    "rsi_signal": rsi_signal,
    "atr_breakout": atr_breakout,
}


def windows(recorded: Callable[[str], Candles]) -> Iterator[Candles]:
    for name, stride in RECORDINGS.items():
        candles = recorded(name)
        for end in range(500, len(candles), stride):
            cut = slice(end - 500, end)
            yield Candles(
                candles.time[cut], candles.open[cut], candles.high[cut],
                candles.low[cut], candles.close[cut], candles.volume[cut],
            )  # fmt: skip


def as_bars(candles: Candles) -> list[OHLCV]:
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    return [OHLCV(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


@pytest.mark.parametrize("name", [strategy.name for strategy in catalog.STRATEGIES])
def test_signal_is_what_the_oracle_says(name: str, recorded: Callable[[str], Candles]) -> None:
    strategy, oracle = catalog.get(name), ORACLES[name]
    seen = []
    for candles in windows(recorded):
        expected = oracle(as_bars(candles), candles.close.tolist())
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
