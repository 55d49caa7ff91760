"""A list that is kept says what one made from nothing would, and encodes what has changed."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.db.agents import Agent
from adapters.shard_records import Head
from adapters.shard_rows import Found, Place
from api import listed_agents
from api.agent_answers import Told, encode_agent, tell
from api.listed_agents import ListedAgents, ListsOfAgents
from api.shims import ShimNotes
from api.status_words import status_word
from engine.rows import Reason, RowFlag, Rows, RowStatus, empty_rows
from tests.api.rows import agent

HEAD = Head(1, 100, None, 1, "run", (), 0, paused=False)
AGENTS = 12
NO_SHIMS = ShimNotes(None)


class Shards:
    """Rows as adapters.shard_rows gives them, and agents that run elsewhere."""

    def __init__(self, shards: int) -> None:
        self.tables: dict[int, Rows] = {shard: empty_rows(AGENTS) for shard in range(shards)}
        self.found: dict[Place, Found] = {}
        self.outside: set[UUID] = set()

    def change(self, place: Place, **fields: Any) -> None:
        """A commit that changes one row."""
        table = self.tables[place[0]] = self.tables[place[0]].copy()
        for name, value in fields.items():
            table[name][place[1]] = value
        self.found.clear()

    async def some(self, wanted: Mapping[int, Sequence[int]]) -> dict[Place, Found | None]:
        for shard, rows in wanted.items():
            for row in rows:
                if (shard, row) not in self.found:
                    self.found[shard, row] = (HEAD, self.tables[shard][row])
        return {(shard, row): self.found[shard, row] for shard in wanted for row in wanted[shard]}

    async def tables_of(self, shards: Sequence[int]) -> list[tuple[Head, Rows] | None]:
        return [(HEAD, self.tables[shard]) for shard in shards]

    async def running_elsewhere(self, found: Sequence[Agent]) -> set[UUID]:
        return self.outside & {each.id for each in found}


def agents_of(shards: int) -> list[Agent]:
    """Agents spread over shards, each in a row of its own."""
    return [
        agent(id=UUID(int=number + 1), name=f"number {number}", shard=number % shards, row=number)
        for number in range(AGENTS)
    ]


async def refreshed(listed: ListedAgents, shards: Shards) -> bool:
    """A question for the list."""
    return await listed.refresh(Rowed(shards), shards)


class Rowed:
    """The face of ShardRows."""

    def __init__(self, shards: Shards) -> None:
        self.some = shards.some
        self.tables = shards.tables_of


def plainly(agents: Sequence[Agent], shards: Shards) -> bytes:
    """The list, made from nothing."""
    told = []
    for each in agents:
        row = shards.tables[each.shard][each.row]
        word, detail = status_word(each, row)
        told.append(msgspec.Raw(encode_agent(each, word, detail)))
    return msgspec.json.encode(told)


changes = st.lists(
    st.tuples(
        st.integers(0, AGENTS - 1),
        st.booleans(),
        st.sampled_from([RowStatus.FREE, RowStatus.RUNNING, RowStatus.STOPPED]),
        st.sampled_from([Reason.NONE, Reason.BY_USER, Reason.SESSION_LOSS]),
        st.sampled_from([0, int(RowFlag.CLOSING)]),
        st.integers(0, 1),
    ),
    max_size=8,
)


@given(st.integers(1, 3), st.sampled_from([0, 4, 100]), st.lists(changes, max_size=4))
def test_a_kept_list_is_what_a_new_one_would_be(
    shards: int, one_by_one: int, rounds: list[list[tuple[Any, ...]]]
) -> None:
    async def run() -> None:
        agents, there = agents_of(shards), Shards(shards)
        listed = ListedAgents(agents)
        for each_round in [[], *rounds]:
            for number, is_own, status, reason, flags, epoch in each_round:
                owner = agents[number].id.bytes if is_own else bytes(16)
                there.change(
                    (number % shards, number), agent_id=np.void(owner), status=status,
                    status_reason=reason, flags=flags, epoch=epoch,
                )  # fmt: skip
            for _ in range(2):
                assert await refreshed(listed, there)
                assert listed.json(NO_SHIMS) == plainly(agents, there)
            words = [each["status"] for each in msgspec.json.decode(listed.json(NO_SHIMS))]
            assert words == [told.status for told in listed.told]
            for word in set(words):
                chosen = msgspec.json.decode(listed.json(NO_SHIMS, word))
                assert [each["status"] for each in chosen] == [word] * words.count(word)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listed_agents, "ROWS_ONE_BY_ONE_MAX", one_by_one)
        asyncio.run(run())


@pytest.mark.parametrize("one_by_one", [0, 100])
async def test_only_what_has_changed_is_encoded(
    monkeypatch: pytest.MonkeyPatch, one_by_one: int
) -> None:
    encoded: list[str] = []

    def noting(each: Agent, state: int) -> Told:
        encoded.append(each.name)
        return tell(each, state)

    monkeypatch.setattr(listed_agents, "tell", noting)
    monkeypatch.setattr(listed_agents, "ROWS_ONE_BY_ONE_MAX", one_by_one)
    agents, shards = agents_of(2), Shards(2)
    listed = ListedAgents(agents)
    await refreshed(listed, shards)
    assert len(encoded) == AGENTS
    encoded.clear()
    own = np.void(agents[3].id.bytes)
    shards.change((1, 3), agent_id=own, status=RowStatus.RUNNING, epoch=1)
    shards.change((0, 4), seq=77)  # which no answer shows
    await asyncio.gather(*(refreshed(listed, shards) for _ in range(5)))
    assert encoded == ["number 3"]
    before = listed.json(NO_SHIMS)
    assert listed.json(NO_SHIMS) is before


async def test_agents_elsewhere_run_there_until_they_do_not() -> None:
    agents, shards = agents_of(1), Shards(1)
    listed = ListedAgents(agents)
    shards.outside = {agents[5].id}
    await refreshed(listed, shards)
    assert (listed.told[5].status, listed.told[6].status) == ("running", "creating")
    assert b"outside of the pool" in listed.told[5].encoded
    shards.outside = set()
    await refreshed(listed, shards)
    assert listed.told[5].status == "creating"


async def test_what_the_record_does_not_know_yet_is_asked_for_again() -> None:
    agents, shards = agents_of(1), Shards(1)
    listed = ListedAgents(agents)
    own = np.void(agents[0].id.bytes)
    failed = {"status": RowStatus.ERROR, "status_reason": Reason.PLAN_FAILED}
    shards.change((0, 0), agent_id=own, epoch=1, **failed)
    for _ in range(2):
        assert not await refreshed(listed, shards)
        assert listed.told[0].status == "error"
    shards.change((0, 0), epoch=2, status=RowStatus.RUNNING)  # an edit that nobody told of
    assert not await refreshed(listed, shards)
    shards.change((0, 0), epoch=1)
    assert await refreshed(listed, shards)


def test_lists_are_kept_as_long_as_their_records_and_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listed_agents, "LISTED_MAX", 2 * AGENTS)
    lists, agents = ListsOfAgents(), agents_of(1)
    owner = UUID(int=1)
    first = lists.of(owner, agents)
    assert lists.of(owner, agents) is first
    assert lists.of(owner, list(agents)) is not first
    for number in range(2, 6):
        lists.of(UUID(int=number), agents)
        assert lists.listed <= 2 * AGENTS
    long = agents * 3
    assert lists.of(owner, long).agents is long
    assert lists.listed <= 2 * AGENTS
