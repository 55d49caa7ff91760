"""What the owner of the agents does, through the hub's own commands, and what it was promised."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from adapters.db import agents
from adapters.db.agents import Agent
from adapters.db.errors import DatabaseError
from adapters.errors import AdapterError
from adapters.redis_client import AWAY
from api import commands, groups
from api.agent_bodies import read_configuration
from api.agent_changes import create_body
from api.errors import Problem
from api.hub import Hub
from tests.simulation.clients import Client
from tests.simulation.fleet import OWNER, Fleet
from tests.simulation.prices import SYMBOLS
from tests.simulation.schedule import Step
from tests.simulation.virtual_loop import context_of

_NEWEST = """
SELECT id FROM agents WHERE name = $1 AND wanted <> 'deleted'
ORDER BY created_at DESC, id DESC LIMIT 1
"""
_REFUSED = (Problem, DatabaseError, AdapterError, *AWAY)


@dataclass(frozen=True, slots=True)
class Promise:
    """A stop or a deletion that was answered with success: no entry in any later slot."""

    agent_id: UUID
    epoch: int
    slot: int


class Users:
    """Acts one after the other or at once; a hub that dies takes its acts with it."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self._fleet = fleet
        self._seed = seed
        self.promises: list[Promise] = []
        self.acts: dict[str, int] = {}
        self.clients: dict[int, Client] = {}
        self._created: set[int] = set()
        """Agents that somebody has tried to create."""

    def act(self, step: Step) -> None:
        """Starts what a step says, if there is a hub to ask."""
        if step.kind == "watch":
            self.clients[step.who] = Client(self._fleet, step)
        elif step.kind == "hang_up":
            if step.who in self.clients:
                self.clients[step.who].hang_up()
        else:
            self._ask(step)

    def _ask(self, step: Step) -> None:
        hub = self._fleet.hub
        if hub is not None:
            context = context_of(self._fleet.hub_life.process)
            self._fleet.loop.create_task(self._act(hub, step), context=context)

    async def _act(self, hub: Hub, step: Step) -> None:
        try:
            done = await self._do(hub, step)
        except _REFUSED as error:
            self._fleet.said.append(f"{step.kind} {step.who} was refused: {error!r}")
        except Exception as error:
            self._fleet.loop.fail(error)  # nobody awaits it: the run shall end with it
        else:
            if done:
                self.acts[step.kind] = self.acts.get(step.kind, 0) + 1

    async def _do(self, hub: Hub, step: Step) -> bool:
        if step.kind == "kill_all":
            await groups.want_all(hub, OWNER, "stopped", close_position=True)
            return True
        agent = await self._find(hub, step.who)
        if agent is None:
            if step.kind == "create":
                await self._create(hub, step)
            return step.kind == "create"
        match step.kind:
            case "stop" | "keep":
                stopped = await commands.stop_agent(hub, agent, step.kind == "stop")
                self._note(stopped)
            case "start":
                await commands.start_agent(hub, agent)
            case "edit":
                await self._edit(hub, agent, step)
            case "delete":
                await commands.delete_agent(hub, OWNER, agent.id)
                self._note(agent, newer=1)
            case _:
                return False
        return True

    async def tolerate(self, work: Callable[[], Awaitable[object]]) -> None:
        """Does something of which nobody waits for the answer."""
        try:
            await work()
        except _REFUSED as error:
            self._fleet.said.append(f"refused: {error!r}")

    def _note(self, agent: Agent, newer: int = 0) -> None:
        promise = Promise(agent.id, agent.asked_epoch + newer, int(self._fleet.loop.now))
        self.promises.append(promise)

    async def _find(self, hub: Hub, who: int) -> Agent | None:
        if who not in self._created:
            return None
        found = self._fleet.side.ask(_NEWEST, f"agent {who}")
        return await agents.get_agent(hub.database, OWNER, found[0]["id"]) if found else None

    def _rng(self, step: Step) -> random.Random:
        return random.Random(f"user:{self._seed}:{step.kind}:{step.who}:{step.at}")

    async def _create(self, hub: Hub, step: Step) -> None:
        body = {"name": f"agent {step.who}", "symbol": SYMBOLS[step.who % len(SYMBOLS)]}
        body |= _wishes(self._rng(step))
        self._created.add(step.who)
        await commands.create_agent(hub, OWNER, read_configuration(body, SYMBOLS))

    async def _edit(self, hub: Hub, agent: Agent, step: Step) -> None:
        wishes = _wishes(self._rng(step))
        kept = {"leverage": agent.risk_params["leverage"]}
        body = create_body(agent) | wishes | {"risk_params": wishes["risk_params"] | kept}
        await commands.edit_agent(hub, agent, lambda _: read_configuration(body, SYMBOLS), None)


def _wishes(rng: random.Random) -> dict[str, Any]:
    """Settings with which an agent trades every few slots."""
    risk = {
        "max_position_usd": rng.choice((100.0, 1000.0, 12345.67)),
        "stop_loss_pct": rng.choice((0.1, 0.3, 1.0)),
        "take_profit_pct": rng.choice((0.1, 0.4, 1.0)),
        "leverage": rng.choice((1, 3, 20, 125)),
    }
    if rng.random() < 0.2:
        risk["max_session_loss_usd"] = rng.choice((1.0, 5.0))
    if rng.random() < 0.3:
        risk["trailing_stop_pct"] = rng.choice((0.1, 0.2, 0.5))
    if rng.random() < 0.1:
        risk["break_even_pct"] = rng.choice((0.05, 0.2))
    if rng.random() < 0.1:
        risk["max_drawdown_pct"] = rng.choice((1.0, 5.0))
    return {
        "strategy_name": "simple_momentum",
        "strategy_params": {
            "lookback": rng.choice((2, 5)),
            "threshold": rng.choice((0.05, 0.3, 0.6)),
        },
        "interval_seconds": rng.choice((1, 1, 1, 2, 3, 7)),
        "risk_params": risk,
    }
