"""The words of each strategy on candles made so that one knows what is to be seen."""

from dataclasses import replace

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
        (
            "dual_momentum",
            {},
            [42_100.0, 42_300.0],
            +1,
            "+0.74% in 20 bars, +1.27 usual moves; the last 5 bars gain on that pace by 2.02",
        ),
        ("dual_momentum", {}, [42_300.0, 42_050.0, 42_000.0], 0, "they disagree"),
        ("donchian_channel", {}, [42_100.0], +1, "above the 20-bar channel 41,985 to 42,015"),
        ("donchian_channel", {}, [42_003.0], +1, "close 42,003 at 60% of the 20-bar channel"),
        ("ma_crossover", {}, [42_420.0], +1, "SMA 10 42,041 above SMA 20 42,020.5 by 0.68 ATR"),
        ("supertrend", {}, [42_003.0], 0, "close 42,003 between 41,910 and 42,090: no trend yet"),
        ("supertrend", {}, [42_200.0], +1, "above the rising trend line 41,910, just turned"),
        ("supertrend", {}, [42_200.0, 42_190.0], +1, "above the rising trend line 41,964.3"),
        (
            "stochastic_signal",
            {},
            [41_970.0, 41_960.0, 41_985.0],
            +1,
            "%K 50.0 crosses above %D 22.8, which was 11.7 < 20: oversold",
        ),
        ("stochastic_signal", {}, [42_030.0, 42_040.0, 42_050.0, 42_030.0], -1, "> 80: overbought"),
        ("stochastic_signal", {}, [42_003.0], 0, "no cross below 20 or above 80"),
        (
            "range_sr",
            {"zone": 0.3},
            [41_988.0],
            +1,
            "close 41,988 at support 41,985, tested by 20 of 20 bars",
        ),
        ("range_sr", {"zone": 0.3}, [42_012.0], -1, "at resistance 42,015, tested by 20 of 20"),
        ("range_sr", {"zone": 0.3}, [41_970.0], 0, "at support 41,985, which is broken"),
        ("range_sr", {"zone": 0.3}, [42_001.0], 0, "between support 41,985 and resistance 42,015"),
        ("range_sr", {}, [42_001.0], 0, "are too close to each other"),
        ("range_sr", {}, [41_950.0, 42_000.0, 41_951.0], +1, "tested by 2 of 20 bars"),
        (
            "range_sr",
            {"touches": 3},
            [41_950.0, 42_000.0, 41_951.0],
            0,
            "at support 41,945, which 2 of 20 bars have tested",
        ),
        (
            "bollinger_squeeze",
            {},
            [42_100.0],
            +1,
            "squeeze, 0% of the bands before were narrower: wider by 140%, "
            "close 42,100 above the middle band 42,004.5",
        ),
        ("bollinger_squeeze", {}, [42_003.0], 0, "squeeze, 0% of the bands before were narrower"),
        ("bollinger_squeeze", {}, [41_960.0, 42_005.0], 0, "no squeeze: 100% of the bands"),
        (
            "bollinger_squeeze",
            {"width": 0.01},
            [46_000.0, 42_000.0],
            0,
            "no squeeze: bands of 8.3% are not below 1%",
        ),
        (
            "keltner_bollinger",
            {},
            [41_800.0],
            -1,
            "close 41,800 beyond the Keltner channel's lower edge 41,920.5, "
            "Bollinger band outside at 41,900.4",
        ),
        ("keltner_bollinger", {}, [42_003.0], 0, "quiet: the upper Bollinger band 42,019.2"),
        ("vwap_deviation", {}, [42_100.0], 0, "needs volume, the price source gives none"),
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


def test_a_price_is_told_against_what_others_have_paid() -> None:
    candles = staircase(42_100.0)
    traded = replace(candles, volume=np.ones(len(candles)))
    above = catalog.evaluate("vwap_deviation", traded, {})
    assert above.value < -0.5
    assert above.detail == "close 42,100 10.43 deviations above the 50-bar VWAP 42,001.2"
    rests = replace(candles, volume=np.where(np.arange(len(candles)) < 11, 1.0, 0.0))
    assert catalog.evaluate("vwap_deviation", rests, {}) == catalog.Signal(
        0.0, "nothing was traded in 50 bars"
    )


def test_a_wide_bar_that_ends_where_it_began_has_no_direction() -> None:
    candles = staircase(41_990.0)
    high = candles.high.copy()
    high[-1] = 42_200.0
    seen = catalog.evaluate("atr_breakout", replace(candles, high=high), {})
    assert (seen.value, seen.can_run) == (0.0, True)
    assert seen.detail.endswith(", without direction")
