"""A list of agents as JSON, kept from one question to the next: what has changed is encoded anew.

The states of thousands of agents are compared with those of before by one expression for each
shard. A list may be long, so it is encoded in pieces between which others run.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from adapters.db.agents import Agent
from adapters.shard_records import Head
from adapters.shard_rows import Found, Place
from api.agent_answers import Told, encode_elsewhere, tell
from api.status_words import NO_STATE, is_outdated, state_of, states_of
from engine.rows import Rows

ROWS_ONE_BY_ONE_MAX = 64
"""Above so many agents of one shard its whole table is read: 4,096 rows are one GET of 0.9 MB."""
AGENTS_A_PIECE = 500
"""Answers that are encoded before others run: some milliseconds."""
LISTED_MAX = 50_000
"""Agents in all lists that are kept, at a kilobyte and a half each."""

UNKNOWN, ELSEWHERE = -1, -2
"""States that no row has: not encoded yet, and running outside of the pool."""

States = NDArray[np.int64]

_NOTHING = Told("creating", b"")


class RowsOfShards(Protocol):
    """What is asked of adapters.shard_rows."""

    async def some(self, wanted: Mapping[int, Sequence[int]]) -> dict[Place, Found | None]: ...
    async def tables(self, shards: Sequence[int]) -> list[tuple[Head, Rows] | None]: ...


class Shims(Protocol):
    """What is asked of api.shims."""

    @property
    def are_kept(self) -> bool: ...
    def shown(self, agent: Agent, told: Told) -> Told: ...


class RunsElsewhere(Protocol):
    """What is asked of api.statuses."""

    async def running_elsewhere(self, found: Sequence[Agent]) -> set[UUID]: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The agents of one shard: their places in the list, their rows, and ids as V16."""

    shard: int
    places: NDArray[np.intp]
    rows: NDArray[np.intp]
    ids: NDArray[np.void]


class ListedAgents:
    """One list. Refresh it, then read it before anything else is awaited."""

    def __init__(self, agents: Sequence[Agent]) -> None:
        self.agents = agents
        self.told: list[Told] = [_NOTHING] * len(agents)
        self._states: States = np.full(len(agents), UNKNOWN)
        """Of the answers as they are encoded."""
        self._by_rows: States = np.full(len(agents), NO_STATE)
        """As the rows said last."""
        self._parts = _parts(agents)
        self._few = {
            part.shard: part.rows.tolist()
            for part in self._parts
            if len(part.rows) <= ROWS_ONE_BY_ONE_MAX
        }
        self._many = [part.shard for part in self._parts if part.shard not in self._few]
        self._found: dict[Place, Found | None] = {}
        self._json: bytes | None = None
        self._refreshing = asyncio.Lock()

    async def refresh(self, rows: RowsOfShards, elsewhere: RunsElsewhere) -> bool:
        """Brings every answer up to now. Raises RedisAway.

        False when a row knows what its agent's record does not; it is asked for again next time.
        """
        async with self._refreshing:
            states = await self._read(rows)
            outside = await elsewhere.running_elsewhere(self.agents)
            if outside:
                states[[agent.id in outside for agent in self.agents]] = ELSEWHERE
            changed = np.nonzero(states != self._states)[0].tolist()
            outdated = False
            for number, place in enumerate(changed):
                if number % AGENTS_A_PIECE == AGENTS_A_PIECE - 1:
                    await asyncio.sleep(0)
                agent, state = self.agents[place], int(states[place])
                self._json = None
                if state == ELSEWHERE:
                    self.told[place] = Told("running", encode_elsewhere(agent))
                    self._states[place] = state
                    continue
                self.told[place] = tell(agent, state)
                is_old = is_outdated(agent, state)
                outdated = outdated or is_old
                self._states[place] = UNKNOWN if is_old else state
            return not outdated

    def shown(self, shims: Shims) -> Sequence[Told]:
        """The answers, with what their containers make of them where there are any."""
        if not shims.are_kept:
            return self.told
        return [
            shims.shown(agent, told) for agent, told in zip(self.agents, self.told, strict=True)
        ]

    def json(self, shims: Shims, word: str | None = None) -> bytes:
        """The JSON list of all, or of those with one status."""
        if word is not None or shims.are_kept:
            some = self.shown(shims)
            return json_list([told.encoded for told in some if word in (None, told.status)])
        if self._json is None:
            self._json = json_list([told.encoded for told in self.told])
        return self._json

    async def _read(self, rows: RowsOfShards) -> States:
        """The state of each agent now."""
        few = await rows.some(self._few)
        tables = dict(zip(self._many, await rows.tables(self._many), strict=True))
        states = np.full(len(self.agents), NO_STATE)
        for part in self._parts:
            if part.shard in self._few:
                self._take_few(part, few, states)
            elif (table := tables[part.shard]) is not None:
                _take_table(part, table[1], states)
        self._found, self._by_rows = few, states
        return states.copy()

    def _take_few(self, part: _Part, few: Mapping[Place, Found | None], states: States) -> None:
        for place, row in zip(part.places.tolist(), part.rows.tolist(), strict=True):
            found = few[part.shard, row]
            if found is not None and found is self._found.get((part.shard, row)):
                states[place] = self._by_rows[place]
                continue
            states[place] = state_of(self.agents[place], None if found is None else found[1])


class ListsOfAgents:
    """The lists that were asked for last, bounded by the agents in them."""

    def __init__(self) -> None:
        self._lists: OrderedDict[UUID, ListedAgents] = OrderedDict()
        self._listed = 0

    def of(self, user_id: UUID, agents: Sequence[Agent]) -> ListedAgents:
        """The list of an owner's agents, as it was left if the records are the very same."""
        listed = self._lists.get(user_id)
        if listed is not None and listed.agents is agents:
            self._lists.move_to_end(user_id)
            return listed
        self._forget(user_id)
        listed = ListedAgents(agents)
        if len(agents) <= LISTED_MAX:
            self._lists[user_id] = listed
            self._listed += len(agents)
        while self._listed > LISTED_MAX:
            self._forget(next(iter(self._lists)))
        return listed

    @property
    def listed(self) -> int:
        """How many agents are in the lists that are kept."""
        return self._listed

    def _forget(self, user_id: UUID) -> None:
        listed = self._lists.pop(user_id, None)
        if listed is not None:
            self._listed -= len(listed.agents)


def json_list(encoded: Sequence[bytes]) -> bytes:
    """One JSON list of what is JSON already."""
    return b"[" + b",".join(encoded) + b"]"


def _parts(agents: Sequence[Agent]) -> list[_Part]:
    by_shard: dict[int, list[int]] = {}
    for place, agent in enumerate(agents):
        by_shard.setdefault(agent.shard, []).append(place)
    return [
        _Part(
            shard,
            np.array(places, np.intp),
            np.array([agents[place].row for place in places], np.intp),
            np.frombuffer(b"".join([agents[place].id.bytes for place in places]), "V16"),
        )
        for shard, places in by_shard.items()
    ]


def _take_table(part: _Part, table: Rows, states: States) -> None:
    there = part.rows < len(table)
    states[part.places[there]] = states_of(table[part.rows[there]], part.ids[there])
