"""Examples for the documentation. Tests send the requests and read the answers with their types."""

from typing import Any, Final

AGENT_ID: Final = "9d1c0a52-53f4-4f0e-9f5c-0f6f8d3b7a11"
USER_ID: Final = "5d1c0a52-53f4-4f0e-9f5c-0f6f8d3b7a12"
TRADE_ID: Final = "7be1f3a6-0a8e-5f0d-8a55-3f2d5f0c6b13"
TIME: Final = "2026-01-31T12:00:00.000Z"
LATER: Final = "2026-01-31T12:07:41.000Z"

LOGIN: Final = {"email": "trader@example.com", "password": "correct horse battery"}
REFRESH: Final = {"refresh_token": "rt_the-one-that-came-last"}
TOKENS: Final = {
    "access_token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI1ZDFjIn0.c2lnbmF0dXJl",
    "refresh_token": "rt_good-for-one-refresh",
    "token_type": "bearer",
}
ME: Final = {
    "id": USER_ID,
    "email": "trader@example.com",
    "role": "user",
    "quotas": {"requests_per_minute": 6000, "plans": 2000, "agents": 10000},
    "halt": "active",
}
API_KEY: Final = {"api_key": "ak_shown-this-once"}
PUBLIC_KEY: Final = {
    "key_id": "6d1f0a5253f44f0e",
    "public_key": "9sN0X1eQm3o1r5mZ0yM2B1pJvU7nKx0c4aTtq8yRzWQ",
}
SECRETS: Final = {"keys": ["TWELVE_DATA_API_KEY"]}
SECRET: Final = {
    "key_name": "TWELVE_DATA_API_KEY",
    "encrypted_value": "v1.6d1f0a5253f44f0e.c2VhbGVkIHRvIHRoZSBodWI",
}

