"""Parameters as people give them: checked with every problem at once, and put into one form.

The same wish has the same form, so that agents which want the same share one plan, and what comes
out is taken again unchanged.
"""

from collections.abc import Mapping
from difflib import get_close_matches

from strategies.base import Params, ParamValue, Strategy
from strategies.errors import ParamProblem
from strategies.filters import FILTERS

# Matching is quadratic in length, and the text comes from outside.
LONGEST_NAME_MATCHED = 64


def chosen(
    strategy: Strategy, given: Mapping[str, object]
) -> tuple[dict[str, ParamValue], list[ParamProblem]]:
    """The parameters that were given, each in its form, and what is wrong with the others.

    Filters may be among them, and what is left out stays out.
    """
    numbers = {param.name: param for param in strategy.params}
    lists = {param.name: param for param in (*strategy.lists, *FILTERS)}
    problems = [
        ParamProblem(field, _unknown(field, strategy, [*numbers, *lists]))
        for field in given
        if field not in numbers and field not in lists
    ]
    values: dict[str, ParamValue] = {}
    for field, param in numbers.items():
        if field not in given:
            continue
        value = given[field]
        problem = param.problem(value)
        if problem or not isinstance(value, int | float):
            problems.append(ParamProblem(field, problem))
        else:
            values[field] = param.snap(value)
    problems += out_of_order(strategy, values, given, {problem.field for problem in problems})
    for field, parameter in lists.items():
        if field in given:
            form, wrong = parameter.snap(given[field])
            problems += wrong
            if form is not None:
                values[field] = form
    return values, problems


def out_of_order(
    strategy: Strategy, values: Params, given: Mapping[str, object], wrong: set[str]
) -> list[ParamProblem]:
    """Pairs in the wrong order, told of the parameter that was given, if both are in range."""
    problems = []
    filled = {**strategy.defaults, **values}
    for lower, upper in strategy.ordered:
        low, high = float(filled[lower]), float(filled[upper])
        if low < high or wrong & {lower, upper}:
            continue
        if lower in given:
            problems.append(ParamProblem(lower, f"must be below {upper}, which is {high:g}"))
        else:
            problems.append(ParamProblem(upper, f"must be above {lower}, which is {low:g}"))
    return problems


def _unknown(field: str, strategy: Strategy, taken: list[str]) -> str:
    close = get_close_matches(field[:LONGEST_NAME_MATCHED].lower(), taken, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(taken)}"
    return f"is not a parameter of {strategy.name}; {hint}"
