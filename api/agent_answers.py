"""Agents as callers see them, encoded once for each state of an agent.

What an answer says follows from the agent's record and a few fields of its row, so as long as
both are the same, so are its bytes.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.db.agents import Agent
from adapters.db.records import iso
from adapters.shard_rows import Found
from api.risk_params import RiskParams
from api.status import StatusWord, row_of, status_word
from api.times import IsoTime
from engine.rows import Reason, Rows, RowStatus
from strategies import catalog

ANSWERS_KEPT_MAX = 50_000
"""Each takes about a kilobyte."""
RISK_FIELDS = tuple(field.name for field in msgspec.structs.fields(RiskParams))
NO_ROW = 0
"""The state of an agent that the pool has not met."""


class AgentAnswer(msgspec.Struct, frozen=True):
    """An agent as callers see it."""

    id: UUID
    name: str
    symbol: str
    timeframe: str
    strategy_name: str
    strategy_params: Mapping[str, catalog.ParamValue]
    interval_seconds: int
    live_mode: bool
    risk_params: RiskParams
    status: StatusWord
    status_detail: str | None
    created_at: IsoTime
    updated_at: IsoTime


@dataclass(slots=True, eq=False)
class Told:
    """An answer of before: for which record and state, what it said."""

    agent: Agent
    state: int
    status: StatusWord
    encoded: bytes
    found: Found | None = None
    """The reading of the row that showed the state last."""


class AgentAnswers:
    """The answers that were encoded last, bounded."""

    def __init__(self) -> None:
        self._told: OrderedDict[UUID, Told] = OrderedDict()

    def find(self, agent: Agent, state: int) -> Told | None:
        """The answer for this very record and state, if it was encoded before."""
        told = self._told.get(agent.id)
        return told if told is not None and told.agent is agent and told.state == state else None

    def find_by_row(self, agent: Agent, found: Found | None) -> Told | None:
        """The same for a record and its row as the shard has it."""
        told = self._told.get(agent.id)
        if told is None or told.agent is not agent:
            return None
        if told.found is not found or found is None:
            if told.state != state_of(row_of(agent, None if found is None else found[1])):
                return None
            told.found = found
        return told

    def make(self, agent: Agent, row: np.void | None) -> Told:
        """Encodes the answer and keeps it. row: as the shard has it."""
        word, detail = status_word(agent, row)
        state = state_of(row_of(agent, row))
        told = Told(agent, state, word, encode_agent(agent, word, detail))
        if is_outdated(agent, state):
            return told  # the record will say more
        self._told[agent.id] = told
        if len(self._told) > ANSWERS_KEPT_MAX:
            self._told.popitem(last=False)
        return told


def encode_agent(agent: Agent, word: StatusWord, detail: str | None) -> bytes:
    """The JSON of an agent with a status."""
    return msgspec.json.encode(
        AgentAnswer(
            id=agent.id,
            name=agent.name,
            symbol=agent.symbol,
            timeframe=agent.timeframe,
            strategy_name=agent.strategy_name,
            strategy_params=agent.strategy_params,
            interval_seconds=agent.interval_seconds,
            live_mode=agent.live_mode,
            risk_params=_in_order(agent.risk_params),
            status=word,
            status_detail=detail,
            created_at=iso(agent.created_at),
            updated_at=iso(agent.updated_at),
        )
    )


def encode_elsewhere(agent: Agent) -> bytes:
    """The JSON of an agent that runs outside of the pool."""
    return encode_agent(agent, "running", "outside of the pool, as it reports itself")


def state_of(row: np.void | None) -> int:
    """What of an agent's own row its answer shows, as one number; NO_ROW for none."""
    if row is None:
        return NO_ROW
    status, reason = int(row["status"]), int(row["status_reason"])
    return int(row["epoch"]) << 24 | status << 16 | reason << 8 | int(row["flags"])


def states_of(rows: Rows, ids: NDArray[np.void]) -> NDArray[np.int64]:
    """The same of many rows, each for the agent of this id (V16)."""
    state = rows["epoch"].astype(np.int64) << 24
    for field, bits in (("status", 16), ("status_reason", 8), ("flags", 0)):
        state |= rows[field].astype(np.int64) << bits
    own = (rows["agent_id"] == ids) & (rows["status"] != RowStatus.FREE)
    return np.where(own, state, NO_ROW)


def is_outdated(agent: Agent, state: int) -> bool:
    """Whether the row knows of something that the record, as it was read, does not.

    That is an edit that was not told of, or the words of a failure.
    """
    epoch, status, reason = state >> 24, state >> 16 & 0xFF, state >> 8 & 0xFF
    if epoch > agent.epoch:
        return True
    if status != RowStatus.ERROR or reason != Reason.PLAN_FAILED:
        return False
    return agent.status != "error" or agent.applied_epoch != epoch


def is_unsettled(agent: Agent, row: np.void | None) -> bool:
    """Whether the record should be read again before its row is believed: the row is not the
    agent's, or knows more than the record.
    """
    state = state_of(row_of(agent, row))
    return state == NO_ROW or is_outdated(agent, state)


def _in_order(risk: Mapping[str, Any]) -> RiskParams:
    """In the contract's order; JSONB has one of its own."""
    return RiskParams(**{name: risk[name] for name in RISK_FIELDS if name in risk})
