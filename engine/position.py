"""What a position is worth. side is -1, 0 or +1, prices are USD per unit; arrays or floats."""

import numpy as np

from engine.rounding import round_price, round_usd
from engine.rows import Floats

Number = Floats | float


def unrealized(side: Number, entry: Number, quantity: Number, price: Number) -> Floats:
    """USD won or lost at `price`, before fees."""
    return round_usd(np.subtract(price, entry) * quantity * side)


def notional_usd(quantity: Number, price: Number) -> Floats:
    return round_usd(np.multiply(quantity, price))


def margin_usd(entry: Number, quantity: Number, leverage: Number) -> Floats:
    """What the position may lose: its notional at entry by its leverage."""
    return round_usd(np.multiply(entry, quantity) / leverage)


def liquidation_price(entry: Number, side: Number, leverage: Number) -> Floats:
    """The price at which the loss has eaten the margin: 0 for a long position without leverage."""
    return round_price(entry * (1.0 - np.divide(side, leverage)))


def stop_loss_price(entry: Number, side: Number, ppm: Number) -> Floats:
    """`ppm` millionths of the entry against the position; 0 (none) for 0 ppm."""
    return _away(entry, np.multiply(side, -1.0), ppm)


def take_profit_price(entry: Number, side: Number, ppm: Number) -> Floats:
    """`ppm` millionths of the entry in favour of the position; 0 (none) for 0 ppm."""
    return _away(entry, side, ppm)


def _away(entry: Number, direction: Number, ppm: Number) -> Floats:
    price = entry * (1.0 + np.multiply(direction, ppm) / 1e6)
    return round_price(np.where(np.equal(ppm, 0), 0.0, price))
