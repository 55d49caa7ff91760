"""Workers on two hosts, each in a network namespace of its own, on one Redis: one is cut off or
stands still, the other takes over, and when it comes back nothing is written twice.
"""

import time
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.docker.engine import Project, run
from tests.docker.owners import ticking

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT")
FLEET = 8
TAKEOVER_S = 2.0
AWAY_S = 5.0
RESTLESS = {"lookback": 2, "threshold": 0.01}
PARTITIONS = 8
LEASES = (
    "export REDISCLI_AUTH=$REDIS_PASSWORD; redis-cli --raw mget "
    + " ".join(f"artic:lease:tick:{partition}" for partition in range(PARTITIONS))
    + "; echo shards; redis-cli --raw smembers artic:shards"
)
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


def shards_of(project: Project, worker: str) -> int:
    """How many shards this container ticks, by the leases that it holds."""
    said = project.compose("exec", "-T", "redis", "sh", "-c", LEASES)
    leases, _, shards = said.partition("shards\n")
    owners = [name.startswith(worker[:12]) for name in leases.splitlines()]
    assert len(owners) == PARTITIONS, said
    return sum(owners[int(shard) % PARTITIONS] for shard in shards.split())


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


async def longest_without_a_tick(owner: httpx.AsyncClient, fleet: Fleet, seconds: float) -> float:
    """Seconds that any agent was behind its last tick, looked at for so long."""
    worst, end = 0.0, time.time() + seconds
    while time.time() < end:
        for agent_id in fleet:
            asked_at = time.time()
            status = (await owner.get(f"/api/agents/{agent_id}/status")).json()
            worst = max(worst, asked_at - slot_of(status))
    return worst


async def test_the_other_host_takes_over_and_nothing_is_written_twice(
    project: Project, owner: httpx.AsyncClient, fleet: Fleet
) -> None:
    workers = project.compose("ps", "-q", "worker").split()
    assert len(workers) == 2
    before = await statuses(owner, fleet)
    for leave, come_back in ((cut_off, reach_again), (stand_still, go_on)):
        busy = max(workers, key=lambda each: shards_of(project, each))
        assert shards_of(project, busy) > 0
        leave(project, busy)
        try:
            worst = await longest_without_a_tick(owner, fleet, AWAY_S)
            assert shards_of(project, busy) == 0, "the other host ticks all of them"
        finally:
            come_back(project, busy)
        print(f"\n{leave.__name__}: longest without a tick {worst:.2f} s")
        assert worst < 1 + TAKEOVER_S, "a tick is due every second, and taken over within two"
        now = await statuses(owner, fleet)
        for early, agent_id in zip(now, fleet, strict=True):
            await ticking(owner, agent_id, early["ticks"] + 4)

    for early, late in zip(before, await statuses(owner, fleet), strict=True):
        # the lost host may have been the one to make a slot's frame: then nobody ran that slot
        missed = late["missed_ticks"] - early["missed_ticks"]
        assert missed <= 2 * TAKEOVER_S, "no more than the takeovers took"
        passed = slot_of(late) - slot_of(early)
        assert late["ticks"] - early["ticks"] + missed == passed, "each slot once, or said"
    traded = 0
    for agent_id in fleet:
        trades = (await owner.get(f"/api/agents/{agent_id}/trades")).json()["trades"]
        check_one_at_a_time(trades)
        traded += len(trades)
    assert traded, "some positions were opened meanwhile"
    told = project.compose("run", "--rm", "--no-deps", "worker", "shards")
    assert "frozen" not in told, told


def check_one_at_a_time(newest_first: list[dict[str, Any]]) -> None:
    """Each trade once, and a position is opened after the one before was closed."""
    assert len({trade["id"] for trade in newest_first}) == len(newest_first)
    for one, following in pairwise(newest_first[::-1]):
        assert one["closed_at"] is not None and one["closed_at"] <= following["opened_at"]
        assert one["seq"] < following["seq"]