CREATE: Final[dict[str, object]] = {
    "least": {"symbol": "BTC/USDT", "strategy_name": "momentum_breakout"},
    "sized": {
        "name": "ETH mean reversion",
        "symbol": "ETH/USDT",
        "strategy_name": "rsi_signal",
        "timeframe": "5m",
        "interval_seconds": 10,
        "strategy_params": {"lookback": 21},
        "risk_params": {
            "max_position_usd": 500,
            "leverage": 2,
            "stop_loss_pct": 1.5,
            "take_profit_pct": 3,
            "max_session_loss_usd": 50,
        },
    },
    "by ATR, trailing": {
        "symbol": "BTC/USDT",
        "strategy_name": "ema_crossover",
        "timeframe": "15m",
        "risk_params": {
            "tp_sl_mode": "dynamic",
            "atr_multiple": 2.5,
            "trailing_stop_pct": 1.5,
            "max_drawdown_pct": 10,
            "cooldown_seconds": 900,
            "sizing_mode": "vol_scaling",
        },
    },
}
EDIT: Final[dict[str, object]] = {
    "tighter": {"interval_seconds": 5, "risk_params": {"stop_loss_pct": 1}},
    "back to the default": {"risk_params": {"max_session_loss_usd": None}},
}
PLAN: Final[dict[str, object]] = {
    "whole": {
        "strategy": "momentum_breakout", "lookback": 20, "threshold": 0.5, "max_loss_pct": 0.02,
    },
    "another strategy": {"strategy": "rsi_signal"},
}  # fmt: skip
AGENT: Final[dict[str, Any]] = {
    "id": AGENT_ID,
    "name": "momentum_breakout BTC/USDT",
    "symbol": "BTC/USDT",
    "timeframe": "1m",
    "strategy_name": "momentum_breakout",
    "strategy_params": {"lookback": 20, "threshold": 0.5},
    "interval_seconds": 1,
    "live_mode": False,
    "risk_params": {
        "max_position_usd": 100.0,
        "stop_loss_pct": 2.0,
        "take_profit_pct": 4.0,
        "leverage": 1,
        "tp_sl_mode": "fixed",
        "atr_multiple": 2.0,
        "reward_risk_ratio": 2.0,
        "trailing_stop_pct": None,
        "max_session_loss_usd": None,
        "max_drawdown_pct": None,
        "fee_bps": 10.0,
        "slippage_bps": 1.0,
        "break_even_pct": None,
        "time_stop_seconds": None,
        "cooldown_seconds": None,
        "max_trades_per_day": None,
        "sizing_mode": "fixed",
    },
    "status": "running",
    "status_detail": None,
    "halt": "active",
    "created_at": TIME,
    "updated_at": TIME,
}
STATUS: Final[dict[str, Any]] = {
    "agent_id": AGENT_ID,
    "status": "running",
    "symbol": "BTC/USDT",
    "price": 64231.5,
    "price_time": TIME,
    "price_source": "simulated",
    "stale": False,
    "position": {
        "side": "long",
        "quantity": 0.00155666,
        "entry_price": 64240.0,
        "notional_usd": 99.9998384,
        "margin_usd": 99.9998384,
        "leverage": 1,
        "take_profit_price": 66809.6,
        "stop_loss_price": 62955.2,
        "liquidation_price": None,
        "opened_at": TIME,
        "unrealized_pnl_usd": -0.01323161,
    },
    "realized_pnl_usd": 1.25,
    "fees_usd": 0.3,
    "strategy_name": "momentum_breakout",
    "signal": 0.41,
    "signal_detail": "above the high of 20 bars",
    "last_action": "HOLD",
    "last_reason": "the position stays open",
    "ticks": 3600,
    "missed_ticks": 0,
    "last_tick_at": TIME,
    "next_tick_at": "2026-01-31T12:00:01.000Z",
    "halt": "active",
}
ENTRY: Final = {"ts": TIME, "level": "start", "message": "trading loop started"}
TRADE: Final = {
    "id": TRADE_ID,
    "agent_id": AGENT_ID,
    "seq": 12,
    "symbol": "BTC/USDT",
    "side": "long",
    "strategy_name": "momentum_breakout",
    "quantity": 0.00155666,
    "leverage": 1,
    "entry_price": 64240.0,
    "exit_price": 66809.6,
    "fee_usd": 0.204,
    "pnl_usd": 3.796,
    "open_reason": "signal",
    "close_reason": "take_profit",
    "opened_at": TIME,
    "closed_at": LATER,
    "mode": "paper",
}
METRICS: Final = {
    "trades": 12,
    "wins": 7,
    "losses": 5,
    "win_rate": 0.58333,
    "total_pnl_usd": 4.2,
    "fees_usd": 2.4,
    "profit_factor": 1.4,
    "expectancy_usd": 0.35,
    "sharpe": 1.1,
    "sortino": 1.6,
    "calmar": 2.2,
    "max_drawdown_usd": 3.1,
    "max_drawdown_pct": 3.1,
    "exposure": 0.42,
    "turnover_usd": 2400.0,
    "average_hold_seconds": 1840.0,
}
FLEET_METRICS: Final = {
    "agents": 3, "capital_usd": 300.0, "as_of": "2026-01-31T12:00:00.000Z", "metrics": METRICS,
}  # fmt: skip
STRATEGIES: Final = [
    {
        "name": "momentum_breakout",
        "family": "momentum",
        "description": "price above the highest high or below the lowest low of the last closed"
        " bars",
        "warm_up_bars": 21,
        "needs_volume": False,
        "params": [
            {
                "name": "lookback",
                "type": "int",
                "default": 20,
                "min": 2,
                "max": 200,
                "step": 1,
                "choices": None,
                "description": "bars",
            },
            {
                "name": "day_of_week_filter",
                "type": "list",
                "default": None,
                "min": None,
                "max": None,
                "step": None,
                "choices": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
                "description": "signals only on these UTC weekdays",
            },
        ],
    }
]
CANDLES: Final = {
    "symbol": "BTC/USDT",
    "timeframe": "1h",
    "source": "twelvedata",
    "fetched_at": TIME,
    "stale": False,
    "candles": [
        {
            "time": 1769857200,
            "open": 64180.0,
            "high": 64310.5,
            "low": 64120.0,
            "close": 64231.5,
            "volume": None,
        }
    ],
}
PRICE: Final = {
    "symbol": "BTC/USDT",
    "price": 64231.5,
    "conf": None,
    "publish_time": TIME,
    "source": "simulated",
    "stale": False,
}

