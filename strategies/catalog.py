"""The only list of strategies, and what callers ask of it by name.

Other rooms go through this module: names, parameters as they come from a user, plan keys, signals.
Whoever adds a strategy declares it beside its function and names it in STRATEGIES.
"""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from strategies import choices, ensemble, evaluation
from strategies.base import Candles, ListParam, Param, Params, ParamValue, Signal, Strategy
from strategies.crossovers import EMA_CROSSOVER, MA_CROSSOVER, MACD_SIGNAL, SUPERTREND
from strategies.errors import InvalidParams, ParamProblem, StrategyError, UnknownStrategy
from strategies.evaluation import Prepared
from strategies.filters import FILTER_NAMES, FILTERS
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
    "ENSEMBLE", "STRATEGIES", "Candles", "InvalidParams", "Param", "ParamProblem", "ParamValue",
    "Params", "Prepared", "Signal", "Strategy", "StrategyError", "UnknownStrategy", "describe",
    "evaluate", "filters_of", "get", "names", "nearest", "param_names", "plan_key", "prepare",
    "snap_params",
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

_SINGLE: Mapping[str, Strategy] = {
    name: strategy for strategy in STRATEGIES for name in (strategy.name, *strategy.aliases)
}


def names() -> tuple[str, ...]:
    """Every name an agent may be created with, aliases after the strategy they stand for."""
    return tuple(_BY_NAME)


def nearest(name: str) -> tuple[str, ...]:
    """Names that have `name` as a word or look like it, best first, at most three."""
    asked = name[: choices.LONGEST_NAME_MATCHED].lower()
    # "rsi" is too short to resemble "rsi_signal" by the share of its letters.
    worded = [known for known in _BY_NAME if asked in known.split("_")]
    similar = get_close_matches(asked, _BY_NAME, n=3, cutoff=0.5)
    return tuple(dict.fromkeys(worded + similar))[:3]


def get(name: str) -> Strategy:
    """The strategy with that name or alias, the ensemble too. Raises UnknownStrategy."""
    return _get(name, _BY_NAME)


def _single(name: str) -> Strategy:
    return _get(name, _SINGLE)


def _get(name: str, known: Mapping[str, Strategy]) -> Strategy:
    strategy = known.get(name)
    if strategy is None:
        raise UnknownStrategy(name, nearest(name))
    return strategy


ENSEMBLE = ensemble.declare(_single)
"""What combines the others; STRATEGIES are those that stand alone."""

_BY_NAME: Mapping[str, Strategy] = {**_SINGLE, ENSEMBLE.name: ENSEMBLE}


def _declared(strategy: Strategy | str) -> Strategy:
    return get(strategy) if isinstance(strategy, str) else strategy


def snap_params(name: Strategy | str, given: Mapping[str, object]) -> dict[str, ParamValue]:
    """All parameters of a strategy in their one form: numbers on their grids, defaults filled in,
    threshold included; lists and filters where they change something.

    Raises UnknownStrategy, or InvalidParams with every problem there is. What it returns it takes
    again unchanged.
    """
    strategy = _declared(name)
    values, problems = choices.chosen(strategy, given)
    snapped = {**strategy.defaults, **values}
    if strategy.form is not None and not problems:
        problems = strategy.form.problems(snapped)
    if problems:
        raise InvalidParams(strategy.name, problems)
    return snapped


def param_names(name: Strategy | str) -> list[str]:
    """Every parameter that a strategy takes. Raises UnknownStrategy."""
    strategy = _declared(name)
    listed = [param.name for param in (*strategy.lists, *FILTERS)]
    return [*(param.name for param in strategy.params), *listed]


def filters_of(params: object) -> dict[str, Any]:
    """The filters among parameters: what means the same to every strategy."""
    given = params if isinstance(params, Mapping) else {}
    return {name: given[name] for name in given if name in FILTER_NAMES}


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


def evaluate(
    strategy: Strategy | str, candles: Candles, params: Params, moment: float | None = None
) -> Signal:
    """The signal on these candles: always finite, in -1..+1, 0.0 where nothing can be said.

    `params` as `snap_params` gives them, or as a plan holds them (without threshold). moment is
    the Unix time of the market, which filters among them need. Never raises for data; raises
    UnknownStrategy, and whatever a broken strategy function raises.
    """
    return prepare(strategy, params).signal(candles, moment)


def prepare(strategy: Strategy | str, params: Params) -> Prepared:
    """The strategy with its parameters, for whoever evaluates it again and again."""
    return evaluation.prepare(_declared(strategy), params)


def describe() -> list[dict[str, object]]:
    """The catalogue for GET /api/strategies, one entry for each name, aliases too."""
    return [_described(name, strategy) for name, strategy in _BY_NAME.items()]


def _described(name: str, strategy: Strategy) -> dict[str, object]:
    same = "" if name == strategy.name else f"the same as {strategy.name}: "
    numbers = [_described_number(param) for param in strategy.params]
    return {
        "name": name,
        "family": strategy.family,
        "description": same + strategy.description,
        "warm_up_bars": strategy.warm_up_bars(),
        "needs_volume": strategy.needs_volume,
        "params": numbers + [_described_list(param) for param in (*strategy.lists, *FILTERS)],
    }


def _described_number(param: Param) -> dict[str, object]:
    return {
        "name": param.name,
        "type": param.type,
        "default": param.default,
        "min": param.min,
        "max": param.max,
        "step": param.step,
        "choices": None,
        "description": param.description,
    }


def _described_list(param: ListParam) -> dict[str, object]:
    return {
        "name": param.name,
        "type": param.type,
        "default": None,
        "min": None,
        "max": None,
        "step": None,
        "choices": list(param.choices) or None,
        "description": param.description,
    }
