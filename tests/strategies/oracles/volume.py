"""Oracles of the strategies that weigh a move by volume, trend strength or the cloud."""

import math

from talipp.indicators import ADX, OBV, DonchianChannels, Ichimoku
from talipp.ohlcv import OHLCV

from tests.strategies.oracles.formulas import Oracle, graded, wilder_atr


def obv_trend(bars: list[OHLCV], prices: list[float]) -> float:
    balance = OBV(bars)
    change = balance[-1] - balance[-11]
    usual = math.sqrt(sum(bar.volume * bar.volume for bar in bars[-10:]))
    confirmed = change * (prices[-1] - prices[-11]) > 0
    return graded(change / usual) if confirmed else 0.0


def adx_filter(bars: list[OHLCV], prices: list[float]) -> float:
    newest = ADX(14, 14, bars)[-1]
    if newest.adx < 25 or newest.plus_di == newest.minus_di:
        return 0.0
    return math.copysign(graded(newest.adx / 25), newest.plus_di - newest.minus_di)


def ichimoku_signal(bars: list[OHLCV], prices: list[float]) -> float:
    now = Ichimoku(26, 9, 26, 52, 26, bars[-120:])[-1]
    # talipp shifts the slow edge by one bar more than the fast one; both belong 26 bars back.
    slow = DonchianChannels(52, bars[-120:])[-27].cb
    top = max(now.cloud_leading_fast_line, slow)
    bottom = min(now.cloud_leading_fast_line, slow)
    strength = graded(1 + abs(now.conversion_line - now.base_line) / wilder_atr(bars[:-1], 26))
    if prices[-1] > top and now.conversion_line > now.base_line:
        return strength
    if prices[-1] < bottom and now.conversion_line < now.base_line:
        return -strength
    return 0.0


def money_flow_index(bars: list[OHLCV], prices: list[float]) -> float:
    """100 - 100 / (1 + money ratio), as Quong and Soudack (1989) define it."""
    typical = [(bar.high + bar.low + bar.close) / 3 for bar in bars]
    into = out_of = 0.0
    for at in range(len(bars) - 14, len(bars)):
        flow = typical[at] * bars[at].volume
        if typical[at] > typical[at - 1]:
            into += flow
        elif typical[at] < typical[at - 1]:
            out_of += flow
    mfi = 100 - 100 / (1 + into / out_of) if out_of else 100.0
    return graded((50 - mfi) / 30) if mfi < 20 or mfi > 80 else 0.0


ORACLES: dict[str, Oracle] = {
    "obv_trend": obv_trend,
    "adx_filter": adx_filter,
    "ichimoku_signal": ichimoku_signal,
    "money_flow_index": money_flow_index,
}
