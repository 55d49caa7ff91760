"""The numbers that engine and ledger share: prices of 12 significant digits, USD of 8 decimals.

Half-even in binary64, on arrays or floats. Powers of ten come from a table (exact up to 1e22), not
from log10, so that all machines round alike. The ledger has 18 decimals, so a price or quantity
has no more either: below 1e-7 that leaves it fewer than 12 digits, below 1e-18 none.
"""

from typing import Final

import numpy as np

from engine.rows import Floats

_DIGITS: Final = 12
_LOW: Final = -7  # the decade whose 12th digit is the 18th decimal
_HIGH: Final = 33  # the last decade for which the factors below are exact
_DECADES: Final = np.array([float(f"1e{k}") for k in range(_LOW + 1, _HIGH + 1)])
_UP: Final = np.array([float(f"1e{max(_DIGITS - 1 - k, 0)}") for k in range(_LOW, _HIGH + 1)])
_DOWN: Final = np.array([float(f"1e{max(k - _DIGITS + 1, 0)}") for k in range(_LOW, _HIGH + 1)])
_USD_SCALE: Final = 1e8


def round_price(value: Floats | float) -> Floats:
    """To 12 significant digits and at most 18 decimals, half-even."""
    decade = np.searchsorted(_DECADES, np.abs(value), side="right")
    up, down = _UP[decade], _DOWN[decade]
    rounded: Floats = np.rint(value * up / down) / up * down
    return rounded


def round_down(value: Floats | float) -> Floats:
    """The largest number of that form that is not above `value` (>= 0)."""
    decade = np.searchsorted(_DECADES, np.abs(value), side="right")
    up, down = _UP[decade], _DOWN[decade]
    units = np.rint(value * up / down)
    # Not floor(): 4.35 * 100 is 434.99999999999994, and 4.35 has to stay 4.35.
    rounded: Floats = (units - (units / up * down > value)) / up * down
    return rounded


def round_usd(value: Floats | float) -> Floats:
    """To 8 decimals, half-even."""
    return np.rint(np.multiply(value, _USD_SCALE)) / _USD_SCALE
