"""Examples of calls about many agents and about accounts, for the documentation."""

from typing import Any, Final

from api.call_examples import AGENT, ME, TIME, USER_ID

HALTS: Final[dict[str, object]] = {
    "exits only": {"state": "reducing", "why": "too volatile this week"},
    "go on": {"state": "active"},
}
ACCOUNT_HALT: Final = {"state": "reducing", "agents": 12}
HALT_CHANGE: Final = {
    "at": TIME,
    "scope": "account",
    "agent_id": None,
    "user_id": USER_ID,
    "state": "reducing",
    "made_by": USER_ID,
    "as_operator": False,
    "why": "too volatile this week",
}
USER: Final[dict[str, Any]] = {
    **ME,
    "quotas": {"requests_per_minute": 6000, "plans": 2000, "agents": 50000},
    "agents": 12,
    "plans": 3,
}
QUOTAS: Final[dict[str, object]] = {
    "more agents, else as everybody": {"agents": 50000},
    "back to the defaults": {},
}
CREATE_MANY: Final[dict[str, object]] = {
    "two, one of them bad": {
        "agents": [
            {"symbol": "BTC/USDT", "strategy_name": "momentum_breakout"},
            {"symbol": "BTC/USDT", "strategy_name": "momentum_breakout", "interval_seconds": 0},
        ]
    }
}
BULK: Final[dict[str, Any]] = {
    "created": 1,
    "refused": 1,
    "results": [
        {"index": 0, "status": 201, "agent": AGENT},
        {
            "index": 1,
            "status": 422,
            "problem": {
                "type": "about:blank",
                "title": "Unprocessable Content",
                "status": 422,
                "detail": "bad input: interval_seconds",
                "errors": [
                    {"field": "interval_seconds", "message": "expected a whole number >= 1"}
                ],
            },
        },
    ],
}
