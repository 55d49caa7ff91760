"""What the words of the agent endpoint mean in the hub's, and back. Pure.

| the endpoint | the hub |
|---|---|
| fraction (`tp_pct` 0.05) | per cent (`take_profit_pct` 5.0) |
| margin (`amount_usdt`) | notional (`max_position_usd` = amount x leverage) |
| `poll_seconds`, may be broken | `interval_seconds`, whole: rounded up |
| `LONG`, `SHORT`, `FLAT` | `long`, `short`, null |

Numbers cross as the decimals that were written, so that a fraction of 0.07 is 7 % and nothing near
it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Literal

EndpointSide = Literal["LONG", "SHORT", "FLAT"]
HubSide = Literal["long", "short"]
Action = Literal["OPEN_LONG", "OPEN_SHORT", "HOLD", "CLOSE"]
"""What an agent did last; the same words on both sides, null before its first tick."""

AMOUNT_DECIMALS = 8

_EXACT = Context(prec=400)
"""Enough digits for every float64 as it is written, times a leverage."""
_HUB_SIDES: Mapping[str, HubSide | None] = {"LONG": "long", "SHORT": "short", "FLAT": None}
_ENDPOINT_SIDES: Mapping[str | None, EndpointSide] = {
    "long": "LONG",
    "short": "SHORT",
    None: "FLAT",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class HubSettings:
    """What a body of /start asks of the hub, in its words. None: as the agent has it."""

    symbol: str
    max_position_usd: float
    leverage: int
    interval_seconds: int
    take_profit_pct: float | None
    stop_loss_pct: float | None
    timeframe: str | None


def hub_settings(start: Mapping[str, Any]) -> HubSettings:
    """The hub's words for a checked body of /start."""
    leverage = int(start["leverage"])
    take_profit, stop_loss = start.get("tp_pct"), start.get("sl_pct")
    return HubSettings(
        symbol=start["symbol"],
        max_position_usd=notional_usd(start["amount_usdt"], leverage),
        leverage=leverage,
        interval_seconds=whole_seconds(start.get("poll_seconds", 1)),
        take_profit_pct=None if take_profit is None else per_cent(take_profit),
        stop_loss_pct=None if stop_loss is None else per_cent(stop_loss),
        timeframe=start.get("primary_timeframe"),
    )


def start_body(settings: HubSettings) -> dict[str, Any]:
    """The body of /start that asks for these settings."""
    take_profit, stop_loss = settings.take_profit_pct, settings.stop_loss_pct
    body = {
        "symbol": settings.symbol,
        "amount_usdt": margin_usdt(settings.max_position_usd, settings.leverage),
        "leverage": settings.leverage,
        "poll_seconds": settings.interval_seconds,
        "tp_pct": None if take_profit is None else fraction(take_profit),
        "sl_pct": None if stop_loss is None else fraction(stop_loss),
        "primary_timeframe": settings.timeframe,
    }
    return {name: value for name, value in body.items() if value is not None}


def per_cent(fraction: float) -> float:
    """0.05 -> 5.0."""
    return float(_EXACT.multiply(written(fraction), Decimal(100)))


def fraction(per_cent: float) -> float:
    """5.0 -> 0.05."""
    return float(_EXACT.divide(written(per_cent), Decimal(100)))


def notional_usd(amount_usdt: float, leverage: int) -> float:
    """The notional of a margin: 50 at leverage 3 -> 150."""
    return float(_EXACT.multiply(written(amount_usdt), Decimal(leverage)))


def margin_usdt(notional_usd: float, leverage: int) -> float:
    """The margin of a notional, to 8 decimals: 100 at leverage 3 -> 33.33333333."""
    margin = _EXACT.divide(written(notional_usd), Decimal(leverage))
    return float(round(margin, AMOUNT_DECIMALS))


def whole_seconds(poll_seconds: float) -> int:
    """0.2 -> 1, 2.0 -> 2, 2.1 -> 3."""
    return math.ceil(poll_seconds)


def hub_side(side: EndpointSide) -> HubSide | None:
    """LONG -> long; None for FLAT. KeyError for any other word."""
    return _HUB_SIDES[side]


def endpoint_side(side: HubSide | None) -> EndpointSide:
    """long -> LONG; FLAT for None. KeyError for any other word."""
    return _ENDPOINT_SIDES[side]


def written(number: float) -> Decimal:
    """A number as the shortest decimals that stand for it."""
    return Decimal(repr(number))


def decimals(number: float) -> int:
    """How many decimals it is written with: 0.05 -> 2, 5.0 -> 0."""
    exponent = written(number).normalize(_EXACT).as_tuple().exponent
    assert isinstance(exponent, int)  # finite
    return max(-exponent, 0)
