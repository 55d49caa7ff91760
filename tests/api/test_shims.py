"""Which containers are made and removed, by one hub process at a time, and what agents are said
to be meanwhile. The engine here is one in memory; tests/docker has a real one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import ContainerRefused, ContainersAway
from adapters.settings import Settings
from adapters.shim_states import FoundContainer, ShimStates, container_name
from api.hub import Hub
from api.shims import ShimKeeper, ShimNotes, difference
from tests.api.conftest import Account
from tests.conftest import wait_for

AGENT = {"symbol": "BTC/USDT", "strategy_name": "momentum_breakout"}
OLD_HUB = "http://127.0.0.1:1"
IDS = [UUID(int=n) for n in range(5)]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Alice owns the agents of another hub."""
    return replace(settings, shim_owner="alice@example.com", callback_hubs=OLD_HUB)


class EngineInMemory:
    """Containers as a dictionary. Each is healthy at once; trouble is what the next call raises."""

    def __init__(self) -> None:
        self.held: dict[str, FoundContainer] = {}
        self.trouble: Exception | None = None
        self.no_more: Exception | None = None

    async def found(self) -> list[FoundContainer]:
        if self.trouble is not None:
            raise self.trouble
        return list(self.held.values())

    async def make(self, agent_id: UUID) -> None:
        if self.no_more is not None:
            raise self.no_more
        assert container_name(agent_id) not in self.held
        self.held[container_name(agent_id)] = of_agent(agent_id)

    async def remove(self, name: str) -> None:
        self.held.pop(name, None)

    async def aclose(self) -> None:
        self.held.clear()


def of_agent(agent_id: UUID, *, is_current: bool = True) -> FoundContainer:
    """A healthy container of an agent."""
    return FoundContainer(container_name(agent_id), agent_id, "healthy", "", is_current)


CONTAINERS = st.builds(
    FoundContainer,
    name=st.sampled_from([container_name(each) for each in IDS] + ["another"]),
    agent_id=st.sampled_from([*IDS, None]),
    health=st.sampled_from(["starting", "healthy", "failed", "ended"]),
    detail=st.just(""),
    is_current=st.booleans(),
)


@given(
    st.sets(st.sampled_from(IDS)),
    st.lists(CONTAINERS, max_size=8, unique_by=lambda each: each.name),
)
def test_after_the_difference_every_agent_has_one_good_container(
    wanted: set[UUID], found: list[FoundContainer]
) -> None:
    due = difference(wanted, found)
    left = [each for each in found if each.name not in due.remove]
    names = [each.name for each in left] + [container_name(of) for of in due.make]
    assert sorted(names) == sorted(container_name(of) for of in wanted)
    assert all(each.is_current and each.health != "ended" for each in left)
    assert difference(wanted, left + [of_agent(of) for of in due.make]).remove == []


@asynccontextmanager
async def keeping(hub: Hub, engine: EngineInMemory) -> AsyncIterator[ShimNotes]:
    """A keeper at work on the hub's agents, and what the hub is told of it."""
    states = ShimStates(hub.state_redis)
    hub.broadcasts.listen("artic:agents", lambda *_: states.wake(), lambda *_: None)
    keeper = asyncio.create_task(ShimKeeper(hub.database, states, engine).run())
    try:
        yield ShimNotes(states)
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)


async def test_containers_follow_the_agents_on_record(hub: Hub, alice: Account) -> None:
    engine = EngineInMemory()
    left = of_agent(uuid4())
    engine.held[left.name] = left
    async with keeping(hub, engine) as notes:
        made = (await alice.http.post("/api/agents", json=AGENT)).json()["id"]
        name = container_name(UUID(made))
        await wait_for(lambda: name in engine.held and left.name not in engine.held)
        await wait_for(lambda: notes.word(UUID(made)) is None, what="it is said to be well")
        await alice.http.post(f"/api/agents/{made}/stop")
        engine.held[name] = of_agent(UUID(made), is_current=False)
        await wait_for(
            lambda: name in engine.held and engine.held[name].is_current,
            what="an outdated one is made again",
        )
        await alice.http.delete(f"/api/agents/{made}")
        await wait_for(lambda: not engine.held, what="it goes with its agent")


async def test_an_agent_of_another_hub_has_its_container_there(
    hub: Hub, http: httpx.AsyncClient, alice: Account
) -> None:
    body = {"hub_url": OLD_HUB, "internal_secret": "its secret", "symbol": "BTC/USDT"}
    headers = {"X-Internal-Secret": hub.settings.internal_secret}
    told = await http.put(f"/internal/hosted/{uuid4()}", json=body, headers=headers)
    hosted = UUID(told.json()["agent_id"])
    engine = EngineInMemory()
    async with keeping(hub, engine) as notes:
        own = UUID((await alice.http.post("/api/agents", json=AGENT)).json()["id"])
        await wait_for(lambda: notes.word(own) is None)
        assert notes.word(hosted) is None, "nothing is wrong with it"
        assert list(engine.held) == [container_name(own)]


async def test_what_is_said_of_an_agent_without_a_container(hub: Hub, alice: Account) -> None:
    engine = EngineInMemory()
    engine.no_more = ContainerRefused("there is no image artic-shim: build or pull it")
    async with keeping(hub, engine) as notes:
        made = UUID((await alice.http.post("/api/agents", json=AGENT)).json()["id"])
        said = ("error", f"its container: {engine.no_more}")
        assert notes.word(made) in (("creating", "its container starts"), said)
        await wait_for(lambda: notes.word(made) == said)
        engine.no_more = None
        await wait_for(lambda: notes.word(made) is None)
        engine.trouble = ContainersAway("the Docker engine does not answer")
        await wait_for(lambda: notes.word(made) is not None)
        engine.trouble = None
        await wait_for(lambda: notes.word(made) is None)


async def test_one_process_at_a_time_keeps_them(hub: Hub) -> None:
    first, second = ShimStates(hub.state_redis), ShimStates(hub.state_redis)
    assert await first.take("first") and not await second.take("second")
    await first.give_back("second")
    assert not await second.take("second"), "nobody gives back what is another's"
    await first.give_back("first")
    assert await second.take("second")


async def test_other_processes_read_what_the_keeper_saw(hub: Hub) -> None:
    keeper, reader = ShimStates(hub.state_redis), ShimStates(hub.state_redis)
    well, ill, unseen = uuid4(), uuid4(), uuid4()
    await keeper.put([well, ill], {ill: "its container: Exited (1)"})
    await reader.read()
    notes = ShimNotes(reader)
    assert notes.word(well) is None
    assert notes.word(ill) == ("error", "its container: Exited (1)")
    assert notes.word(unseen) == ("creating", "its container starts")
    assert ShimNotes(None).word(unseen) is None
