"""The only list of strategies, and what callers ask of it by name.

Other rooms go through this module: names, parameters as they come from a user, plan keys, signals.
Whoever adds a strategy declares it beside its function and names it in STRATEGIES.
"""

import json
from collections.abc import Mapping
from difflib import get_close_matches

from strategies import evaluation
from strategies.base import Candles, Param, Params, ParamValue, Signal, Strategy
from strategies.crossovers import EMA_CROSSOVER, MA_CROSSOVER, MACD_SIGNAL, SUPERTREND
from strategies.errors import InvalidParams, ParamProblem, StrategyError, UnknownStrategy
from strategies.evaluation import Prepared
from strategies.mean_reversion import (
    BOLLINGER_REVERSION,
    BOLLINGER_SQUEEZE,
    RANGE_SR,
    RSI_SIGNAL,
    STOCHASTIC_SIGNAL,
    Z_SCORE,
)
from strategies.momentum import BREAKOUT, DONCHIAN_CHANNEL, DUAL_MOMENTUM, SIMPLE_MOMENTUM
from strategies.statistical import (
    KALMAN_FAIR_VALUE,
    LINEAR_REGRESSION_CHANNEL,
    OU_REVERSION,
    VARIANCE_RATIO,
)
from strategies.trend import (
    AROON_SIGNAL,
    CHANDE_MOMENTUM,
    HEIKIN_ASHI_TREND,
    TIME_SERIES_MOMENTUM,
    TRIX_SIGNAL,
)
from strategies.volatility import (
    ATR_BREAKOUT,
    KELTNER_BOLLINGER,
    NARROW_RANGE_BREAKOUT,
    VWAP_DEVIATION,
)
from strategies.volume import ADX_FILTER, ICHIMOKU_SIGNAL, MONEY_FLOW_INDEX, OBV_TREND

__all__ = [
    "STRATEGIES", "Candles", "InvalidParams", "Param", "ParamProblem", "ParamValue", "Params",
    "Prepared", "Signal", "Strategy", "StrategyError", "UnknownStrategy", "describe", "evaluate",
    "get", "names", "nearest", "plan_key", "prepare", "snap_params",
]  # fmt: skip

STRATEGIES: tuple[Strategy, ...] = (
    SIMPLE_MOMENTUM,
    DUAL_MOMENTUM,
    BREAKOUT,
    DONCHIAN_CHANNEL,
    MA_CROSSOVER,
    EMA_CROSSOVER,
    MACD_SIGNAL,
    SUPERTREND,
    Z_SCORE,
    BOLLINGER_REVERSION,
    RSI_SIGNAL,
    STOCHASTIC_SIGNAL,
    RANGE_SR,
    BOLLINGER_SQUEEZE,
    ATR_BREAKOUT,
    KELTNER_BOLLINGER,
    VWAP_DEVIATION,
    OBV_TREND,
    ADX_FILTER,
    ICHIMOKU_SIGNAL,
    LINEAR_REGRESSION_CHANNEL,
    KALMAN_FAIR_VALUE,
    TIME_SERIES_MOMENTUM,
    HEIKIN_ASHI_TREND,
    AROON_SIGNAL,
    TRIX_SIGNAL,
    CHANDE_MOMENTUM,
    NARROW_RANGE_BREAKOUT,
    MONEY_FLOW_INDEX,
    OU_REVERSION,
    VARIANCE_RATIO,
)

_BY_NAME: Mapping[str, Strategy] = {
    name: strategy for strategy in STRATEGIES for name in (strategy.name, *strategy.aliases)
}

# Matching is quadratic in length, and the text comes from outside.
_LONGEST_NAME_MATCHED = 64


def names() -> tuple[str, ...]:
    """Every name an agent may be created with, aliases after the strategy they stand for."""
    return tuple(_BY_NAME)


def nearest(name: str) -> tuple[str, ...]:
    """Names that have `name` as a word or look like it, best first, at most three."""
    asked = name[:_LONGEST_NAME_MATCHED].lower()
    # "rsi" is too short to resemble "rsi_signal" by the share of its letters.
    worded = [known for known in _BY_NAME if asked in known.split("_")]
    similar = get_close_matches(asked, _BY_NAME, n=3, cutoff=0.5)
    return tuple(dict.fromkeys(worded + similar))[:3]


