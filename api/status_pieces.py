"""Messages of statuses and tick lines, put together from pieces that many of them share. Pure.

A status is encoded once for each plan and slot (what the market says), and once for each change of
a row or record (the agent itself); what is left for a tick is a handful of numbers. The bytes are
those that msgspec makes of an AgentStatus: tests hold the two together.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from adapters.db.agents import Agent
from api.status import Sight, position_of
from api.status_columns import NEVER, action_words
from api.status_words import StatusWord, halt_word, status_word
from api.tick_lines import Held, held_of, held_text, tick_line
from api.times import iso_seconds

_NULL_END: Final = b"null}"
_FLAT_END: Final = b'flat"}'
_LINE_END: Final = b'"}'


def _fields(values: Mapping[str, object]) -> bytes:
    """`"name":value,` for each."""
    return msgspec.json.encode(values)[1:-1] + b","


class SightPieces:
    """What the market says to one plan in one slot, as it stands in messages."""

    __slots__ = ("line", "price", "price_fields", "sight", "signal", "signal_fields", "silenced")

    def __init__(self, sight: Sight, slot: int) -> None:
        """slot: whose tick line it is."""
        self.sight = sight
        self.price = math.nan if sight.price is None else sight.price
        self.signal = math.nan if sight.signal is None else sight.signal
        self.silenced = bool(sight.silenced)
        self.price_fields = _fields(
            {
                "price": sight.price,
                "price_time": None if sight.price_time is None else iso_seconds(sight.price_time),
                "price_source": sight.source,
                "stale": sight.stale,
            }
        )
        self.signal_fields = _fields({"signal": sight.signal, "signal_detail": sight.detail})
        self.line = msgspec.json.encode(tick_line(slot, sight, None))
        """The line of a tick in which the agent was flat."""

    def line_with(self, text: bytes, profit_usd: float) -> bytes:
        """The line of a tick with a position. text: what held_text says of it."""
        begin = self.line.removesuffix(_FLAT_END)
        if self.sight.price is None:
            return begin + text + _LINE_END
        return begin + text + f", P&L {profit_usd:+.2f} USD".encode() + _LINE_END


@dataclass(slots=True, eq=False)
class AgentPieces:
    """What of an agent's messages stays as it is while its record and its row do."""

    agent: Agent
    record: bytes | None
    word: StatusWord | None
    held: Held | None
    held_text: bytes
    head: bytes
    body: bytes
    position: bytes
    """Up to the profit of an open position."""
    rest: bytes
    tail: bytes

    def are_of(self, agent: Agent, record: bytes | None, word: StatusWord | None) -> bool:
        """Whether they were made of these."""
        return self.agent is agent and self.record == record and self.word == word


def agent_pieces(
    agent: Agent, row: np.void | None, record: bytes | None, word: StatusWord | None
) -> AgentPieces:
    """row: the agent's own, None where the pool has not met it; record: its bytes. word: what one
    that runs is said to be instead.
    """
    status, _ = status_word(agent, row)
    if word is not None and status == "running":
        status = word
    held = None if row is None else held_of(row)
    rest = _fields(
        {
            "realized_pnl_usd": 0.0 if row is None else float(row["realized_pnl_usd"]),
            "fees_usd": 0.0 if row is None else float(row["fees_usd"]),
            "strategy_name": agent.strategy_name,
        }
    )
    position = b'"position":null,'
    if row is not None and held is not None:
        encoded = msgspec.json.encode({"position": position_of(row, None)})[1:-1]
        position = encoded.removesuffix(_NULL_END)
        rest = b"}," + rest
    agent_id = str(agent.id)
    envelope = _fields({"type": "agent_status", "agent_id": agent_id, "seq": None})
    data = _fields({"agent_id": agent_id, "status": status, "symbol": agent.symbol})
    return AgentPieces(
        agent=agent,
        record=record,
        word=word,
        held=held,
        held_text=b"" if held is None else held_text(held).encode(),
        head=b"{" + envelope + b'"ts":',
        body=b',"data":{' + data,
        position=position,
        rest=rest,
        tail=_fields({"halt": halt_word(agent)})[:-1] + b"}}",
    )


class SlotPieces:
    """What statuses of one look at a shard share: their time, their actions, their ticks."""

    def __init__(self, slot: int) -> None:
        self.ts = msgspec.json.encode(iso_seconds(slot))
        self._actions: dict[tuple[int, str], bytes] = {}
        self._times: dict[tuple[int, int], bytes] = {}

    def action_fields(self, code: int, silenced: str) -> bytes:
        """last_action and last_reason; see status_columns.action_words."""
        found = self._actions.get((code, silenced))
        if found is None:
            action, reason = action_words(code, silenced)
            found = _fields({"last_action": action, "last_reason": reason})
            self._actions[code, silenced] = found
        return found

    def time_fields(self, last_tick: int, next_tick: int) -> bytes:
        """last_tick_at and next_tick_at."""
        found = self._times.get((last_tick, next_tick))
        if found is None:
            found = _fields({"last_tick_at": _time(last_tick), "next_tick_at": _time(next_tick)})
            self._times[last_tick, next_tick] = found
        return found


def _time(slot: int) -> str | None:
    return None if slot == NEVER else iso_seconds(slot)
