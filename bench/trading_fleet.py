"""Agents that trade much: each strategy with tight exits, wide ones, leverage, limits, intervals.

The bodies are those of POST /api/agents. Threshold and exits are such that a minute of recorded
prices at sixty times their speed gives each kind of round trip many times.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from adapters.price_simulated import SYMBOLS
from bench.recompute_rules import AgentSettings
from strategies import catalog

STYLES: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("tight", 1, {"stop_loss_pct": 0.03, "take_profit_pct": 0.03}),
    ("by signal", 1, {"stop_loss_pct": 5.0, "take_profit_pct": 5.0}),
    ("stopped out", 1, {"stop_loss_pct": 0.02, "take_profit_pct": 2.0, "leverage": 10}),
    ("quick profit", 1, {"stop_loss_pct": 2.0, "take_profit_pct": 0.02, "leverage": 5}),
    ("every third second", 3, {"stop_loss_pct": 0.05, "take_profit_pct": 0.05, "leverage": 3}),
    (
        "loss limit",
        1,
        {"stop_loss_pct": 0.2, "take_profit_pct": 0.2, "max_session_loss_usd": 12.0},
    ),
    ("no room", 1, {"stop_loss_pct": 5.0, "take_profit_pct": 5.0, "leverage": 125}),
    (
        "every fifth second, free",
        5,
        {"stop_loss_pct": 0.04, "take_profit_pct": 0.08, "fee_bps": 0.0, "slippage_bps": 0.0},
    ),
    ("trailing", 1, {"stop_loss_pct": 2.0, "take_profit_pct": 2.0, "trailing_stop_pct": 0.05}),
    ("by ATR", 1, {"tp_sl_mode": "dynamic", "atr_multiple": 0.5, "reward_risk_ratio": 1.25}),
    (
        "sized by volatility",
        2,
        {"tp_sl_mode": "dynamic", "atr_multiple": 1.0, "sizing_mode": "vol_scaling"},
    ),
    ("short-lived", 1, {"stop_loss_pct": 5.0, "take_profit_pct": 5.0, "time_stop_seconds": 4}),
    (
        "break-even",
        1,
        {"stop_loss_pct": 0.2, "take_profit_pct": 0.2, "break_even_pct": 0.03, "fee_bps": 0.5},
    ),
    ("drawdown", 1, {"stop_loss_pct": 0.04, "take_profit_pct": 0.04, "max_drawdown_pct": 0.7}),
    (
        "patient",
        1,
        {
            "stop_loss_pct": 0.03,
            "take_profit_pct": 0.03,
            "cooldown_seconds": 5,
            "max_trades_per_day": 4,
        },
    ),
    ("kelly", 1, {"time_stop_seconds": 1, "fee_bps": 0.0, "sizing_mode": "kelly"}),
)
"""(name, interval, what differs in risk_params)."""
_POSITION_USD = (100.0, 250.0, 1000.0, 12345.67)
_THRESHOLDS = (0.05, 0.1, 0.25, 0.5)
_NERVOUS: Mapping[str, Mapping[str, float]] = {
    "dual_momentum": {"short": 2},
    "ma_crossover": {"fast": 2},
    "ema_crossover": {"fast": 2},
    "macd_signal": {"fast": 2, "signal": 2},
    "supertrend": {"multiple": 0.5},
    "bollinger_reversion": {"width": 0.5},
    "rsi_signal": {"oversold": 49.0, "overbought": 51.0},
    "stochastic_signal": {"smooth": 2, "oversold": 49.0, "overbought": 51.0},
    "range_sr": {"zone": 3.0, "touches": 1},
    "bollinger_squeeze": {"width": 1.0, "narrow": 1.0, "widen": 0.01},
    "atr_breakout": {"multiple": 0.5},
    "keltner_bollinger": {"width": 5.0, "multiple": 0.5},
    "vwap_deviation": {"width": 0.5},
    "adx_filter": {"adx_min": 5.0},
    "ichimoku_signal": {"tenkan": 2, "senkou": 4},
    "trix_signal": {"signal": 2},
    "money_flow_index": {"oversold": 49.0, "overbought": 51.0},
    "linear_regression_channel": {"width": 0.5},
    "kalman_fair_value": {"process_noise": 1.0},
    "ou_reversion": {"half_life_max": 100.0},
    "variance_ratio": {"horizon": 2, "significance": 0.5},
}
"""Parameters besides the shortest lookback with which a strategy changes its mind often."""
_SIMULATED_SHARE = 0.4
"""A simulated second moves a price by this much of what a recorded minute does."""


def agent_body(number: int, recorded: bool) -> dict[str, Any]:
    """The number-th agent; recorded: prices are those of the one recorded symbol."""
    turn, number_of_strategy = divmod(number, len(catalog.STRATEGIES))
    style = turn + number_of_strategy  # so that a small fleet has every style, too
    name, interval, risk = STYLES[style % len(STYLES)]
    if not recorded:
        exits = {"stop_loss_pct", "take_profit_pct"} & risk.keys()
        risk = risk | {each: round(risk[each] * _SIMULATED_SHARE, 4) for each in exits}
    strategy = catalog.STRATEGIES[number_of_strategy]
    threshold = _THRESHOLDS[number % len(_THRESHOLDS)]
    params: dict[str, float] = {"threshold": threshold}
    if style % 2:
        shortest = next(param.min for param in strategy.params if param.name == "lookback")
        params = {"threshold": 0.01, "lookback": shortest, **_NERVOUS.get(strategy.name, {})}
    return {
        "name": f"{name} {number}",
        "symbol": SYMBOLS[0] if recorded else SYMBOLS[number % len(SYMBOLS)],
        "strategy_name": strategy.name,
        "strategy_params": params,
        "interval_seconds": interval,
        "risk_params": {"max_position_usd": _POSITION_USD[number % len(_POSITION_USD)]} | risk,
    }


def settings_of(
    agent_id: UUID, body: Mapping[str, Any], plan_id: int, start_slot: int
) -> AgentSettings:
    """The same agent as the recomputation takes it, from what its owner has asked for."""
    risk = {key: value for key, value in body["risk_params"].items() if value is not None}
    return AgentSettings(
        agent_id=str(agent_id),
        symbol=body["symbol"],
        plan_id=plan_id,
        start_slot=start_slot,
        threshold=body["strategy_params"]["threshold"],
        interval=body["interval_seconds"],
        **risk,
    )
