"""`python -m bench.chaos --minutes M --agents N`: whatever dies, the same trades.

While agents trade, workers, hub and Redis are killed at random, workers are paused, Redis loses its
last second, and agents are stopped and started over REST. Afterwards the journal is held against an
undisturbed run of the same recorded frames and stamped commands, and trades, logs and rows against
the journal: all equal, or it fails.
"""

import argparse
import asyncio
import json
import math
import random
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from adapters.redis_client import AWAY
from bench.chaos_faults import Chaos, Kill
from bench.chaos_judge import (
    Undisturbed,
    Verdict,
    compare_record,
    compare_rows,
    read_journal,
    read_plans,
)
from bench.chaos_market import REACH_S, MarketRecording
from bench.hub_client import Account, new_account
from bench.seeding import RISK, Fleet, seed, settled
from bench.stack import SIMULATED, BenchError, Stack, end, measured, running_stack
from bench.tables import show_progress, table
from bench.ticked import TickedLog
from engine.events import Event

RISK_OF_TRADERS = RISK | {"stop_loss_pct": 0.05, "take_profit_pct": 0.05}
QUIET_S = 120.0
_TOUCH_EVERY_S = 1.5
_POLL_S = 0.2
_SHOWN = 10


async def measure(options: argparse.Namespace) -> int:
    """One run. The exit status."""
    fleet = Fleet(options.agents, min(options.plans, options.agents), risk=RISK_OF_TRADERS)
    async with (
        running_stack(SIMULATED, options.workers, options.keep) as stack,
        new_account(stack.hub_url) as account,
    ):
        me = UUID((await account.get("/api/me"))["id"])
        market, ticked = MarketRecording(), TickedLog()
        recordings = [asyncio.create_task(market.follow(stack.redis_url))]
        try:
            await seed(stack, fleet, owner=me)
            await settled(stack)
            recordings.append(asyncio.create_task(_listen(ticked, stack.redis_url)))
            chaos = Chaos(stack, options.workers, random.Random(options.seed))
            touched = await _disturb(chaos, account, options.minutes * 60)
            await come_to_rest(stack, account)
            await market.take(stack.redis, int(time.time()), REACH_S)
        finally:
            await end(*recordings)
        figures, problems = await judge(stack, market, chaos.losses)
    takeovers = takeover_s(chaos.kills, ticked)
    figures = {
        "agents": options.agents,
        "minutes": options.minutes,
        "seed": options.seed,
        "faults": chaos.done,
        "agents_stopped_and_started": touched,
        **figures,
        "takeovers": len(takeovers),
        "takeover_s_p50": _rank(takeovers, 0.5),
        "takeover_s_p99": _rank(takeovers, 0.99),
        "takeover_s_max": _rank(takeovers, 1.0),
        "longest_gap_of_a_shard_s": round(ticked.longest_gap_s(0), 2),
        "differences": len(problems),
    }
    print(table(figures, "Chaos"))
    for problem in problems[:_SHOWN]:
        print(f"FAILED: {problem}", file=sys.stderr)
    print(json.dumps(figures | {"failed": problems[:_SHOWN]}))
    return 1 if problems else 0


async def _listen(ticked: TickedLog, redis_url: str) -> None:
    """Listens again whenever Redis is back."""
    while True:
        with suppress(*AWAY):
            await ticked.listen(redis_url)
        await asyncio.sleep(_POLL_S)


@dataclass(slots=True)
class Wishes:
    """A user who stops and starts agents; a refusal (503 while something is away) is his to
    repeat.
    """

    account: Account
    dice: random.Random
    granted: int = 0

    async def run(self) -> None:
        """Wishes until it is cancelled."""
        agents = [each["id"] for each in await self.account.get("/api/agents")]
        while True:
            agent_id = self.dice.choice(agents)
            close = self.dice.random() < 0.5
            for what, body in (("stop", {"close_position": close}), ("start", None)):
                with suppress(BenchError, httpx.HTTPError):
                    await self.account.post(f"/api/agents/{agent_id}/{what}", body)
                    self.granted += 1
                await asyncio.sleep(_TOUCH_EVERY_S)


