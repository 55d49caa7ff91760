"""The contract of a strategy: the candles it reads, the parameters it declares, what it answers.

A strategy is a plain function `(candles, prices, **params) -> (signal, detail)` and a `Strategy`
record that declares it. Declarations carry every default and range, functions carry none.
`threshold` is declared by each strategy and read by the engine alone: no function ever gets it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from strategies.errors import ParamProblem

FloatArray: TypeAlias = NDArray[np.float64]
ParamValue: TypeAlias = int | float | str | list[Any]
Params: TypeAlias = Mapping[str, Any]
"""Values by name, each in the one form that its declaration gives it."""
Words: TypeAlias = str | Callable[[], str]
"""A sentence, or what writes it: workers read the value every second, people the words seldom."""
Reading: TypeAlias = tuple[float, Words]
StrategyFunction: TypeAlias = Callable[..., Reading]
Family: TypeAlias = Literal[
    "momentum", "mean reversion", "volatility", "volume", "statistical", "combination"
]

# The longest window any strategy sees, the forming bar included. Recursive indicators (EMA, Wilder)
# remember where their window began, so live ticks and backtests must be cut to the same length.
WINDOW_BARS = 500


class Bar(NamedTuple):
    """One bar as plain numbers, which cost a tenth of what elements of an array do."""

    time: float
    open: float
    high: float
    low: float
    close: float
    volume: float


_COLUMNS = Bar._fields


@dataclass(frozen=True, eq=False, repr=False)
class Candles:
    """Columns of one window of bars, oldest first, the forming bar last.

    Six contiguous float64 arrays of one length; time is the bar's open in Unix seconds, volume is
    in base units (all zero where the source has none). Raises ValueError for any other shape.
    What is derived from a window is kept with it, so nobody may write into its arrays.
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
        return self._cut(slice(-bars, None))

    def _cut(self, bars: slice) -> Self:
        # Views of columns that were checked are not checked again: it is most of the cost.
        some = object.__new__(type(self))
        some.__dict__.update((name, getattr(self, name)[bars]) for name in _COLUMNS)
        return some

    @cached_property
    def newest(self) -> Bar:
        """The last bar. Raises IndexError where there is none."""
        return Bar(
            float(self.time[-1]), float(self.open[-1]), float(self.high[-1]),
            float(self.low[-1]), float(self.close[-1]), float(self.volume[-1]),
        )  # fmt: skip

    @cached_property
    def closed(self) -> Self:
        """The bars before the forming one: what is derived from them holds until it closes."""
        return self._cut(slice(None, -1))

    @cached_property
    def memo(self) -> dict[tuple[object, ...], Any]:
        """What `indicators.once` has computed on these very bars."""
        return {}

    def follow(self, earlier: Self) -> None:
        """Takes over what was derived from the closed bars of a window of some moments ago.

        Only if they are the same to the last bit: no signal depends on who followed whom.
        """
        mine, theirs = self.__dict__, earlier.closed.__dict__
        if len(self) == len(earlier) and all(
            mine[name][:-1].tobytes() == theirs[name].tobytes() for name in _COLUMNS
        ):
            mine["closed"] = earlier.closed

    @cached_property
    def flaw(self) -> str:
        """Why no strategy can read these prices, or "" when all can.

        Checked for every strategy at once: TA-Lib steps over a NaN in MAX and turns it into an RSI
        of 0, so what a function returns does not tell whether it has seen one.
        """
        if not len(self):
            return ""
        bar = self.newest
        if not math.isfinite(bar.open + bar.high + bar.low + bar.close):
            return _NOT_A_NUMBER
        return self.closed._survey.flaw or ("" if bar.low > 0 else _NOT_ABOVE_ZERO)

    @cached_property
    def flat(self) -> bool:
        """Whether the price stood still in the whole window."""
        before, bar = self.closed._survey, self.newest
        return max(before.high, bar.high) == min(before.low, bar.low)

    @cached_property
    def has_volume(self) -> bool:
        """Whether the source gives volumes at all, and none below zero."""
        (total, least), volume = self.closed._volumes, self.newest.volume
        return 0 < total + volume < math.inf and min(least, volume) >= 0

    # What follows looks at all bars, the forming one too: it is asked of closed bars only.

    @cached_property
    def _survey(self) -> "_Survey":
        if not len(self):
            return _Survey("", -math.inf, math.inf)
        # A dot product with itself is the cheapest sum that no NaN and no infinity survives.
        columns = (self.open, self.high, self.low, self.close)
        high, low = float(self.high.max()), float(self.low.min())
        flaw = "" if low > 0 else _NOT_ABOVE_ZERO
        if not all(math.isfinite(column.dot(column)) for column in columns):
            flaw = _NOT_A_NUMBER
        return _Survey(flaw, high, low)

    @cached_property
    def _volumes(self) -> tuple[float, float]:
        """The sum and the least of them."""
        return (float(self.volume.sum()), float(self.volume.min())) if len(self) else (0.0, 0.0)


