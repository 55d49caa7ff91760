"""The platform on one Docker host: up, a ticking agent, its endpoint, more workers and fewer."""

import asyncio
from functools import partial
from typing import Any

import httpx

from tests.docker.engine import eventually, inside, is_healthy
from tests.docker.owners import create, ticking
from tests.docker.partitions import served_by
from tests.docker.project import Project

FLEET = 24
TICKS_BETWEEN = 6
"""Slots that pass after each change of the number of workers."""
ASK = """
import http.client, json, sys
connection = http.client.HTTPConnection("shim", 8000, timeout=30)
connection.request("GET", "/status", headers={"Host": sys.argv[1]})
answer = connection.getresponse()
print(json.dumps([answer.status, json.loads(answer.read())]))
"""


def ask(project: Project, host: str) -> tuple[int, dict[str, Any]]:
    """(status, answer) of GET /status at the gateway, from a container on the inner network."""
    status, answer = inside(f"{project.name}_inside", ASK, host)
    return status, answer


def tick_together(project: Project, workers: int) -> bool:
    """Whether the partitions are shared out among so many workers, and nobody else runs."""
    running = {each[:12] for each in project.containers("worker")}
    serving = {name.rpartition("-")[0] for name in served_by(project)}
    return len(running) == workers and serving == running


def held_up(project: Project) -> str:
    """What may tell why ticks were missed: was Redis held up?"""
    return project.redis("info persistence | grep -i fsync", "latency latest")


async def test_an_agent_ticks_and_answers_by_its_name(
    project: Project, owner: httpx.AsyncClient
) -> None:
    agent_id = await create(owner)
    await ticking(owner, agent_id)
    for service in ("hub", "worker", "ledger"):
        (name,) = project.containers(service)
        await eventually(partial(is_healthy, name), f"the engine calls {service} healthy")
    status, answer = ask(project, f"artic-agent-{agent_id}:8000")
    assert status == 200
    assert answer["running"] is True and answer["symbol"] == "BTC/USDT"
    status, answer = ask(project, "somebody-else:8000")
    assert status == 421
    await owner.delete(f"/api/agents/{agent_id}")


async def test_more_workers_and_fewer_without_a_missed_tick(
    project: Project, owner: httpx.AsyncClient
) -> None:
    fleet = [
        await create(owner, symbol)
        for _ in range(FLEET // 3)
        for symbol in ("BTC/USDT", "ETH/USDT", "SOL/USDT")
    ]
    before = [await ticking(owner, agent_id) for agent_id in fleet]
    for workers in (4, 1):
        await asyncio.to_thread(project.scale, workers)
        shared = partial(tick_together, project, workers)
        await eventually(shared, f"{workers} workers share the partitions")
        now = await ticking(owner, fleet[0])
        await ticking(owner, fleet[0], now["ticks"] + TICKS_BETWEEN)
    after = [
        await ticking(owner, agent_id, early["ticks"] + 2 * TICKS_BETWEEN)
        for agent_id, early in zip(fleet, before, strict=True)
    ]
    missed = [status["missed_ticks"] for status in before]
    assert [status["missed_ticks"] for status in after] == missed, held_up(project)
    for agent_id in fleet:
        await owner.delete(f"/api/agents/{agent_id}")
