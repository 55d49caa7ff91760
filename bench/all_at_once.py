"""`python -m bench.all_at_once`: all agents of one owner, started and stopped in a call.

Measured from outside, through a stack of its own or, with `--hub`, a pool at work: an account of
its own makes its agents by POST /api/agents/bulk, then starts and stops all of them; the clock runs
from the call to the moment at which the list of agents shows every one of them ticking, or
standing. The exit code is 1 where starting or stopping took longer than the aim.
"""

import argparse
import asyncio
import json
import sys
import time
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from bench.stack import running_stack

AIM_S = 2.0
PATIENCE_S = 60.0
LOOK_EVERY_S = 0.1
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")


class _Agent(msgspec.Struct):
    """What of an agent is looked at."""

    status: str


_listed = msgspec.json.Decoder(list[_Agent])


async def _account(http: httpx.AsyncClient) -> None:
    login = {"email": f"{uuid4()}@example.com", "password": uuid4().hex}
    answer = await http.post("/auth/register", json=login)
    answer.raise_for_status()
    http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


async def _until_all(http: httpx.AsyncClient, status: str) -> int:
    """How many agents there are, once all have a status."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            listed = _listed.decode((await http.get("/api/agents")).raise_for_status().content)
            if all(agent.status == status for agent in listed):
                return len(listed)
            await asyncio.sleep(LOOK_EVERY_S)


async def _timed(http: httpx.AsyncClient, call: str, status: str) -> tuple[float, float]:
    """(seconds to the answer, seconds until all agents have the status)."""
    began = time.perf_counter()
    (await http.post(f"/api/agents/{call}")).raise_for_status()
    answered = time.perf_counter() - began
    await _until_all(http, status)
    return answered, time.perf_counter() - began


async def measure(hub_url: str, agents: int) -> dict[str, Any]:
    """Makes the agents, standing still, then starts and stops all of them."""
    async with httpx.AsyncClient(base_url=hub_url, timeout=PATIENCE_S, trust_env=False) as http:
        await _account(http)
        bodies = [
            {
                "name": f"agent {i}",
                "symbol": SYMBOLS[i % len(SYMBOLS)],
                "strategy_name": "momentum_breakout",
                "auto_start": False,
            }
            for i in range(agents)
        ]
        began = time.perf_counter()
        made = (await http.post("/api/agents/bulk", json={"agents": bodies})).raise_for_status()
        created_s = time.perf_counter() - began
        assert made.json()["created"] == agents, made.json()["results"][-1]
        await _until_all(http, "stopped")
        standing_s = time.perf_counter() - began
        start = await _timed(http, "start-all", "running")
        stop = await _timed(http, "stop-all", "stopped")
        return {
            "agents": agents,
            "created_s": round(created_s, 2),
            "created_and_in_the_pool_s": round(standing_s, 2),
            "start_answered_s": round(start[0], 2),
            "all_running_s": round(start[1], 2),
            "stop_answered_s": round(stop[0], 2),
            "all_stopped_s": round(stop[1], 2),
        }


async def _at_a_pool(hub_url: str | None, agents: int) -> dict[str, Any]:
    if hub_url is not None:
        return await measure(hub_url, agents)
    async with running_stack() as stack:
        return await measure(stack.hub_url, agents)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hub", help="of a pool at work, instead of a stack of its own")
    parser.add_argument("--agents", type=int, default=10_000)
    options = parser.parse_args()
    found = asyncio.run(_at_a_pool(options.hub, options.agents))
    print(json.dumps(found))
    late = [name for name in ("all_running_s", "all_stopped_s") if found[name] > AIM_S]
    if late:
        print(f"above {AIM_S:g} s: {', '.join(late)}", file=sys.stderr)
    return int(bool(late))


if __name__ == "__main__":
    sys.exit(main())
