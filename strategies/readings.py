"""How a reading becomes a signal, and the words for it; the same for every strategy.

A reading is first written as a multiple of its strategy's textbook trigger. That makes signals
comparable: 0.5 means "just triggered" for each of them, 0.8 "twice as far", and none reaches 1.
"""

import math

# atanh(0.5), the last bit up, so that a reading exactly on its trigger is not below 0.5.
_AT_TRIGGER = 0.549306144334055

# An oscillator of what rises as much as it falls, or is in the middle of its range.
_MIDDLE = 50.0


def graded(multiple: float) -> float:
    """The signal for a multiple of the trigger: 1 -> 0.5, 2 -> 0.8, 3 -> 0.93; odd and smooth."""
    return math.tanh(_AT_TRIGGER * multiple)


def beyond_lines(reading: float, low: float, high: float) -> float:
    """The multiple for an oscillator of 0..100: 1 on its low line, -1 on its high one.

    Counted from the middle, 50; 0 between the lines and for NaN.
    """
    if reading < low:
        return (_MIDDLE - reading) / (_MIDDLE - low)
    if reading > high:
        return (_MIDDLE - reading) / (high - _MIDDLE)
    return 0.0


def price_text(price: float) -> str:
    """A price as people write it, with about six significant digits: 42,310, 1.0843, 0.0000123."""
    size = abs(price)
    if 0.0001 <= size < 999_999:
        return f"{price:,.6g}"
    if size >= 999_999 or size == 0.0 or not math.isfinite(price):
        return f"{price:,.0f}"
    if size < 1e-12:
        return f"{price:.6g}"
    # The g format would answer 1.23e-05 here.
    return f"{price:.{5 - math.floor(math.log10(size))}f}".rstrip("0")