START: Final[dict[str, object]] = {
    "as it is": {},
    "with settings": {
        "symbol": "BTCUSDT",
        "amount_usdt": 100,
        "leverage": 2,
        "tp_pct": 0.04,
        "sl_pct": 0.02,
    },
}
STARTED: Final = {
    "started": True,
    "symbol": "BTC/USDT",
    "live_mode": False,
    "tp_sl_mode": "fixed",
    "supervisor_interval_seconds": None,
}
ENDPOINT_STATUS: Final = {
    "running": True,
    "symbol": "BTC/USDT",
    "last_price": 64231.5,
    "amount_usdt": 100.0,
    "config_leverage": 1,
    "side": "FLAT",
    "entry_price": None,
    "position_size_usdt": None,
    "leverage": None,
    "unrealized_pnl_usdt": None,
    "last_action": "HOLD",
    "last_reason": "no signal",
    "active_strategy": "momentum_breakout",
}
REPORT: Final[dict[str, object]] = {
    "running": True,
    "symbol": "BTC/USDT",
    "last_price": 64231.5,
    "side": "FLAT",
    "last_action": "HOLD",
}
OPENED: Final = {
    "agent_id": AGENT_ID,
    "side": "long",
    "entry_price": 64240.0,
    "size_usdt": 100,
    "leverage": 1,
}
LINES: Final = {"agent_id": AGENT_ID, "entries": [ENTRY]}
SOURCES: Final = {
    "prices": "prices are streamed from Pyth",
    "sources": [
        {
            "source": "pyth",
            "kind": "prices",
            "is_own": False,
            "state": "connected",
            "connected_since": TIME,
            "last_message_age_s": 0.3,
            "errors": 1,
            "budget_left": None,
            "stale_symbols": [],
            "last_error": "the server ended the stream",
            "retry_at": None,
            "messages": 86400,
            "malformed": 0,
            "dropped": {"jump": 1},
            "unknown_symbols": [],
            "left_out_symbols": [],
            "held_by": "worker-2",
        },
        {
            "source": "twelvedata",
            "kind": "candles",
            "is_own": False,
            "state": "connected",
            "connected_since": None,
            "last_message_age_s": 12.0,
            "errors": 0,
            "budget_left": {"minute": 6, "day": 640},
            "stale_symbols": [],
            "last_error": None,
            "retry_at": None,
            "messages": 160,
            "malformed": 0,
            "dropped": {},
            "unknown_symbols": [],
            "left_out_symbols": [],
            "held_by": None,
        },
    ],
}
SIMULATED: Final = "prices are simulated (seeded random walks; no market is asked)"
READY: Final[dict[str, Any]] = {
    "ready": True,
    "dependencies": {"database": "ok", "redis": "ok"},
    "prices": SIMULATED,
    "sources": [
        {
            "source": "simulated",
            "kind": "prices",
            "is_own": False,
            "state": "computed",
            "connected_since": None,
            "last_message_age_s": None,
            "errors": 0,
            "budget_left": None,
            "stale_symbols": [],
        }
    ],
    "frozen_shards": [],
}
NOT_READY: Final = {
    "ready": False,
    "dependencies": {"database": "ok", "redis": "away"},
    "prices": SIMULATED,
    "sources": [],
    "frozen_shards": [],
}
