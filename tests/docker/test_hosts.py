"""Workers on two hosts, each in a network namespace of its own, on one Redis: one is cut off or
stands still, the other takes over, and when it comes back nothing is written twice.
"""

import time
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.docker.engine import eventually, run, slowness
from tests.docker.owners import ticking
from tests.docker.partitions import served_by, shards_of
from tests.docker.project import Project

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT")
FLEET = 8
TAKEOVER_S = 2.0
AWAY_S = 5.0
RESTLESS = {"lookback": 2, "threshold": 0.01}
Fleet = list[str]


@pytest.fixture
async def fleet(project: Project, owner: httpx.AsyncClient) -> AsyncIterator[Fleet]:
    """Agents that trade often, on two workers."""
    project.scale(2)
    found = []
    for number in range(FLEET):
        made = await owner.post(
            "/api/agents",
            json={
                "symbol": SYMBOLS[number % len(SYMBOLS)],
                "strategy_name": "simple_momentum",
                "strategy_params": RESTLESS,
                "risk_params": {"stop_loss_pct": 0.002, "take_profit_pct": 0.002},
            },
        )
        assert made.status_code == 201, made.text
        found.append(str(made.json()["id"]))
    for agent_id in found:
        await ticking(owner, agent_id, 3)
    yield found
    for agent_id in found:
        await owner.delete(f"/api/agents/{agent_id}")
    project.scale(1)


def both_serve(project: Project) -> bool:
    """Whether two workers share the partitions and none is left over."""
    owners = set(served_by(project))
    return len(owners) == 2 and "" not in owners


def serves_nothing(project: Project, worker: str) -> bool:
    """Whether every partition is somebody else's."""
    return not any(not name or name.startswith(worker[:12]) for name in served_by(project))


def cut_off(project: Project, worker: str) -> None:
    """The host is alive and reaches nobody."""
    for network in ("inside", "outside"):
        run("docker", "network", "disconnect", f"{project.name}_{network}", worker)


def reach_again(project: Project, worker: str) -> None:
    """And now it does."""
    for network in ("inside", "outside"):
        run("docker", "network", "connect", f"{project.name}_{network}", worker)


def stand_still(project: Project, worker: str) -> None:
    """The host stops in the middle of whatever it does."""
    run("docker", "pause", worker)


def go_on(project: Project, worker: str) -> None:
    """And goes on from there."""
    run("docker", "unpause", worker)


async def statuses(owner: httpx.AsyncClient, fleet: Fleet) -> list[dict[str, Any]]:
    """Of every agent, now."""
    return [(await owner.get(f"/api/agents/{agent_id}/status")).json() for agent_id in fleet]


def slot_of(status: dict[str, Any]) -> float:
    """Unix seconds of its last tick."""
    return datetime.fromisoformat(status["last_tick_at"]).timestamp()


async def longest_without_a_tick(owner: httpx.AsyncClient, fleet: Fleet, since: float) -> float:
    """Seconds that any agent was behind its last tick: looked at from a moment on for AWAY_S, and
    until all have ticked after that moment.
    """
    worst, behind = 0.0, set(fleet)

    async def all_go_on() -> bool:
        nonlocal worst
        for agent_id in fleet:
            asked_at = time.time()
            tick = slot_of((await owner.get(f"/api/agents/{agent_id}/status")).json())
            worst = max(worst, asked_at - tick)
            if tick > since + 1:
                behind.discard(agent_id)
        return not behind and time.time() > since + AWAY_S

    await eventually(all_go_on, "somebody takes over")
    return worst


async def test_the_other_host_takes_over_and_nothing_is_written_twice(
    project: Project, owner: httpx.AsyncClient, fleet: Fleet
) -> None:
    workers = project.containers("worker")
    assert len(workers) == 2
    before = await statuses(owner, fleet)
    takeovers_s = 0.0
    for leave, come_back in ((cut_off, reach_again), (stand_still, go_on)):
        await eventually(partial(both_serve, project), "both hosts serve partitions")
        busy = max(workers, key=partial(shards_of, project))
        assert shards_of(project, busy) > 0
        gone_at = time.time()
        leave(project, busy)
        try:
            worst = await longest_without_a_tick(owner, fleet, gone_at)
            lost = partial(serves_nothing, project, busy)
            await eventually(lost, "the other host serves every partition")
        finally:
            come_back(project, busy)
        allowed_s = 1 + TAKEOVER_S * slowness()
        print(f"\n{leave.__name__}: longest without a tick {worst:.2f} s of {allowed_s:.2f} s")
        assert worst < allowed_s, "a tick is due every second, and taken over within two"
        takeovers_s += worst
        now = await statuses(owner, fleet)
        for early, agent_id in zip(now, fleet, strict=True):
            await ticking(owner, agent_id, early["ticks"] + 4)

    for early, late in zip(before, await statuses(owner, fleet), strict=True):
        # the lost host may have been the one to make a slot's frame: then nobody ran that slot
        missed = late["missed_ticks"] - early["missed_ticks"]
        assert missed <= takeovers_s, "no more than the takeovers took"
        passed = slot_of(late) - slot_of(early)
        assert late["ticks"] - early["ticks"] + missed == passed, "each slot once, or said"
    await eventually(partial(all_traded_in_order, owner, fleet), "positions opened and closed")
    told = project.ask("worker", "artic", "shards")
    assert "frozen" not in told, told


async def all_traded_in_order(owner: httpx.AsyncClient, fleet: Fleet) -> bool:
    """Each trade once, and a position is opened after the one before was closed; False while
    nobody has closed one yet.
    """
    closed = 0
    for agent_id in fleet:
        trades = (await owner.get(f"/api/agents/{agent_id}/trades")).json()["trades"]
        assert len({trade["id"] for trade in trades}) == len(trades)
        for one, following in pairwise(trades[::-1]):
            assert one["closed_at"] is not None and one["closed_at"] <= following["opened_at"]
            assert one["seq"] < following["seq"]
        closed += sum(trade["closed_at"] is not None for trade in trades)
    return closed > 0
