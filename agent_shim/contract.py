"""What the field's words mean in the hub's, and back. Pure.

| the field | the hub |
|---|---|
| fraction (`tp_pct` 0.05) | per cent (`take_profit_pct` 5.0) |
| margin (`amount_usdt`) | notional (`max_position_usd` = amount x leverage) |
| `poll_seconds`, may be broken | `interval_seconds`, whole, rounded up |
| LONG, SHORT, FLAT | long, short, no position |

Numbers cross as the decimals that were written, so that 0.07 is 7 % and nothing near it.
"""

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Literal

FieldSide = Literal["LONG", "SHORT", "FLAT"]
HubSide = Literal["long", "short"]

AMOUNT_DECIMALS = Decimal("1e-8")
_EXACT = Context(prec=400)
"""Enough digits for the product of a float64's shortest text and a leverage."""
_ROUNDED = Context(prec=17, rounding=ROUND_HALF_EVEN)


def per_cent(fraction: float) -> float:
    """0.05 -> 5.0."""
    return float(_EXACT.multiply(_written(fraction), Decimal(100)))


def fraction(per_cent: float) -> float:
    """5.0 -> 0.05."""
    return float(_EXACT.divide(_written(per_cent), Decimal(100)))


def notional_usd(amount_usdt: float, leverage: int) -> float:
    """max_position_usd of a margin."""
    return float(_EXACT.multiply(_written(amount_usdt), Decimal(leverage)))


def amount_usdt(max_position_usd: float, leverage: int) -> float:
    """The margin of a notional, to 8 decimals."""
    ...
