"""GET /api/agents: all the caller's agents, or a page of them.

All of them come from what the hub keeps, with the state of each from whole tables, by one
expression for each shard. A list may be long, so it is made in pieces between which others run.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

import numpy as np
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from adapters.db import agents
from adapters.db.agents import Agent
from adapters.db.errors import BadCursor
from adapters.shard_rows import Found, Place
from api.agent_answers import NO_ROW, Told, encode_elsewhere, is_outdated, state_of, states_of
from api.answers import encoded_answer
from api.auth import caller_of
from api.bodies import Body, read_query
from api.errors import FieldError, bad_input
from api.hub import Hub, hub_of
from api.status import row_of
from engine.rows import Rows

ROWS_ONE_BY_ONE_MAX = 64
"""Above so many agents of one shard its whole table is read: 4,096 rows are one GET of 0.7 MB."""
PAGE_MAX = 1_000
SCAN_PAGE = 1_000
"""Agents that are read at once to fill a page of those with one status."""
AGENTS_A_PIECE = 500
"""Answers that are made before others run: at most some milliseconds."""

Answered = tuple[str, bytes]
"""(status, JSON) of one agent."""


class ListAgents(Body, frozen=True, kw_only=True):
    """The query of GET /api/agents."""

    status: Literal["creating", "running", "stopped", "error"] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] | None = None
    cursor: Annotated[str, Meta(max_length=100)] | None = None


async def list_agents(request: Request) -> Response:
    """GET /api/agents: all the caller's agents, or with ?limit= a page of them."""
    hub, caller = hub_of(request), caller_of(request)
    query = read_query(request, ListAgents)
    if query.limit is None and query.cursor is None:
        return encoded_answer(_json_list(await _all(hub, caller.user_id, query.status)))
    try:
        found, next_cursor = await _page(hub, caller.user_id, query)
    except BadCursor as error:
        raise bad_input([FieldError("cursor", "not a cursor of this list")], "query") from error
    headers = {}
    if next_cursor is not None:
        link = request.url.include_query_params(cursor=next_cursor)
        headers["Link"] = f'<{link.path}?{link.query}>; rel="next"'
    return encoded_answer(_json_list(found), headers=headers)


async def _all(hub: Hub, user_id: UUID, status: str | None) -> list[bytes]:
    """The answers of all agents of an owner, or of those with one status."""
    await hub.broadcasts.caught_up()
    found = await hub.directory.list_all(user_id)
    states = await _States.read(hub, found)
    if states.are_outdated(hub):
        found = await hub.directory.list_again(user_id, found)
        states = await _States.read(hub, found)
    answered = await states.answered(hub)
    return [encoded for word, encoded in answered if status in (None, word)]


async def _page(hub: Hub, user_id: UUID, query: ListAgents) -> tuple[list[bytes], str | None]:
    """The answers of one page, and the cursor of the next where there is one.

    A status comes from the rows, not from PostgreSQL, so agents are read until the page is full.
    """
    chosen: list[tuple[Agent, bytes]] = []
    after = query.cursor
    # One more than asked for tells whether there is a next page.
    wanted = None if query.limit is None else query.limit + 1
    size = wanted if query.status is None else SCAN_PAGE
    await hub.broadcasts.caught_up()
    while True:
        limit = None if wanted is None else size
        found = await agents.list_agents(hub.database, user_id, limit=limit, after=after)
        answered = await (await _States.read(hub, found)).answered(hub)
        for agent, (word, encoded) in zip(found, answered, strict=True):
            if query.status in (None, word):
                chosen.append((agent, encoded))
        if wanted is None or len(found) < (limit or 0):
            break
        if len(chosen) >= wanted:
            break
        after = found[-1].cursor
    if query.limit is None or len(chosen) <= query.limit:
        return [encoded for _, encoded in chosen], None
    chosen = chosen[: query.limit]
    return [encoded for _, encoded in chosen], chosen[-1][0].cursor


class _States:
    """Agents, and what the shards say of each: its row, or its state out of a whole table."""

    def __init__(self, found: Sequence[Agent]) -> None:
        self._found = found
        self._rows: dict[Place, Found | None] = {}
        self._tables: dict[int, Rows] = {}
        self._states: dict[Place, int] = {}
        self._known: list[Told | None] | None = None

    @classmethod
    async def read(cls, hub: Hub, found: Sequence[Agent]) -> "_States":
        """Reads what has changed since it was read last. Raises RedisAway."""
        states = cls(found)
        by_shard: dict[int, list[Agent]] = {}
        for agent in found:
            by_shard.setdefault(agent.shard, []).append(agent)
        few: dict[int, list[int]] = {}
        for shard, there in by_shard.items():
            if len(there) <= ROWS_ONE_BY_ONE_MAX:
                few[shard] = [agent.row for agent in there]
        states._rows = await hub.rows.some(few)
        many = [shard for shard in by_shard if shard not in few]
        for shard, read in zip(many, await hub.rows.tables(many), strict=True):
            if read is not None:
                states._take_table(shard, read[1], by_shard[shard])
        return states

    def are_outdated(self, hub: Hub) -> bool:
        """Whether a row knows what its agent's record does not."""
        return any(
            told is None and is_outdated(agent, state_of(row_of(agent, self._row(agent))))
            for agent, told in zip(self._found, self._told(hub), strict=True)
        )

    async def answered(self, hub: Hub) -> list[Answered]:
        """Status and JSON of each."""
        elsewhere = await hub.statuses.running_elsewhere(self._found)
        answers: list[Answered] = []
        shown = hub.shims.shown if hub.shims.are_kept else None
        made = 0
        for agent, told in zip(self._found, self._told(hub), strict=True):
            if elsewhere and agent.id in elsewhere:
                answers.append(("running", encode_elsewhere(agent)))
                continue
            if told is None:
                made += 1
                if made % AGENTS_A_PIECE == 0:
                    await asyncio.sleep(0)
                told = hub.answers.make(agent, self._row(agent))
            answers.append(shown(agent, told) if shown else (told.status, told.encoded))
        return answers

    def _take_table(self, shard: int, table: Rows, there: Sequence[Agent]) -> None:
        self._tables[shard] = table
        there = [agent for agent in there if agent.row < len(table)]
        places = [agent.row for agent in there]
        ids = np.frombuffer(b"".join([agent.id.bytes for agent in there]), "V16")
        states = states_of(table[places], ids).tolist()
        self._states.update(zip([(shard, row) for row in places], states, strict=True))

    def _told(self, hub: Hub) -> list[Told | None]:
        """The answers that were encoded before and still hold."""
        if self._known is None:
            by_state, by_row = hub.answers.find, hub.answers.find_by_row
            self._known = [
                by_state(agent, self._states.get((agent.shard, agent.row), NO_ROW))
                if agent.shard in self._tables
                else by_row(agent, self._rows[agent.shard, agent.row])
                for agent in self._found
            ]
        return self._known

    def _row(self, agent: Agent) -> np.void | None:
        table = self._tables.get(agent.shard)
        if table is None:
            found = self._rows[agent.shard, agent.row]
            return None if found is None else found[1]
        if agent.row >= len(table):
            return None
        record: np.void = table[agent.row]
        return record


def _json_list(encoded: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(encoded) + b"]"
