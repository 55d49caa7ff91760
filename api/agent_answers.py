"""Agents as callers see them, encoded once for each state of an agent."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from adapters.db.agents import Agent
from adapters.db.records import iso
from adapters.shard_rows import Found
from api.risk_params import RiskParams
from api.status_words import HaltWord, StatusWord, halt_word, is_outdated, state_of, word_of
from api.times import IsoTime
from strategies import catalog

ORDERED_MAX = 4_096
ANSWERS_KEPT_MAX = 50_000
"""Each takes about a kilobyte."""
RISK_FIELDS = tuple(field.name for field in msgspec.structs.fields(RiskParams))


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
    halt: HaltWord
    created_at: IsoTime
    updated_at: IsoTime


class Told(NamedTuple):
    """What is answered about an agent: its status, and all of it as JSON."""

    status: StatusWord
    encoded: bytes


@dataclass(slots=True, eq=False)
class _Kept:
    """An answer of before: for which record and state."""

    agent: Agent
    state: int
    told: Told
    found: Found | None
    """The reading of the row that showed the state last."""


class AgentAnswers:
    """The answers about one agent that were encoded last, bounded."""

    def __init__(self) -> None:
        self._kept: OrderedDict[UUID, _Kept] = OrderedDict()

    def find(self, agent: Agent, found: Found | None) -> Told | None:
        """The answer for this very record and its row, if it was encoded before."""
        kept = self._kept.get(agent.id)
        if kept is None or kept.agent is not agent:
            return None
        if kept.found is not found or found is None:
            if kept.state != state_of(agent, None if found is None else found[1]):
                return None
            kept.found = found
        return kept.told

    def make(self, agent: Agent, found: Found | None) -> Told:
        """Encodes the answer and keeps it."""
        state = state_of(agent, None if found is None else found[1])
        told = tell(agent, state)
        if not is_outdated(agent, state):  # else the record will say more
            self._kept[agent.id] = _Kept(agent, state, told, found)
            if len(self._kept) > ANSWERS_KEPT_MAX:
                self._kept.popitem(last=False)
        return told


def tell(agent: Agent, state: int) -> Told:
    """The answer about an agent in a state."""
    word, detail = word_of(agent, state)
    return Told(word, encode_agent(agent, word, detail))


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
            halt=halt_word(agent),
            created_at=iso(agent.created_at),
            updated_at=iso(agent.updated_at),
        )
    )


def encode_elsewhere(agent: Agent) -> bytes:
    """The JSON of an agent that runs outside of the pool."""
    return encode_agent(agent, "running", "outside of the pool, as it reports itself")


_ordered: OrderedDict[int, tuple[Mapping[str, Any], RiskParams]] = OrderedDict()
"""By identity: agents with the same settings share one mapping, which nobody writes."""


def _in_order(risk: Mapping[str, Any]) -> RiskParams:
    """In the contract's order; JSONB has one of its own."""
    known = _ordered.get(id(risk))
    if known is not None and known[0] is risk:
        return known[1]
    ordered = RiskParams(**{name: risk[name] for name in RISK_FIELDS if name in risk})
    _ordered[id(risk)] = risk, ordered
    if len(_ordered) > ORDERED_MAX:
        _ordered.popitem(last=False)
    return ordered
