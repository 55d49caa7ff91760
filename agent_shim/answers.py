"""The shape of every answer, call by call. Pure.

The hub speaks this shape already. It is checked once more here, because callers rely on this port
and not on the version of the hub behind it: a field that is missing is an error of ours (502), no
surprise of theirs, and fields of a newer hub stay away from callers that may not know them.
"""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from agent_shim.contract import Action, EndpointSide

_Check = Callable[[Any], bool]


class WrongAnswer(Exception):
    """The hub's answer lacks the contract's shape; the text says where."""


def read_answer(call: str, answer: Any) -> dict[str, Any]:
    """The fields of the contract, and nothing else. Raises WrongAnswer."""
    found = _fields(call, answer, _SHAPES[call])
    if call == "logs":
        found["logs"] = [_fields("a log entry", entry, _LOG_ENTRY) for entry in found["logs"]]
    return found


def _fields(what: str, answer: Any, shape: Mapping[str, _Check]) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise WrongAnswer(f"{what} is no object")
    found = {}
    for name, is_right in shape.items():
        if name not in answer and name in _OPTIONAL:
            continue
        value = answer.get(name)
        if not is_right(value):
            raise WrongAnswer(f"{what}: {name} is missing or wrong")
        found[name] = value
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_true(value: Any) -> bool:
    return value is True


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _one_of(words: tuple[str, ...]) -> _Check:
    return lambda value: value in words


def _or_null(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


_OPTIONAL = frozenset({"reasoning"})

_LOG_ENTRY: Mapping[str, _Check] = {"ts": _is_text, "level": _is_text, "message": _is_text}

_SHAPES: Mapping[str, Mapping[str, _Check]] = {
    "health": {"ok": _is_true, "running": _is_bool},
    "start": {
        "started": _is_true,
        "symbol": _is_text,
        "live_mode": _is_bool,
        "tp_sl_mode": _is_text,
        "supervisor_interval_seconds": _or_null(_is_number),
    },
    "stop": {"stopped": _is_true, "closed": _is_bool},
    "status": {
        "running": _is_bool,
        "symbol": _is_text,
        "last_price": _or_null(_is_number),
        "amount_usdt": _or_null(_is_number),
        "config_leverage": _or_null(_is_number),
        "side": _one_of(get_args(EndpointSide)),
        "entry_price": _or_null(_is_number),
        "position_size_usdt": _or_null(_is_number),
        "leverage": _or_null(_is_number),
        "unrealized_pnl_usdt": _or_null(_is_number),
        "last_action": _or_null(_one_of(get_args(Action))),
        "last_reason": _or_null(_is_text),
        "active_strategy": _or_null(_is_text),
    },
    "logs": {"logs": _is_list, "running": _is_bool},
    "plan": {
        "strategy": _is_text,
        "lookback": _is_number,
        "threshold": _is_number,
        "max_loss_pct": _or_null(_is_number),
        "reasoning": _is_text,
    },
    "config": {"status": _is_text, "updated": _is_object},
}
