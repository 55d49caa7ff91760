"""The ensemble: several strategies as one, by the weighted mean of what they say.

Forecasts that err in different ways err less together; their mean is the plainest of combinations
and hard to beat (Bates, Granger, "The combination of forecasts", Operational Research Quarterly 20,
1969; Carver, "Systematic Trading", 2015, combines trading rules so). A member that cannot run on
its candles drops out of the mean.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from strategies import choices
from strategies.base import (
    Candles,
    FloatArray,
    Param,
    Params,
    Reading,
    Signal,
    Strategy,
    threshold_param,
)
from strategies.errors import CannotRun, ParamProblem, UnknownStrategy
from strategies.evaluation import Prepared, prepare
from strategies.filters import FILTERS

NAME: Final = "ensemble"
MEMBERS_MIN, MEMBERS_MAX = 2, 8
_WEIGHT: Final = Param("weight", "float", 1.0, 0.1, 10.0, 0.1, "share in the mean")
_MEMBER_FIELDS: Final = ("strategy_name", "params", "weight")
_DEFAULT_MEMBERS: Final = ("simple_momentum", "ema_crossover", "macd_signal")

Lookup = Callable[[str], Strategy]
"""A strategy by name or alias; raises UnknownStrategy."""


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One strategy of an ensemble, ready to be evaluated; label tells it from the others."""

    label: str
    weight: int
    strategy: Prepared


def weighted_mean(candles: Candles, prices: FloatArray, *, members: tuple[Member, ...]) -> Reading:
    """The mean of the members that can run. Raises CannotRun where none of them can."""
    said = [(member, member.strategy.evaluate(candles)) for member in members]
    able = [(member, signal) for member, signal in said if signal.can_run]
    if not able:
        raise CannotRun(_words(said))
    total = math.fsum(member.weight * signal.value for member, signal in able)
    return total / sum(member.weight for member, _ in able), partial(_words, said)


def _words(said: Sequence[tuple[Member, Signal]]) -> str:
    return "; ".join(
        f"{member.label} {f'{signal.value:+.2f}' if signal.can_run else 'cannot run'}"
        f"{f' x{member.weight}' if member.weight != 1 else ''} ({signal.detail})"
        for member, signal in said
    )


@dataclass(frozen=True, slots=True)
class MembersParam:
    """The parameter `members`: a list of {strategy_name, params, weight}, or of names alone."""

    strategy_of: Lookup
    name: str = "members"
    type: Literal["list"] = "list"
    choices: tuple[str, ...] = ()
    description: str = (
        f"{MEMBERS_MIN} to {MEMBERS_MAX} strategies as {{strategy_name, params, weight}} or as a"
        f" name; weight 0.1 to 10, default 1; left out: {', '.join(_DEFAULT_MEMBERS)}"
    )

    def snap(self, given: object) -> tuple[list[Any] | None, list[ParamProblem]]:
        """Members with the parameters that were given for them, in their order."""
        if given is None:
            return None, []
        if not isinstance(given, list) or not MEMBERS_MIN <= len(given) <= MEMBERS_MAX:
            problem = f"must be a list of {MEMBERS_MIN} to {MEMBERS_MAX} strategies"
            return None, [ParamProblem(self.name, problem)]
        members, problems = [], []
        for place, each in enumerate(given):
            member, wrong = self._member(each)
            members.append(member)
            problems += [
                ParamProblem(f"{self.name}[{place}]{problem.field}", problem.message)
                for problem in wrong
            ]
        return members, problems

    def _member(self, given: object) -> tuple[dict[str, Any], list[ParamProblem]]:
        """One member; fields of its problems begin with a dot, or are the member's own ("")."""
        if isinstance(given, str):
            given = {"strategy_name": given}
        if not isinstance(given, Mapping) or not isinstance(given.get("strategy_name"), str):
            return {}, [
                ParamProblem("", "must be a strategy's name or {strategy_name, params, weight}")
            ]
        problems = [
            ParamProblem(
                f".{str(field)[:64]}", f"is not known; it takes {', '.join(_MEMBER_FIELDS)}"
            )
            for field in given
            if field not in _MEMBER_FIELDS
        ]
        weight, params = given.get("weight", _WEIGHT.default), given.get("params", {})
        problem = _WEIGHT.problem(weight)
        if problem:
            problems.append(ParamProblem(".weight", problem))
        if not isinstance(params, Mapping):
            return {}, [*problems, ParamProblem(".params", "must be an object")]
        try:
            strategy = self._strategy(given["strategy_name"])
        except UnknownStrategy as error:
            hint = f"; did you mean {error.nearest[0]}?" if error.nearest else ""
            return {}, [*problems, ParamProblem(".strategy_name", f"no such strategy{hint}")]
        if strategy is None:
            wrong = "an ensemble can't be a member of another"
            return {}, [*problems, ParamProblem(".strategy_name", wrong)]
        values, wrong_params = choices.chosen(strategy, params)
        problems += [ParamProblem(f".params.{each.field}", each.message) for each in wrong_params]
        problems += [
            ParamProblem(f".params.{field}", f"belongs to the {NAME}, not to a member")
            for field in ("threshold", *(each.name for each in FILTERS))
            if field in params
        ]
        member = {"strategy_name": strategy.name, "params": values}
        return {**member, "weight": 0.0 if problem else _WEIGHT.snap(weight)}, problems

    def _strategy(self, name: str) -> Strategy | None:
        """None for the ensemble itself."""
        return None if name == NAME else self.strategy_of(name)


