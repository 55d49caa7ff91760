"""The words of each strategy on candles made so that one knows what is to be seen."""

import numpy as np
import pytest

from strategies import catalog
from strategies.base import Candles, Params


def staircase(*last: float, bars: int = 60) -> Candles:
    """Bars that swing by 10 around 42,000, then closes as given; highs and lows 5 beyond."""
    close = np.concatenate([42_000 + 10.0 * (-1) ** np.arange(bars), np.array(last)])
    open_ = np.concatenate([[close[0]], close[:-1]])
    high, low = np.maximum(open_, close) + 5, np.minimum(open_, close) - 5
    time = np.arange(len(close), dtype=np.float64) * 60
    return Candles(time, open_, high, low, close, np.zeros(len(close)))


@pytest.mark.parametrize(
    ("name", "params", "last", "sign", "words"),
    [
        ("breakout", {}, [42_100.0], +1, "close 42,100 above the 20-bar high 42,015"),
        ("breakout", {}, [41_900.0], -1, "close 41,900 below the 20-bar low 41,985"),
        ("breakout", {}, [42_003.0], 0, "close 42,003 inside the 20-bar range 41,985 to 42,015"),
        ("simple_momentum", {}, [42_420.0], +1, "+0.98% in 10 bars, +1.32 usual moves"),
        ("ema_crossover", {}, [42_420.0], +1, "EMA 9 42,083.1 above EMA 21 42,037.7 by 1.51 ATR"),
        ("macd_signal", {}, [41_500.0], -1, "MACD -1.34 ATR below its signal line -0.27"),
        (
            "z_score",
            {},
            [41_900.0],
            +1,
            "z-score -3.88: close 41,900 below the 20-bar mean 41,994.5",
        ),
        ("bollinger_reversion", {}, [42_100.0], -1, "close 42,100 above the upper band 42,052.4"),
        ("bollinger_reversion", {"width": 3.0}, [42_010.0], -1, "between the bands"),
        ("rsi_signal", {}, [41_800.0], +1, "RSI 27.8 < 30: oversold"),
        ("rsi_signal", {}, [42_200.0], -1, "RSI 71.3 > 70: overbought"),
        ("rsi_signal", {}, [42_010.0], 0, "RSI 51.8 between 30 and 70"),
        ("atr_breakout", {}, [42_100.0], +1, "range 120 is 4.00 x ATR 30: up"),
        ("atr_breakout", {}, [41_900.0], -1, "range 100 is 3.33 x ATR 30: down"),
        ("atr_breakout", {}, [42_003.0], 0, "range 23 is 0.77 x ATR 30, below 1.5"),
    ],
)
def test_the_detail_says_what_was_seen(
    name: str, params: Params, last: list[float], sign: int, words: str
) -> None:
    signal = catalog.evaluate(name, staircase(*last), params)
    assert words in signal.detail
    assert np.sign(signal.value) == sign