async def _disturb(chaos: Chaos, account: Account, seconds: float) -> int:
    """Faults, and wishes of a user meanwhile; how many wishes were granted."""
    wishes = Wishes(account, random.Random(chaos.random.random()))
    tasks = [asyncio.create_task(chaos.run()), asyncio.create_task(wishes.run())]
    try:
        await show_progress("chaos", seconds)
        for task in tasks:
            if task.done():
                raise BenchError(f"the chaos broke off: {task.exception()!r}")
    finally:
        chaos.stopping.set()
        await end(tasks[1])
        await asyncio.gather(tasks[0], return_exceptions=True)
    return wishes.granted


async def come_to_rest(stack: Stack, account: Account) -> None:
    """Stops everything; waits until nothing is open, under way or not yet on record."""
    deadline = time.monotonic() + QUIET_S
    asked = False
    while True:
        with suppress(*AWAY, BenchError, httpx.HTTPError):
            if not asked:
                await account.post("/api/agents/kill-all", {"confirm": "KILL_ALL"})
                asked = True
            if not (lacking := await _unrest(stack)):
                return
        if time.monotonic() > deadline:
            raise BenchError(f"not at rest after {QUIET_S:g} s: {lacking}")
        await asyncio.sleep(_POLL_S)


async def _unrest(stack: Stack) -> str:
    shards = await stack.shards.open_shards()
    for shard in shards:
        state = await stack.shards.read(shard)
        if state is None:
            return f"shard {shard} is not open"
        if state.inbox or (state.rows["side"] != 0).any() or (state.rows["status"] == 1).any():
            return f"shard {shard} is not done"
    if any((await stack.shards.events_waiting(shards)).values()):
        return "events wait for the ledger"
    [(lacking,)] = await stack.sql("SELECT count(*) FROM agents WHERE applied_epoch < epoch")
    return f"{lacking} agents are not on record" if lacking else ""


async def judge(
    stack: Stack, market: MarketRecording, losses: Sequence[float]
) -> tuple[dict[str, Any], list[str]]:
    """Figures, and what is not the same: decisions, rows, trades and logs.

    losses: when Redis lost its last second, in Unix seconds.
    """
    verdict = Verdict(problems=list(market.changed))
    [(frozen, quarantined)] = await stack.sql(
        "SELECT (SELECT count(*) FROM shards WHERE frozen IS NOT NULL),"
        " (SELECT count(*) FROM quarantine)"
    )
    if frozen or quarantined:
        verdict.problems.append(f"{frozen} shards are frozen, {quarantined} events in quarantine")
    journal = await read_journal(stack)
    calm = Undisturbed(market, await read_plans(stack), losses)
    everything = []
    for shard, events in sorted(journal.items()):
        head = await stack.shards.read_head(shard)
        assert head is not None
        market.skipped.setdefault(shard, set()).update(head.skipped)
        market.held.setdefault(shard, set()).update(head.held)
        rows = calm.run(shard, events, max(events), verdict)
        verdict.problems += await compare_rows(stack, shard, rows)
        everything += [event for slot in sorted(events) for event in events[slot]]
    verdict.problems += _gaps(everything)
    verdict.problems += await compare_record(stack, everything)
    closed = sum(event.kind == "closed" for event in everything)
    figures = {
        "shards": len(journal),
        "slots_run_again": verdict.slots_run,
        "slots_not_run": verdict.slots_not_run,
        "events": len(everything),
        "round_trips": closed,
        "decisions_compared": verdict.decisions,
        "decisions_not_comparable": verdict.lacking,
    }
    return figures, verdict.problems


def _gaps(events: Sequence[Event]) -> list[str]:
    """Agents whose events are not numbered 1, 2, 3 and so on."""
    numbers: dict[bytes, list[int]] = {}
    for event in events:
        numbers.setdefault(event.agent_id, []).append(event.seq)
    return [
        f"events of agent {UUID(bytes=agent)} are not numbered without gaps"
        for agent, own in numbers.items()
        if sorted(own) != list(range(1, len(own) + 1))
    ]


def takeover_s(kills: Sequence[Kill], ticked: TickedLog) -> list[float]:
    """From each kill to the next commit of each shard that the worker had served."""
    took = []
    for kill in kills:
        for shard in kill.shards:
            later = (at for at, each, _ in ticked.commits if each == shard and at > kill.at)
            first = next(later, None)
            if first is not None:
                took.append(first - kill.at)
    return sorted(took)


def _rank(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[max(math.ceil(share * len(ordered)) - 1, 0)], 2)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plans", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep folder and logs")
    return measured(measure(parser.parse_args(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
