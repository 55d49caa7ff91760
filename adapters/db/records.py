"""What the ledger takes and what the record gives back: trades, log lines, messages.

Money is Decimal here, digit for digit what the engine held as a float; `as_json` turns it into
the numbers of the contract, which are those floats again. What comes by the thousand is a
msgspec Struct: a frozen dataclass takes twenty times as long to make.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Generic, Literal, TypeVar
from uuid import UUID

import msgspec

from engine.schedule import SkippedRange

Number = TypeVar("Number", float, Decimal)

MessageKind = Literal["trade", "log"]

DIGITS: Final = 38
DECIMALS: Final = 18
"""NUMERIC(DIGITS, DECIMALS) is the type of every price, quantity and amount of USD."""


class Trade(msgspec.Struct, Generic[Number], frozen=True):
    """One position from its opening on; exit fields are None while it is open.

    seq is that of the message that told of its opening. fee_usd is the entry's fee while open,
    both sides' afterwards; pnl_usd is net of both. Number is Decimal in what is read back.
    """

    id: UUID
    agent_id: UUID
    user_id: UUID
    seq: int
    symbol: str
    side: str
    strategy_name: str
    quantity: Number
    leverage: int
    entry_price: Number
    exit_price: Number | None
    fee_usd: Number
    pnl_usd: Number | None
    open_reason: str
    close_reason: str | None
    opened_at: datetime
    closed_at: datetime | None
    mode: str

    def as_json(self) -> dict[str, Any]:
        """The contract's trade."""
        return {
            "id": str(self.id),
            "agent_id": str(self.agent_id),
            "seq": self.seq,
            "symbol": self.symbol,
            "side": self.side,
            "strategy_name": self.strategy_name,
            "quantity": float(self.quantity),
            "leverage": self.leverage,
            "entry_price": float(self.entry_price),
            "exit_price": None if self.exit_price is None else float(self.exit_price),
            "fee_usd": float(self.fee_usd),
            "pnl_usd": None if self.pnl_usd is None else float(self.pnl_usd),
            "open_reason": self.open_reason,
            "close_reason": self.close_reason,
            "opened_at": iso(self.opened_at),
            "closed_at": None if self.closed_at is None else iso(self.closed_at),
            "mode": self.mode,
        }


class LogLine(msgspec.Struct, frozen=True):
    """One line of an agent's log. seq is that of the message that carried it."""

    seq: int
    ts: datetime
    level: str
    message: str

    def as_json(self) -> dict[str, Any]:
        """The contract's log entry."""
        return {"ts": iso(self.ts), "level": self.level, "message": self.message}


class UserMessage(msgspec.Struct, frozen=True):
    """A trade or log message of the WebSocket; seq counts a user's messages without gaps.

    data is JSON: `{event, trade}` or `{entries: [log]}` of the contract.
    """

    user_id: UUID
    seq: int
    kind: MessageKind
    agent_id: UUID
    ts: datetime
    data: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The contract's message."""
        return {
            "type": self.kind,
            "agent_id": str(self.agent_id),
            "seq": self.seq,
            "ts": iso(self.ts),
            "data": self.data,
        }


@dataclass(frozen=True, slots=True)
class ShardEvents:
    """What was read of one shard's stream above after_version: whole versions, in order.

    entries are (version, n, encoded event); run_id and skipped, the slots that were not run, were
    read together with them.
    """

    shard: int
    run_id: str
    after_version: int
    entries: Sequence[tuple[int, int, bytes]]
    skipped: Sequence[SkippedRange] = ()


class Refusal(Enum):
    """Why nothing of a shard was stored; read again from the cursor that comes with it."""

    UNKNOWN = "the record knows no such shard"
    RUN_ID = "the events are of another run of Redis"
    MOVED = "the cursor stands elsewhere: they are stored already, or some before them are not"
    FROZEN = "the shard is frozen"


@dataclass(frozen=True, slots=True)
class ShardStored:
    """The outcome for one shard. version is where its cursor stands now.

    refused is None when the entries are in the record; then quarantined of them are there only
    as they came, for such reasons as `why`. frozen says what is wrong with the shard: somebody has
    to look at it.
    """

    shard: int
    version: int
    refused: Refusal | None = None
    stored: int = 0
    quarantined: int = 0
    frozen: str | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class StoreResult:
    """Outcome of each shard, and the messages to publish: in order of seq for each user."""

    shards: Mapping[int, ShardStored]
    messages: Sequence[UserMessage]


def iso(moment: datetime) -> str:
    """UTC, ISO 8601 with milliseconds and Z."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"