class _Survey(NamedTuple):
    """What every strategy asks of a window first, of many bars at once."""

    flaw: str
    high: float
    low: float


_NOT_A_NUMBER = "a price of the window is not a number"
_NOT_ABOVE_ZERO = "a price of the window is not above zero"


class Signal(msgspec.Struct, frozen=True, eq=False):
    """What a strategy says now: value -1..+1 (positive: bullish) and the words for it.

    `can_run` is False where the strategy cannot run on its candles (too few bars, no volume, broken
    prices): the value is 0.0 then, and detail says why.
    """

    value: float
    words: Words
    can_run: bool = True

    @property
    def detail(self) -> str:
        """What was seen, in a sentence."""
        return self.words if isinstance(self.words, str) else self.words()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Signal):
            return NotImplemented
        return self._told == other._told

    def __hash__(self) -> int:
        return hash(self._told)

    @property
    def _told(self) -> tuple[float, bool, str]:
        return self.value, self.can_run, self.detail


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


class ListParam(Protocol):
    """A parameter that is no number. It is left out where it changes nothing."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> Literal["choice", "list"]: ...
    @property
    def choices(self) -> tuple[str, ...]:
        """Words that it takes."""

    @property
    def description(self) -> str: ...
    def snap(self, given: object) -> tuple[ParamValue | None, Sequence[ParamProblem]]:
        """A value given from outside in its one form, None where it changes nothing; or every
        problem that it has, by name (with the place in a list, where there is one).
        """


def lookback_param(default: int, low: int, high: int, description: str) -> Param:
    """The main period, in bars."""
    return Param("lookback", "int", default, low, high, 1, description)


def threshold_param(default: float = 0.5) -> Param:
    """The strength from which the engine acts; 0.5 is a strategy's textbook trigger."""
    return Param(
        "threshold", "float", default, 0.01, 1.0, 0.01,
        "the agent acts when |signal| reaches it; 0.5 is the strategy's textbook trigger",
    )  # fmt: skip


class ParamForm(Protocol):
    """What becomes of the parameters of a strategy that takes more than numbers."""

    def problems(self, params: Params) -> list[ParamProblem]:
        """What is wrong with parameters that are right one by one, defaults filled in."""

    def canonical(self, params: Params) -> dict[str, Any]:
        """The parameters of a plan, the same for equal wishes; takes its own answer unchanged."""

    def arguments(self, params: Params) -> dict[str, Any]:
        """What the function is called with, for the parameters of a plan."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Strategy:
    """The declaration of one strategy.

    `warm_up` gives the closed bars it needs before the forming one; `ordered` holds pairs of
    parameters of which the first must stay below the second; `form` is for parameters that numbers
    alone do not describe. Raise `version` whenever a signal may change for the same candles and
    parameters: plans of two versions are two plans.
    """

    name: str
    family: Family
    description: str
    function: StrategyFunction
    params: tuple[Param, ...]
    warm_up: Callable[[Params], int]
    lists: tuple[ListParam, ...] = ()
    form: "ParamForm | None" = None
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
    def defaults(self) -> dict[str, Any]:
        """Every number at its default, threshold included."""
        return {param.name: param.snap(param.default) for param in self.params}

    def plan_params(self, params: Params) -> dict[str, Any]:
        """What a plan holds: defaults filled in, threshold left out."""
        chosen = {**self.defaults, **params}
        del chosen["threshold"]
        return chosen if self.form is None else self.form.canonical(chosen)

    def warm_up_bars(self, params: Params | None = None) -> int:
        """Closed bars needed before the forming one."""
        return self.warm_up(self.plan_params(params or {}))
