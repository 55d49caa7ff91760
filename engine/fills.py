"""The price, quantity and fee of a paper fill. Arrays over the rows that trade."""

from typing import Final

import numpy as np
import numpy.typing as npt

from engine.rounding import round_down, round_price, round_usd
from engine.rows import Floats

_CBPS: Final = 1e6  # hundredths of a basis point in a whole

Ints = npt.NDArray[np.integer]


def fill_price(price: Floats, direction: Ints, slippage_cbps: Ints) -> Floats:
    """`price` moved against the one who buys (direction +1) or sells (-1)."""
    return round_price(price * (1.0 + direction * (slippage_cbps / _CBPS)))


def fill_quantity(max_position_usd: Floats, fill: Floats) -> Floats:
    """As much as the money buys at `fill`, rounded down: the notional is never above it."""
    return round_down(max_position_usd / fill)


def fill_fee_usd(quantity: Floats, fill: Floats, fee_cbps: Ints) -> Floats:
    return round_usd(quantity * fill * (fee_cbps / _CBPS))
