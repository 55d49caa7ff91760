"""`python -m bench.first_tick`: how long after POST /api/agents an agent ticks for the first time.

Ticked means committed: the row is read every few milliseconds beside the hub. What the WebSocket
shows of it comes later, and is measured too. Fails when one takes longer than the promise.
"""

import argparse
import asyncio
import json
import math
import sys
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from bench.hub_client import Account, Listener, listening, new_account
from bench.stack import SIMULATED, BenchError, Stack, measured, running_stack
from bench.tables import table
from engine.schedule import counts

PROMISE_S = 1.5
_SPACING_S = 0.236
"""Between two agents: not in step with the seconds, so that every moment of a slot is met."""
_POLL_S = 0.004
_GIVE_UP_S = 10.0
_SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")


@dataclass(frozen=True, slots=True)
class Birth:
    """One agent; seconds by time.time()."""

    agent_id: str
    sent: float
    answered: float
    ticked: float


async def measure(options: argparse.Namespace) -> int:
    """One run. The exit status."""
    async with (
        running_stack(options.price_source, options.workers, options.keep) as stack,
        new_account(stack.hub_url) as account,
        listening(account) as listener,
    ):
        births = await _births(stack, account, options.agents)
        await _shown(listener, births)
    return _report(births, listener)


async def _births(stack: Stack, account: Account, agents: int) -> list[Birth]:
    tasks = []
    for number in range(agents):
        tasks.append(asyncio.create_task(_birth(stack, account, number)))
        await asyncio.sleep(_SPACING_S)
    return await asyncio.gather(*tasks)


async def _birth(stack: Stack, account: Account, number: int) -> Birth:
    symbol = _SYMBOLS[number % len(_SYMBOLS)]
    body = {"symbol": symbol, "strategy_name": "momentum_breakout", "name": f"bench {number}"}
    sent = time.time()
    made = await account.post("/api/agents", body)
    answered = time.time()
    agent_id = UUID(made["id"])
    [(shard, row)] = await stack.sql("SELECT shard, row FROM agents WHERE id = $1", agent_id)
    while time.time() < answered + _GIVE_UP_S:
        found = await stack.shards.read_row(shard, row)
        if found is not None and found[1]["agent_id"].tobytes() == agent_id.bytes:
            head, record = found
            if counts(record, head.slot, head.skipped, head.folded_slot)[0] > 0:
                return Birth(made["id"], sent, answered, time.time())
        await asyncio.sleep(_POLL_S)
    raise BenchError(f"agent {number} has not ticked {_GIVE_UP_S:g} s after the answer")


async def _shown(listener: Listener, births: list[Birth]) -> None:
    deadline = time.time() + _GIVE_UP_S
    while not all(birth.agent_id in listener.first_ticked_at for birth in births):
        if time.time() > deadline:
            raise BenchError(f"the WebSocket has not shown every agent ({listener.ended})")
        await asyncio.sleep(_POLL_S)


def _report(births: list[Birth], listener: Listener) -> int:
    figures: dict[str, Any] = {"agents": len(births)}
    for name, seconds in (
        ("answer_after_sending", [b.answered - b.sent for b in births]),
        ("tick_after_answer", [b.ticked - b.answered for b in births]),
        ("tick_after_sending", [b.ticked - b.sent for b in births]),
        (
            "shown_after_answer",
            [listener.first_ticked_at[b.agent_id] - b.answered for b in births],
        ),
    ):
        ordered = sorted(1000 * each for each in seconds)
        for label, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            rank = max(math.ceil(share * len(ordered)) - 1, 0)
            figures[f"{name}_ms_{label}"] = round(ordered[rank], 1)
    print(table(figures, "First tick"))
    slowest_s = figures["tick_after_answer_ms_max"] / 1000
    failures = []
    if slowest_s > PROMISE_S:
        failures.append(f"the slowest first tick came {slowest_s:.2f} s after the answer")
    for failure in failures:
        print(f"FAILED: {failure}; at most {PROMISE_S:g} s are promised", file=sys.stderr)
    print(json.dumps(figures | {"failed": failures}))
    return 1 if failures else 0


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.first_tick", description=__doc__)
    parser.add_argument("--agents", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--price-source", default=SIMULATED)
    parser.add_argument("--keep", action="store_true", help="keep folder and logs")
    return measured(measure(parser.parse_args(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
