"""The contract of a strategy: the candles it reads, the parameters it declares, what it answers.

A strategy is a plain function `(candles, prices, **params) -> (signal, detail)` and a `Strategy`
record that declares it. Declarations carry every default and range, functions carry none.
`threshold` is declared by each strategy and read by the engine alone: no function ever gets it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cached_property
from typing import Literal, Self, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
ParamValue: TypeAlias = int | float | str
Params: TypeAlias = Mapping[str, ParamValue]
Reading: TypeAlias = tuple[float, str]
StrategyFunction: TypeAlias = Callable[..., Reading]
Family: TypeAlias = Literal["momentum", "mean reversion", "volatility", "volume", "statistical"]

# The longest window any strategy sees, the forming bar included. Recursive indicators (EMA, Wilder)
# remember where their window began, so live ticks and backtests must be cut to the same length.
WINDOW_BARS = 500


@dataclass(frozen=True, eq=False, repr=False)
class Candles:
    """Columns of one window of bars, oldest first, the forming bar last.

    Six contiguous float64 arrays of one length; time is the bar's open in Unix seconds, volume is
    in base units (all zero where the source has none). Raises ValueError for any other shape.
    """

    time: FloatArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def __post_init__(self) -> None:
        shape = self.close.shape
        for column in (self.time, self.open, self.high, self.low, self.close, self.volume):
            if column.shape != shape or len(shape) != 1:
                raise ValueError("candle columns must be one-dimensional and of one length")
            if column.dtype != np.float64 or not column.flags.c_contiguous:
                raise ValueError("candle columns must be contiguous float64")

    @classmethod
    def from_bars(cls, bars: FloatArray) -> Self:
        """Columns out of rows f8[N, 6] (time, open, high, low, close, volume), copied."""
        columns = np.ascontiguousarray(bars.T, dtype=np.float64)
        return cls(*columns)

    def __len__(self) -> int:
        return len(self.close)

    def __repr__(self) -> str:
        newest = f", newest {self.time[-1]:.0f} close {self.close[-1]:g}" if len(self) else ""
        return f"<Candles: {len(self)} bars{newest}>"

    def last(self, bars: int) -> Self:
        """The newest `bars` bars, as views."""
        cut = slice(-bars, None)
        return type(self)(
            self.time[cut], self.open[cut], self.high[cut],
            self.low[cut], self.close[cut], self.volume[cut],
        )  # fmt: skip

    @cached_property
    def flaw(self) -> str:
        """Why no strategy can read these prices, or "" when all can.

        Checked for every strategy at once: TA-Lib steps over a NaN in MAX and turns it into an RSI
        of 0, so what a function returns does not tell whether it has seen one.
        """
        # A dot product with itself is the cheapest sum that no NaN and no infinity survives.
        columns = (self.open, self.high, self.low, self.close)
        if not all(math.isfinite(column.dot(column)) for column in columns):
            return "a price of the window is not a number"
        if len(self) and not self.low.min() > 0:
            return "a price of the window is not above zero"
        return ""

    @cached_property
    def flat(self) -> bool:
        """Whether the price stood still in the whole window."""
        return bool(self.high.max() == self.low.min())

    @cached_property
    def has_volume(self) -> bool:
        """Whether the source gives volumes at all."""
        total = float(self.volume.sum())
        return math.isfinite(total) and total > 0


class Signal(msgspec.Struct, frozen=True):
    """What a strategy says now: value -1..+1 (positive: bullish) and the words for it.

    `can_run` is False where the strategy cannot run on its candles (too few bars, no volume, broken
    prices): the value is 0.0 then, and detail says why.
    """

    value: float
    detail: str
    can_run: bool = True


@dataclass(frozen=True, slots=True)
class Param:
    """One number that a strategy takes, its range (both ends allowed) and its grid.

    Values are snapped to min + k * step, so that agents which want nearly the same share one plan.
    """

    name: str
    type: Literal["int", "float"]
    default: float
    min: float
    max: float
    step: float
    description: str

    def __post_init__(self) -> None:
        assert self.step > 0, f"no step: {self}"
        assert self.min <= self.default <= self.max, f"default out of range: {self}"
        assert self.snap(self.default) == self.default, f"default off the grid: {self}"
        assert self.snap(self.max) == self.max, f"maximum off the grid: {self}"

    def problem(self, given: object) -> str:
        """What is wrong with a value given from outside, or ""."""
        if isinstance(given, bool) or not isinstance(given, int | float):
            return "must be a number"
        if isinstance(given, float) and not math.isfinite(given):
            return f"must be a finite number, is {given}"
        if self.type == "int" and isinstance(given, float) and not given.is_integer():
            return f"must be a whole number, is {given:g}"
        if not self.min <= given <= self.max:
            return f"must be between {self.min:g} and {self.max:g}"
        return ""

    def snap(self, given: float) -> int | float:
        """The nearest value of the grid, the same float64 whatever arithmetic led to `given`."""
        # In decimal, because 0.1 + 2 * 0.1 in binary is not the 0.3 that others write.
        low, step = Decimal(repr(self.min)), Decimal(repr(self.step))
        steps = ((Decimal(repr(given)) - low) / step).quantize(Decimal(1), ROUND_HALF_EVEN)
        snapped = low + steps * step
        return int(snapped) if self.type == "int" else float(snapped)


def lookback_param(default: int, low: int, high: int, description: str) -> Param:
    """The main period, in bars."""
    return Param("lookback", "int", default, low, high, 1, description)


def threshold_param(default: float = 0.5) -> Param:
    """The strength from which the engine acts; 0.5 is a strategy's textbook trigger."""
    return Param(
        "threshold", "float", default, 0.01, 1.0, 0.01,
        "the agent acts when |signal| reaches it; 0.5 is the strategy's textbook trigger",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Strategy:
    """The declaration of one strategy.

    `warm_up` gives the closed bars it needs before the forming one; `ordered` holds pairs of
    parameters of which the first must stay below the second. Raise `version` whenever a signal may
    change for the same candles and parameters: plans of two versions are two plans.
    """

    name: str
    family: Family
    description: str
    function: StrategyFunction
    params: tuple[Param, ...]
    warm_up: Callable[[Params], int]
    ordered: tuple[tuple[str, str], ...] = ()
    aliases: tuple[str, ...] = ()
    needs_volume: bool = False
    version: int = 1

    def __post_init__(self) -> None:
        names = [param.name for param in self.params]
        assert len(set(names)) == len(names), f"a parameter of {self.name} is declared twice"
        assert {"lookback", "threshold"} <= set(names), f"{self.name} lacks lookback or threshold"
        assert all(name in names for pair in self.ordered for name in pair), self.ordered

    @cached_property
    def defaults(self) -> dict[str, ParamValue]:
        """Every parameter at its default, threshold included."""
        return {param.name: param.snap(param.default) for param in self.params}

    def plan_params(self, params: Params) -> dict[str, ParamValue]:
        """What the function is called with: defaults filled in, threshold left out."""
        chosen = {**self.defaults, **params}
        del chosen["threshold"]
        return chosen

    def warm_up_bars(self, params: Params | None = None) -> int:
        """Closed bars needed before the forming one."""
        return self.warm_up(self.plan_params(params or {}))
