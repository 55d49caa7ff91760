"""What the fields of bodies and answers mean, with their units, for /openapi.json and /docs.

By the name of the field; where a type means something else by it, by `Type.field`.
"""

from collections.abc import Mapping

FIELD_WORDS: Mapping[str, str] = {
    # accounts
    "email": "compared without regard to case",
    "password": "at least 8 characters of any kind when the account is opened",
    "access_token": "for `Authorization: Bearer`; good for 15 minutes",
    "refresh_token": "good once; one that comes back ends its login everywhere",
    "role": "the first account of an installation is its operator",
    "quotas": "what the account may ask of the hub",
    "requests_per_minute": "of one user to all hubs; null: no limit",
    "users": "by id",
    "next": "what to ask for after the last one; null at the end",
    "after": "the `next` of the page before",
    "plans": "different plans (symbol, timeframe, strategy, parameters) that it may make; null: no "
    "limit",
    "api_key": "shown this once; the one before it is no good from now on",
    "key_name": "what the secret is; so far TWELVE_DATA_API_KEY is used, and so taken",
    "encrypted_value": "`v1.<key_id>.<base64url(enc || ciphertext)>`: HPKE (RFC 9180) base mode, "
    "X25519, HKDF-SHA256, AES-256-GCM, to the hub's public key, info `artic-secret:` + key_name; "
    "`artic seal` makes it",
    "key_id": "names the public key in what is sealed to it",
    "public_key": "32 bytes in base64url",
    "keys": "names only; values are never told",
    # agents
    "symbol": "`BTC/USDT`; `BTCUSDT`, `btc-usdt` and `BTC` mean the same",
    "strategy_name": "a name of GET /api/strategies",
    "strategy_params": "parameters of the strategy by name, among them `lookback` and `threshold`; "
    "those left out have their defaults, values are taken to the strategy's step; every strategy "
    "takes `session_filter` and `day_of_week_filter`, too",
    "interval_seconds": "between two looks at the signal; exits are checked every second",
    "live_mode": "real orders; not available yet",
    "risk_params": "sizes, exits and costs",
    "name": "what the owner calls it; made of strategy and symbol if left out",
    "timeframe": "of the candles that the strategy sees",
    "auto_start": "false: made, but not started",
    "llm": "planning by a language model; not available yet",
    "status": "`creating`: on its way to the pool, `running`, `stopped`: by hand or by a limit, "
    "`error`: failed to start or crashed",
    "status_detail": "why, where there is more to say",
    "halt": "`active`; `reducing`: opens nothing, closes as usual; `halted`: decides nothing, only "
    "stop, target and limits close; the strictest of the agent's, its account's and the fleet's",
    "state": "`active`; `reducing`: opens nothing, closes as usual; `halted`: decides nothing, but "
    "stop, target and limits close",
    "why": "kept with the change, for whoever asks later",
    "changes": "newest first",
    "started": "agents that this call has told to run",
    "created": "agents that were made",
    "refused": "agents that were not made",
    "results": "what became of each, in the order of the request",
    "index": "place in the list of the request, from 0",
    "problem": "why it was not made, as it would be answered alone",
    "scope": "what was held back: one agent, all of an account, or everybody's",
    "made_by": "the account that asked for it",
    "as_operator": "true: only an operator lifts it",
    "created_at": "UTC",
    "updated_at": "UTC, of the last change by its owner",
    "close_position": "true: at the next price; false: kept, and no longer watched",
    "confirm": "the word itself, so that nobody stops everything by mistake",
    # risk
    "max_position_usd": "USD, the most that a position may be worth when it is opened",
    "stop_loss_pct": "per cent of the entry price (2.0 is 2 %); with `fixed`",
    "take_profit_pct": "per cent of the entry price (4.0 is 4 %); with `fixed`",
    "leverage": "margin is notional / leverage; a loss that reaches the margin liquidates",
    "tp_sl_mode": "`fixed`: stop and target by per cent; `dynamic`: by the ATR of the entry",
    "atr_multiple": "distance of the stop from the entry, in ATR(14); with `dynamic`",
    "reward_risk_ratio": "distance of the target, in distances of the stop; with `dynamic`",
    "trailing_stop_pct": "a stop so many per cent behind the best price since the entry; null: "
    "none",
    "max_session_loss_usd": "USD; a loss since the start that reaches it closes and stops; null: "
    "no limit",
    "max_drawdown_pct": "per cent of max_position_usd and what the session had won at its best; a "
    "fall from there that reaches it closes and stops; null: no limit",
    "break_even_pct": "a move in favour, in per cent of the entry, after which the stop is where "
    "nothing is lost; null: none",
    "time_stop_seconds": "a position that is so old is closed; null: none",
    "cooldown_seconds": "for so long after a losing trade nothing is opened; null: none",
    "max_trades_per_day": "positions that may be opened on one UTC day; null: no limit",
    "sizing_mode": "`fixed`: all of max_position_usd; `kelly` (or `kelly_size`): a fraction "
    "by the agent's own closed trades; `vol_scaling` (or `vol_scaling_mult`): a fraction by the "
    "volatility of the market",
    "fee_bps": "basis points of the notional, for opening and for closing",
    "slippage_bps": "basis points by which every fill is worse than the price",
    # status and trades
    "price": "USD",
    "price_time": "UTC, when the source gave it",
    "price_source": "where it comes from: simulated, replay, pyth, reported ...",
    "stale": "older than 10 seconds: opens nothing and holds exits",
    "position": "null when flat",
    "side": "long or short",
    "quantity": "in units of the base (BTC)",
    "entry_price": "USD, with slippage",
    "exit_price": "USD, with slippage; null while open",
    "notional_usd": "USD, at the entry",
    "margin_usd": "USD, notional / leverage",
    "take_profit_price": "USD",
    "stop_loss_price": "USD",
    "liquidation_price": "USD; null where no price liquidates",
    "unrealized_pnl_usd": "USD at the present price, before the fee of closing",
    "realized_pnl_usd": "USD of all closed trades, net of fees",
    "fees_usd": "USD, all that were ever paid",
    "fee_usd": "USD, of opening and closing together",
    "pnl_usd": "USD, net of fees; null while open",
    "signal": "-1 (down) to +1 (up); null where the strategy can say nothing",
    "signal_detail": "what the strategy saw",
    "last_action": "OPEN_LONG, OPEN_SHORT, CLOSE or HOLD; null before the first tick",
    "last_reason": "why",
    "ticks": "how often it was due and ran",
    "missed_ticks": "how often it was due and did not run",
    "open_reason": "why it was opened",
    "close_reason": "why it was closed; null while open",
    "opened_at": "UTC",
    "closed_at": "UTC; null while open",
    "mode": "paper or live",
    "seq": "that of the WebSocket message which told of its opening",
    # markets and reports
    "conf": "half of the source's confidence interval in USD; null where it gives none",
    "publish_time": "UTC, when the source gave it",
    "source": "where it comes from",
    "running": "whether the trading loop is active",
    "last_price": "USD",
    "position_size_usdt": "USD, the notional of the position",
    "unrealized_pnl_usdt": "USD",
    "active_strategy": "the strategy that decides now",
    "size_usdt": "USD, the notional of the position",
    "pnl": "USD, net of fees",
    "strategy": "the strategy that decided",
    "tx_hash": "the transaction, for live trades",
    "event_id": "a report with an id that was seen before changes nothing",
    "entries": "oldest first",
    "ts": "UTC",
    "agent_id": "whose it is",
    "level": "init, llm, start, tick, action, sl_tp, stop, error, warn or supervisor",
    # the agent endpoint
    "amount_usdt": "USD of margin; the notional is amount x leverage",
    "config_leverage": "what new positions are opened with",
    "poll_seconds": "between two looks at the signal, rounded up to whole seconds",
    "tp_pct": "a fraction of the price from the entry (0.05 is 5 %)",
    "sl_pct": "a fraction of the price from the entry (0.02 is 2 %)",
    "primary_timeframe": "of the candles that the strategy sees",
    "closePosition": "true: at the next price; false: kept, and no longer watched",
    "lookback": "bars that the strategy looks back; as it is if left out",
    "threshold": "what a signal has to reach, up to 1; as it is if left out",
    "max_loss_pct": "a fraction of the price (0.02 is 2 %): the stop loss",
    "reasoning": "why; not available yet",
    # queries
    "limit": "how many at most",
    "cursor": "from the answer before: where the next page begins",
    "before": "UTC, ISO 8601 with its zone: only what came before it",
    "token": "an access token",
    "agents": "ids with commas between them; all agents if left out",
    "since": "the last seq that was seen: what came after it is sent again first",
    # agents of other hubs
    "hub_url": "HUB_URL as its container has it: one of ARTIC_CALLBACK_HUBS",
    "internal_secret": "what that hub lets its agents in by",
    # where a type means something else
    "QuotasAnswer.agents": "agents that it may have; null: no limit",
    "SetQuotas.agents": "agents that it may have; null: the installation's default, 0: no limit",
    "SetQuotas.plans": "plans that it may make; null: the installation's default, 0: no limit",
    "SetQuotas.requests_per_minute": "to all hubs; null: the installation's default, 0: no limit",
    "UserAnswer.agents": "agents that it has, those that are being deleted among them",
    "UserAnswer.plans": "plans that it has made",
    "AccountHalt.agents": "how many were told",
    "DescribedAgents.agents": "1 to 10,000 of them, each as for POST /api/agents",
    "ListAgents.status": "only those with this status",
    "ListAgents.limit": "how many at most; all of them if left out",
    "ReadLogs.level": "only entries of this level",
    "ReportStatus.side": "LONG, SHORT or FLAT",
    "EndpointStatus.side": "LONG, SHORT or FLAT",
    "EndpointStatus.leverage": "of the open position; null when flat",
    "ReportLine.ts": "ISO 8601, of UTC where it names no zone, or Unix seconds",
    "StrategyAnswer.name": "for `strategy_name`",
    "ParamAnswer.name": "for `strategy_params`",
}


def words_of(type_name: str, field: str) -> str | None:
    """What a field means; None where its name says all there is."""
    own = FIELD_WORDS.get(f"{type_name.removesuffix('Patch')}.{field}")
    return own or FIELD_WORDS.get(field)
