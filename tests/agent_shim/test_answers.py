"""What callers hear has the contract's shape, whatever the hub adds or forgets."""

from typing import Any

import pytest

from agent_shim.answers import WrongAnswer, read_answer

STATUS: dict[str, Any] = {
    "running": True,
    "symbol": "BTC/USDT",
    "last_price": 64_231.5,
    "amount_usdt": 50.0,
    "config_leverage": 2,
    "side": "LONG",
    "entry_price": 64_000.0,
    "position_size_usdt": 100.0,
    "leverage": 2,
    "unrealized_pnl_usdt": 0.36,
    "last_action": "OPEN_LONG",
    "last_reason": "signal",
    "active_strategy": "momentum_breakout",
}
ENTRY = {"ts": "2026-01-31T12:00:00.000Z", "level": "tick", "message": "price 1, flat"}
GOOD: dict[str, dict[str, Any]] = {
    "health": {"ok": True, "running": False},
    "start": {
        "started": True,
        "symbol": "BTC/USDT",
        "live_mode": False,
        "tp_sl_mode": "fixed",
        "supervisor_interval_seconds": None,
    },
    "stop": {"stopped": True, "closed": False},
    "status": STATUS,
    "logs": {"logs": [ENTRY], "running": True},
    "plan": {"strategy": "breakout", "lookback": 20, "threshold": 0.5, "max_loss_pct": 0.02},
    "config": {"status": "ok", "updated": {"tp_pct": 0.1}},
}


@pytest.mark.parametrize("call", GOOD)
def test_a_good_answer_is_passed_on(call: str) -> None:
    assert read_answer(call, GOOD[call]) == GOOD[call]
    assert read_answer(call, GOOD[call] | {"newer": 1}) == GOOD[call]


def test_a_plan_may_give_its_reasons() -> None:
    with_reasons = GOOD["plan"] | {"reasoning": "the trend is up"}
    assert read_answer("plan", with_reasons) == with_reasons


def test_there_is_null_where_there_is_nothing() -> None:
    needed = {"running": False, "symbol": "BTC/USDT", "side": "FLAT"}
    status = read_answer("status", needed)
    assert status == dict.fromkeys(STATUS) | needed
    assert list(status) == list(STATUS)


@pytest.mark.parametrize(
    ("call", "wrong", "says"),
    [
        ("health", {"ok": False}, "health: ok is missing or wrong"),
        ("health", {"running": None}, "health: running is missing or wrong"),
        ("start", {"started": False}, "start: started is missing or wrong"),
        ("stop", {"closed": "yes"}, "stop: closed is missing or wrong"),
        ("status", {"side": "long"}, "status: side is missing or wrong"),
        ("status", {"side": None}, "status: side is missing or wrong"),
        ("status", {"last_action": "open_long"}, "status: last_action is missing or wrong"),
        ("status", {"last_price": "1"}, "status: last_price is missing or wrong"),
        ("status", {"leverage": True}, "status: leverage is missing or wrong"),
        ("logs", {"logs": None}, "logs: logs is missing or wrong"),
        ("logs", {"logs": [{"ts": "x"}]}, "a log entry: level is missing or wrong"),
        ("logs", {"logs": ["line"]}, "a log entry is no object"),
        ("plan", {"reasoning": None}, "plan: reasoning is missing or wrong"),
        ("config", {"updated": []}, "config: updated is missing or wrong"),
    ],
)
def test_a_wrong_answer_says_where(call: str, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(WrongAnswer) as caught:
        read_answer(call, GOOD[call] | wrong)
    assert str(caught.value) == says


@pytest.mark.parametrize("answer", [None, [], "ok", 7])
def test_an_answer_that_is_no_object(answer: object) -> None:
    with pytest.raises(WrongAnswer):
        read_answer("health", answer)
