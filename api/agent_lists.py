"""GET /api/agents: all the caller's agents out of what the hub keeps, or a page of them."""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from adapters.db import agents
from adapters.db.agents import Agent
from adapters.db.errors import BadCursor
from api.answers import encoded_answer
from api.auth import caller_of
from api.bodies import Body, read_query
from api.errors import FieldError, bad_input
from api.hub import Hub, hub_of
from api.listed_agents import ListedAgents, json_list

PAGE_MAX = 1_000
SCAN_PAGE = 1_000
"""Agents that are read at once to fill a page of those with one status."""


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
        return encoded_answer((await _all(hub, caller.user_id)).json(hub.shims, query.status))
    try:
        found, next_cursor = await _page(hub, caller.user_id, query)
    except BadCursor as error:
        raise bad_input([FieldError("cursor", "not a cursor of this list")], "query") from error
    headers = {}
    if next_cursor is not None:
        link = request.url.include_query_params(cursor=next_cursor)
        headers["Link"] = f'<{link.path}?{link.query}>; rel="next"'
    return encoded_answer(json_list(found), headers=headers)


async def _all(hub: Hub, user_id: UUID) -> ListedAgents:
    """All agents of an owner, as they are now."""
    await hub.broadcasts.caught_up()
    found = await hub.directory.list_all(user_id)
    listed = hub.lists.of(user_id, found)
    if not await listed.refresh(hub.rows, hub.statuses):
        listed = hub.lists.of(user_id, await hub.directory.list_again(user_id, found))
        await listed.refresh(hub.rows, hub.statuses)
    return listed


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
        listed = ListedAgents(found)
        await listed.refresh(hub.rows, hub.statuses)
        for agent, told in zip(found, listed.shown(hub.shims), strict=True):
            if query.status in (None, told.status):
                chosen.append((agent, told.encoded))
        if wanted is None or len(found) < (limit or 0):
            break
        if len(chosen) >= wanted:
            break
        after = found[-1].cursor
    if query.limit is None or len(chosen) <= query.limit:
        return [encoded for _, encoded in chosen], None
    chosen = chosen[: query.limit]
    return [encoded for _, encoded in chosen], chosen[-1][0].cursor
