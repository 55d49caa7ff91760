"""The platform on one Docker host: up, a ticking agent, its endpoint, more workers and fewer."""

import asyncio
from functools import partial
from typing import Any

import httpx

from tests.conftest import wait_for
from tests.docker.engine import Project, inside
from tests.docker.owners import create, ticking

FLEET = 24
TICKS_BETWEEN = 6
"""Slots that pass after each change of the number of workers."""
HELD_UP = (
    "export REDISCLI_AUTH=$REDIS_PASSWORD; redis-cli info persistence | grep -i fsync;"
    " redis-cli latency latest"
)
ASK = """
import http.client, json, sys
connection = http.client.HTTPConnection("shim", 8000, timeout=5)
connection.request("GET", "/status", headers={"Host": sys.argv[1]})
answer = connection.getresponse()
print(json.dumps([answer.status, json.loads(answer.read())]))
"""


def ask(project: Project, host: str) -> tuple[int, dict[str, Any]]:
    """(status, answer) of GET /status at the gateway, from a container on the inner network."""
    status, answer = inside(f"{project.name}_inside", ASK, host)
    return status, answer


def has_workers(project: Project, count: int) -> bool:
    """Whether so many worker containers run."""
    return project.running("worker") == count


def why(project: Project) -> str:
    """What may tell why ticks were missed: was Redis held up, and what did the workers say?"""
    held_up = project.compose("exec", "-T", "redis", "sh", "-c", HELD_UP)
    return held_up + project.compose("logs", "--no-color", "--tail", "80", "worker")


async def test_an_agent_ticks_and_answers_by_its_name(
    project: Project, owner: httpx.AsyncClient
) -> None:
    agent_id = await create(owner)
    await ticking(owner, agent_id)
    status, answer = ask(project, f"artic-agent-{agent_id}:8000")
    assert status == 200
    assert answer["running"] is True and answer["symbol"] == "BTC/USDT"
    status, answer = ask(project, "somebody-else:8000")
    assert status == 421


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
        await wait_for(partial(has_workers, project, workers), seconds=30)
        now = await ticking(owner, fleet[0])
        await ticking(owner, fleet[0], now["ticks"] + TICKS_BETWEEN)
    after = [await ticking(owner, agent_id) for agent_id in fleet]
    missed = [status["missed_ticks"] for status in before]
    now_missed = [status["missed_ticks"] for status in after]
    assert now_missed == missed, why(project)
    for agent_id in fleet:
        await owner.delete(f"/api/agents/{agent_id}")
    assert all(
        late["ticks"] - early["ticks"] >= 2 * TICKS_BETWEEN
        for early, late in zip(before, after, strict=True)
    )