def get(name: str) -> Strategy:
    """The strategy with that name or alias. Raises UnknownStrategy."""
    strategy = _BY_NAME.get(name)
    if strategy is None:
        raise UnknownStrategy(name, nearest(name))
    return strategy


def _declared(strategy: Strategy | str) -> Strategy:
    return get(strategy) if isinstance(strategy, str) else strategy


def snap_params(name: Strategy | str, given: Mapping[str, object]) -> dict[str, ParamValue]:
    """All parameters of a strategy, threshold included, snapped to their grids, defaults filled in.

    Raises UnknownStrategy, or InvalidParams with every problem there is. What it returns it takes
    again unchanged.
    """
    strategy = _declared(name)
    known = {param.name: param for param in strategy.params}
    unknown = [field for field in given if field not in known]
    problems = [ParamProblem(field, _unknown_param(field, strategy)) for field in unknown]
    snapped = strategy.defaults.copy()
    for field, param in known.items():
        if field not in given:
            continue
        value = given[field]
        problem = param.problem(value)
        if problem or not isinstance(value, int | float):
            problems.append(ParamProblem(field, problem))
        else:
            snapped[field] = param.snap(value)
    problems += _out_of_order(strategy, given, snapped, {problem.field for problem in problems})
    if problems:
        raise InvalidParams(strategy.name, problems)
    return snapped


def _out_of_order(
    strategy: Strategy, given: Mapping[str, object], snapped: Params, wrong: set[str]
) -> list[ParamProblem]:
    """Pairs in the wrong order, told of the parameter that was given, if both are in range."""
    problems = []
    for lower, upper in strategy.ordered:
        low, high = float(snapped[lower]), float(snapped[upper])
        if low < high or wrong & {lower, upper}:
            continue
        if lower in given:
            problems.append(ParamProblem(lower, f"must be below {upper}, which is {high:g}"))
        else:
            problems.append(ParamProblem(upper, f"must be above {lower}, which is {low:g}"))
    return problems


def _unknown_param(field: str, strategy: Strategy) -> str:
    taken = [param.name for param in strategy.params]
    close = get_close_matches(field[:_LONGEST_NAME_MATCHED].lower(), taken, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(taken)}"
    return f"is not a parameter of {strategy.name}; {hint}"


def plan_key(
    symbol: str, timeframe: str, strategy: Strategy | str, params: Mapping[str, object]
) -> str:
    """The plan as canonical JSON: {params, strategy, symbol, timeframe, version}, keys sorted.

    Equal keys mean equal signals in every slot. Parameters are snapped, aliases resolved, and
    threshold left out, because it sits in the agent's row. Raises as `snap_params` does.
    """
    declared = _declared(strategy)
    plan = {
        "symbol": symbol,
        "timeframe": timeframe,
        "strategy": declared.name,
        "version": declared.version,
        "params": declared.plan_params(snap_params(declared, params)),
    }
    return json.dumps(plan, sort_keys=True, separators=(",", ":"), allow_nan=False)


def evaluate(strategy: Strategy | str, candles: Candles, params: Params) -> Signal:
    """The signal on these candles: always finite, in -1..+1, 0.0 where nothing can be said.

    `params` as `snap_params` gives them, or as a plan holds them (without threshold). Never raises
    for data; raises UnknownStrategy, and whatever a broken strategy function raises.
    """
    return prepare(strategy, params).evaluate(candles)


def prepare(strategy: Strategy | str, params: Params) -> Prepared:
    """The strategy with its parameters, for whoever evaluates it again and again."""
    return evaluation.prepare(_declared(strategy), params)


def describe() -> list[dict[str, object]]:
    """The catalogue for GET /api/strategies, one entry for each name, aliases too."""
    return [_described(name, strategy) for name, strategy in _BY_NAME.items()]


def _described(name: str, strategy: Strategy) -> dict[str, object]:
    same = "" if name == strategy.name else f"the same as {strategy.name}: "
    return {
        "name": name,
        "family": strategy.family,
        "description": same + strategy.description,
        "warm_up_bars": strategy.warm_up_bars(),
        "needs_volume": strategy.needs_volume,
        "params": [_described_param(param) for param in strategy.params],
    }


def _described_param(param: Param) -> dict[str, object]:
    return {
        "name": param.name,
        "type": param.type,
        "default": param.default,
        "min": param.min,
        "max": param.max,
        "step": param.step,
        "description": param.description,
    }