@dataclass(frozen=True, slots=True)
class EnsembleForm:
    """How an ensemble's parameters become those of a plan, and members that can be evaluated."""

    strategy_of: Lookup

    def problems(self, params: Params) -> list[ParamProblem]:
        """What is wrong with the ensemble's lookback for members that name none of their own."""
        problems = []
        for strategy, given in self._members(params):
            _, wrong = choices.chosen(strategy, given)
            problems += [
                ParamProblem("lookback", f"for {strategy.name}: {each.field} {each.message}")
                for each in wrong
            ]
        return problems

    def canonical(self, params: Params) -> dict[str, Any]:
        """Members whole, sorted, the same ones added up, weights without a common divisor."""
        weights: dict[tuple[str, int, str], int] = {}
        of_members = [member["weight"] for member in _members(params)]
        for (strategy, given), weight in zip(self._members(params), of_members, strict=True):
            whole = json.dumps(strategy.plan_params(given), sort_keys=True, allow_nan=False)
            key = strategy.name, strategy.version, whole
            weights[key] = weights.get(key, 0) + round(weight / _WEIGHT.step)
        shared = math.gcd(*weights.values())
        kept = {name: params[name] for name in params if name not in ("members", "lookback")}
        kept["members"] = [
            {
                "strategy_name": name,
                "version": version,
                "params": json.loads(whole),
                "weight": weights[name, version, whole] // shared,
            }
            for name, version, whole in sorted(weights)
        ]
        return kept

    def arguments(self, params: Params) -> dict[str, Any]:
        """Members that can be evaluated."""
        names = [member["strategy_name"] for member in params["members"]]
        members = tuple(
            Member(
                _label(member, names.count(member["strategy_name"]) > 1),
                member["weight"],
                prepare(self.strategy_of(member["strategy_name"]), member["params"]),
            )
            for member in params["members"]
        )
        return {"members": members}

    def warm_up(self, params: Params) -> int:
        """Closed bars that the first of the members needs."""
        return min(
            self.strategy_of(member["strategy_name"]).warm_up(member["params"])
            for member in params["members"]
        )

    def _members(self, params: Params) -> list[tuple[Strategy, dict[str, Any]]]:
        """Members with the ensemble's lookback where they name none."""
        lookback = {"lookback": params["lookback"]} if params.get("lookback") else {}
        return [
            (self.strategy_of(member["strategy_name"]), {**lookback, **member["params"]})
            for member in _members(params)
        ]


def _members(params: Params) -> list[dict[str, Any]]:
    given: list[dict[str, Any]] | None = params.get("members")
    if given is not None:
        return given
    return [{"strategy_name": name, "params": {}, "weight": 1.0} for name in _DEFAULT_MEMBERS]


def _label(member: Mapping[str, Any], is_one_of_many: bool) -> str:
    name: str = member["strategy_name"]
    return f"{name}({member['params']['lookback']})" if is_one_of_many else name


def declare(strategy_of: Lookup) -> Strategy:
    """The strategy `ensemble`, its members being those that can be looked up."""
    form = EnsembleForm(strategy_of)
    return Strategy(
        name=NAME,
        family="combination",
        description="weighted mean of the signals of several strategies, of those that can run",
        function=weighted_mean,
        warm_up=form.warm_up,
        form=form,
        lists=(MembersParam(strategy_of),),
        params=(
            Param(
                "lookback", "int", 0, 0, 200, 1,
                "bars for the members that name no lookback of their own; 0: each its default",
            ),
            threshold_param(),
        ),
    )  # fmt: skip
