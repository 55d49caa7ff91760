"""Containers of agents: those that there should be and those that there are, brought together.

One hub process at a time does it, by a lease; the others read what it has seen. What an agent does
never waits for its container: a container that is missing shows in the agent's status and nowhere
else.
"""

import asyncio
import logging
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import msgspec

from adapters.db import agents, callbacks
from adapters.db.agents import Agent
from adapters.db.connection import Database
from adapters.errors import ContainerRefused, ContainersAway
from adapters.shim_states import STARTING, FoundContainer, ShimStates, container_name
from api.agent_answers import Told, encode_agent
from api.status import AgentStatus
from api.status_words import StatusWord

log = logging.getLogger("artic.hub")

LOOK_S = 3.0
"""Between two looks at the engine when nobody has changed anything."""
HURRY_S = 0.5
"""The same while a container starts."""
LISTEN_S = 0.5
REST_S = 0.2
CHANGES_AT_ONCE = 4
FAILED = "its container: "


class Engine(Protocol):
    """Whatever runs containers."""

    async def found(self) -> list[FoundContainer]: ...
    async def make(self, agent_id: UUID) -> None: ...
    async def remove(self, name: str) -> None: ...
    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """What is to be done: containers to remove by name, and agents to make one for."""

    remove: list[str]
    make: list[UUID]


def difference(wanted: Collection[UUID], found: Sequence[FoundContainer]) -> Difference:
    """What there is too much of and what is missing. Pure.

    One that was made for an agent that is gone, or with another image, hub or secret, is removed,
    and so are one that ended and one whose label and name disagree. One that is ill is left to be
    looked at; one that crashes is the engine's to restart.
    """
    good = {
        each.agent_id
        for each in found
        if each.agent_id is not None
        and each.agent_id in wanted
        and each.is_current
        and each.health != "ended"
        and each.name == container_name(each.agent_id)
    }
    remove = [
        each.name
        for each in found
        if each.agent_id not in good or each.name != container_name(each.agent_id)
    ]
    return Difference(remove, [agent_id for agent_id in wanted if agent_id not in good])


class ShimKeeper:
    """Keeps one container for each agent on record, whenever this process holds the lease."""

    def __init__(self, database: Database, states: ShimStates, engine: Engine) -> None:
        self._database = database
        self._states = states
        self._engine = engine
        self._name = secrets.token_hex(8)

    async def run(self) -> None:
        """Until it is cancelled. Raises what the database or Redis raise when they are away."""
        try:
            while True:
                if not await self._states.take(self._name):
                    await self._states.changed(LOOK_S)
                    continue
                unsettled = await self._bring_together()
                await asyncio.sleep(
                    REST_S
                )  # whatever goes on, the engine is not asked all the time
                await self._states.changed(HURRY_S if unsettled else LOOK_S)
        finally:
            await self._states.give_back(self._name)

    async def _bring_together(self) -> bool:
        """One look and what follows from it; whether something is still on its way."""
        known = await agents.every_id(self._database)
        # those of other hubs have a container over there
        elsewhere = await callbacks.hosted_ids(self._database)
        wanted = [agent_id for agent_id in known if agent_id not in elsewhere]
        try:
            found = await self._engine.found()
        except (ContainersAway, ContainerRefused) as error:
            await self._states.put(known, dict.fromkeys(wanted, f"{FAILED}{error}"))
            return False
        due = difference(set(wanted), found)
        trouble = await self._change(due)
        if due.make or due.remove:
            found = await self._seen(found)
        said = {each.agent_id: _said(each) for each in found if each.agent_id is not None}
        notes = {agent_id: said.get(agent_id, STARTING) for agent_id in wanted} | trouble
        told = {of: note for of, note in notes.items() if note is not None}
        await self._states.put(known, told)
        return any(note == STARTING for note in notes.values())

    async def _seen(self, before: list[FoundContainer]) -> list[FoundContainer]:
        try:
            return await self._engine.found()
        except (ContainersAway, ContainerRefused):
            return before

    async def _change(self, due: Difference) -> dict[UUID, str]:
        """Removes and makes, a few at once; what failed, for each agent."""
        trouble: dict[UUID, str] = {}
        gate = asyncio.Semaphore(CHANGES_AT_ONCE)

        async def remove(name: str) -> None:
            async with gate:
                try:
                    await self._engine.remove(name)
                except (ContainersAway, ContainerRefused) as error:
                    log.warning("container %s was not removed: %s", name, error)

        async def make(agent_id: UUID) -> None:
            async with gate:
                await self._states.take(self._name)
                try:
                    await self._engine.make(agent_id)
                except (ContainersAway, ContainerRefused) as error:
                    trouble[agent_id] = f"{FAILED}{error}"
                    log.warning("no container for agent %s: %s", agent_id, error)

        await asyncio.gather(*(remove(name) for name in due.remove))
        await asyncio.gather(*(make(agent_id) for agent_id in due.make))
        return trouble


def _said(container: FoundContainer) -> str | None:
    """What is wrong with it, STARTING, or None when it is well."""
    if container.health == "healthy":
        return None
    if container.health == "starting":
        return STARTING
    return f"{FAILED}{container.detail or 'does not run'}"


class ShimNotes:
    """What this process knows of the containers of agents, for their status."""

    def __init__(self, states: ShimStates | None) -> None:
        """None: agents have no containers of their own, and nothing is ever said."""
        self._states = states

    @property
    def are_kept(self) -> bool:
        """Whether agents have containers of their own at all."""
        return self._states is not None

    async def run(self) -> None:
        """Follows what the keeper sees, until it is cancelled."""
        while self._states is not None:
            await self._states.read()
            await asyncio.sleep(LISTEN_S)

    def word(self, agent_id: UUID) -> tuple[StatusWord, str] | None:
        """(status, status_detail) while the container is not healthy; None when it is."""
        note = None if self._states is None else self._states.note(agent_id)
        if note is None:
            return None
        if note == STARTING:
            return "creating", "its container starts"
        return "error", note

    def shown(self, agent: Agent, told: Told) -> Told:
        """The agent's answer; only one that runs has its container in it."""
        said = self.word(agent.id) if told.status == "running" else None
        return told if said is None else Told(said[0], encode_agent(agent, *said))

    def in_status(self, agent_id: UUID, encoded: bytes) -> bytes:
        """An encoded status with the word that its container gives it."""
        said = self.word(agent_id)
        if said is None:
            return encoded
        status = msgspec.json.decode(encoded, type=AgentStatus)
        if status.status != "running":
            return encoded
        return msgspec.json.encode(msgspec.structs.replace(status, status=said[0]))
