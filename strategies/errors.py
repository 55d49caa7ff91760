"""What the catalogue refuses, and what a strategy does.

StrategyError
+-- UnknownStrategy   no strategy has that name
+-- InvalidParams     parameters that the strategy cannot take, all of them at once
+-- CannotRun         a strategy cannot run on these candles; becomes a signal that says so
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ParamProblem:
    """One thing wrong with one parameter; `field` is the parameter's name as it was given."""

    field: str
    message: str


class StrategyError(Exception):
    """Root of the errors of this package."""


class UnknownStrategy(StrategyError):
    """No strategy has that name; `nearest` holds the names that look like it, best first."""

    def __init__(self, name: str, nearest: Sequence[str]) -> None:
        hint = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
        super().__init__(f"unknown strategy {name!r}{hint}")
        self.name = name
        self.nearest = tuple(nearest)


class InvalidParams(StrategyError):
    """Parameters that a strategy cannot take; `problems` holds every one of them."""

    def __init__(self, strategy_name: str, problems: Sequence[ParamProblem]) -> None:
        told = "; ".join(f"{problem.field}: {problem.message}" for problem in problems)
        super().__init__(f"parameters of {strategy_name}: {told}")
        self.strategy_name = strategy_name
        self.problems = tuple(problems)


class CannotRun(StrategyError):
    """A strategy cannot run on these candles; the text says why."""
