"""A command carries the whole wanted state of an agent; the newest epoch wins, so that commands may
be lost, doubled or late. Here: what it holds, and its bytes.

Fields are added at the end, with defaults, so that one that waits in an inbox is still read. One
that an older version would read without half of its settings is written so that it refuses it.
"""

from enum import IntEnum
from math import isfinite
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from engine.errors import CommandError
from engine.rows import Halt, RowRule

_U4_MAX: Final = 2**32 - 1
_U2_MAX: Final = 2**16 - 1

AgentId = Annotated[bytes, Meta(min_length=16, max_length=16)]
Count = Annotated[int, Meta(ge=0, le=_U4_MAX)]
Positive = Annotated[int, Meta(ge=1, le=_U4_MAX)]
Small = Annotated[int, Meta(ge=0, le=_U2_MAX)]
Usd = Annotated[float, Meta(ge=0.0)]


class Wanted(IntEnum):
    RUNNING = 1
    STOPPED = 2
    DELETED = 3
    FAILED = 4  # running no longer: the record could not take an event of its


class ExitMode(IntEnum):
    FIXED = 0
    DYNAMIC = 1


class SizingMode(IntEnum):
    FIXED = 0
    KELLY = 1
    VOL_SCALING = 2


_SESSION_LOSS: Final = int(RowRule.SESSION_LOSS)
_DRAWDOWN: Final = int(RowRule.DRAWDOWN)
_TIME_STOP: Final = int(RowRule.TIME_STOP)
_TRAILING: Final = int(RowRule.TRAILING)
_BREAK_EVEN: Final = int(RowRule.BREAK_EVEN)
_DYNAMIC: Final = int(RowRule.DYNAMIC)
_KELLY: Final = int(RowRule.KELLY)
_VOLATILITY: Final = int(RowRule.VOLATILITY)
_DYNAMIC_EXITS: Final = int(ExitMode.DYNAMIC)
_KELLY_SIZE: Final = int(SizingMode.KELLY)
_VOLATILITY_SIZE: Final = int(SizingMode.VOL_SCALING)


class Command(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The wanted state of the agent that holds, or is to hold, `row`. Units as in rows.ROW."""

    agent_id: AgentId
    row: Count
    epoch: Positive
    wanted: Wanted
    close_position: bool  # with STOPPED: close what is open, else keep it, unwatched
    plan_id: Count
    interval: Positive
    threshold: Usd
    max_position_usd: Usd
    stop_loss_ppm: Count
    take_profit_ppm: Count
    leverage: Annotated[int, Meta(ge=1, le=125)]
    fee_cbps: Small
    slippage_cbps: Small
    max_session_loss_usd: Usd
    asked_epoch: Count = 0  # in which `wanted` was asked for; 0: with this command
    tp_sl_mode: ExitMode = ExitMode.FIXED  # from here on: what row schema 1 has no place for
    sizing_mode: SizingMode = SizingMode.FIXED
    halt: Halt = Halt.ACTIVE  # the stricter of agent and account
    atr_multiple_centi: Small = 0  # this and the next one count with DYNAMIC only
    reward_risk_centi: Small = 0
    trailing_stop_bps: Small = 0
    break_even_bps: Small = 0
    max_drawdown_bps: Small = 0
    max_trades_per_day: Small = 0
    time_stop_s: Count = 0
    cooldown_s: Count = 0

    @property
    def rules(self) -> int:
        """RowRule: what of its settings has to be looked at in a slot."""
        # Plain numbers: an operator of a flag is a function, and thousands of commands may come.
        rules = _SESSION_LOSS if self.max_session_loss_usd > 0 else 0
        if self.max_drawdown_bps:
            rules |= _DRAWDOWN
        if self.time_stop_s:
            rules |= _TIME_STOP
        if self.trailing_stop_bps:
            rules |= _TRAILING
        if self.break_even_bps:
            rules |= _BREAK_EVEN
        if self.tp_sl_mode == _DYNAMIC_EXITS:
            rules |= _DYNAMIC
        if self.sizing_mode == _KELLY_SIZE:
            rules |= _KELLY
        elif self.sizing_mode == _VOLATILITY_SIZE:
            rules |= _VOLATILITY
        return rules

    @property
    def schema(self) -> int:
        """The row schema that its settings need."""
        return 2 if any(getattr(self, name) for name in _SETTINGS_2) else 1


_FIELDS: Final = Command.__struct_fields__
_FIELDS_1: Final = _FIELDS[: _FIELDS.index("tp_sl_mode")]
_SETTINGS_2: Final = _FIELDS[_FIELDS.index("tp_sl_mode") :]
# Neither is the beginning of an array in msgpack.
_SCHEMA_MARK: Final = {2: b"\x02"}

_decoder = msgspec.msgpack.Decoder(Command)


def encode_command(command: Command) -> bytes:
    """As schema 1 has it where its settings allow; else behind a mark that is no command there."""
    if command.schema == 1:
        return msgspec.msgpack.encode([getattr(command, name) for name in _FIELDS_1])
    return _SCHEMA_MARK[command.schema] + msgspec.msgpack.encode(command)


def decode_command(payload: bytes) -> Command:
    """Raises CommandError for what is no command or holds a number that no row can hold."""
    try:
        command = _decoder.decode(payload[payload[:1] == _SCHEMA_MARK[2] :])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"no command: {error}") from error
    for name in ("threshold", "max_position_usd", "max_session_loss_usd"):
        if not isfinite(getattr(command, name)):
            raise CommandError(f"no command: {name} is not finite")
    return command
