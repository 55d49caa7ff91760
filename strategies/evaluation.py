"""Runs one strategy on one window, the same way for every caller.

Data never raises here: what cannot be read gives 0.0 and a sentence. A strategy function that
raises is a fault of the strategy, and its error passes through to the caller.
"""

import math
from dataclasses import dataclass
from typing import Any

from strategies.base import WINDOW_BARS, Candles, Params, Signal, Strategy
from strategies.errors import CannotRun
from strategies.filters import FILTER_NAMES, TradingTime, trading_time


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A strategy with its parameters chosen, to be evaluated on many windows."""

    strategy: Strategy
    arguments: dict[str, Any]
    needed: int  # closed bars
    open_at: TradingTime

    def signal(self, candles: Candles, moment: float | None = None) -> Signal:
        """The signal at a Unix time of the market, which only filters need: 0.0 while one of them
        is closed, else what `evaluate` says.
        """
        if not self.open_at.is_always:
            assert moment is not None, "filters need to know the time"
            closed = self.open_at.closed(moment)
            if closed:
                return Signal(0.0, closed)
        return self.evaluate(candles)

    def evaluate(self, candles: Candles) -> Signal:
        """The signal on the last WINDOW_BARS bars, filters left to the caller."""
        bars = len(candles)
        if bars > WINDOW_BARS:
            candles = candles.last(WINDOW_BARS)
            bars = WINDOW_BARS
        closed = max(bars - 1, 0)
        if bars == 0 or closed < self.needed:
            return Signal(0.0, f"needs {self.needed} closed bars, has {closed}", can_run=False)
        if candles.flaw:
            return Signal(0.0, candles.flaw, can_run=False)
        if self.strategy.needs_volume and not candles.has_volume:
            return Signal(0.0, "needs volume, the price source gives none", can_run=False)
        if candles.flat:
            return Signal(0.0, f"the price has not moved in {bars} bars")
        try:
            value, words = self.strategy.function(candles, candles.close, **self.arguments)
        except CannotRun as error:
            return Signal(0.0, str(error), can_run=False)
        if -1.0 <= value <= 1.0:
            # Adding 0.0 turns -0.0 into 0.0: two bit patterns for "nothing" would be two signals.
            return Signal(value + 0.0, words)
        if math.isfinite(value):
            return Signal(math.copysign(1.0, value), words)
        return Signal(0.0, f"no reading: {words if isinstance(words, str) else words()}")


def prepare(strategy: Strategy, params: Params) -> Prepared:
    """Parameters left out are defaults."""
    chosen = strategy.plan_params(params)
    if strategy.form is None:
        arguments = {name: chosen[name] for name in chosen if name not in FILTER_NAMES}
    else:
        arguments = strategy.form.arguments(chosen)
    return Prepared(strategy, arguments, strategy.warm_up(chosen), trading_time(chosen))
