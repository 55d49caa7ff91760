"""Oracles of the strategies that weigh a move by volume, trend strength or the cloud."""

import math

from talipp.indicators import ADX, OBV, DonchianChannels, Ichimoku
from talipp.ohlcv import OHLCV

from tests.strategies.oracles.formulas import Oracle, graded, wilder_atr


def obv_trend(bars: list[OHLCV], prices: list[float], lookback: int = 10) -> float:
    balance = OBV(bars)
    change = balance[-1] - balance[-1 - lookback]
    usual = math.sqrt(sum(bar.volume * bar.volume for bar in bars[-lookback:]))
    confirmed = change * (prices[-1] - prices[-1 - lookback]) > 0
    return graded(change / usual) if confirmed else 0.0


def adx_filter(
    bars: list[OHLCV], prices: list[float], lookback: int = 14, adx_min: float = 25.0
) -> float:
    newest = ADX(lookback, lookback, bars)[-1]
    if newest.adx < adx_min or newest.plus_di == newest.minus_di:
        return 0.0
    return math.copysign(graded(newest.adx / adx_min), newest.plus_di - newest.minus_di)


def ichimoku_signal(
    bars: list[OHLCV], prices: list[float], tenkan: int = 9, lookback: int = 26, senkou: int = 52
) -> float:
    tail = bars[-senkou - lookback - 42 :]
    now = Ichimoku(lookback, tenkan, lookback, senkou, lookback, tail)[-1]
    # talipp shifts the slow edge by one bar more than the fast one; both belong as far back.
    slow = DonchianChannels(senkou, tail)[-lookback - 1].cb
    top = max(now.cloud_leading_fast_line, slow)
    bottom = min(now.cloud_leading_fast_line, slow)
    strength = graded(
        1 + abs(now.conversion_line - now.base_line) / wilder_atr(bars[:-1], lookback)
    )
    if prices[-1] > top and now.conversion_line > now.base_line:
        return strength
    if prices[-1] < bottom and now.conversion_line < now.base_line:
        return -strength
    return 0.0


def money_flow_index(
    bars: list[OHLCV],
    prices: list[float],
    lookback: int = 14,
    oversold: float = 20.0,
    overbought: float = 80.0,
) -> float:
    """100 - 100 / (1 + money ratio), as Quong and Soudack (1989) define it."""
    typical = [(bar.high + bar.low + bar.close) / 3 for bar in bars]
    into = out_of = 0.0
    for at in range(len(bars) - lookback, len(bars)):
        flow = typical[at] * bars[at].volume
        if typical[at] > typical[at - 1]:
            into += flow
        elif typical[at] < typical[at - 1]:
            out_of += flow
    mfi = 100 - 100 / (1 + into / out_of) if out_of else 100.0
    if mfi < oversold:
        return graded((50 - mfi) / (50 - oversold))
    return -graded((mfi - 50) / (overbought - 50)) if mfi > overbought else 0.0


ORACLES: dict[str, Oracle] = {
    "obv_trend": obv_trend,
    "adx_filter": adx_filter,
    "ichimoku_signal": ichimoku_signal,
    "money_flow_index": money_flow_index,
}
