"""`python -m bench.trades [--kill]`: every trade is a fact, once, and the right one. End to end.

Agents made over REST trade on the real stack; some are stopped, started and deleted meanwhile, and
with --kill a worker is killed with SIGKILL. Then the streams, PostgreSQL, the WebSocket and a
recomputation that shares no code with the engine have to tell the same story, to the last digit.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from adapters import redis_keys as keys
from adapters.redis_client import command
from bench import proof
from bench.compare_trades import compare
from bench.hub_client import Account, Listener, listening, new_account
from bench.proof import Ask, Ledger
from bench.recompute import recompute
from bench.recording import SHARDS_MAX, StreamRecording, events_read, recorded_market
from bench.stack import SIMULATED, BenchError, Stack, measured, replay, running_stack
from bench.tables import show_progress, table
from bench.ticked import TickedLog
from bench.trading_fleet import agent_body, settings_of

SPEED = 60
QUIET_S = 30.0
"""After the last stop, everything has to be on record within this."""
_TOUCHED = 8
"""Agents that are stopped, and that are deleted, in each round."""
_POLL_S = 0.1


@dataclass(slots=True)
class Run:
    """One measurement under way."""

    stack: Stack
    account: Account
    listener: Listener
    recorded: bool
    streams: StreamRecording = field(default_factory=StreamRecording)
    ticked: TickedLog = field(default_factory=TickedLog)
    bodies: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    plan_ids: dict[UUID, int] = field(default_factory=dict)
    deleted: set[UUID] = field(default_factory=set)
    asks: list[Ask] = field(default_factory=list)
    killed: str = ""

    async def create(self, number: int) -> None:
        """Makes the number-th agent."""
        body = agent_body(number, self.recorded)
        made = await self.account.post("/api/agents", body)
        agent_id = UUID(made["id"])
        [(plan_id,)] = await self.stack.sql("SELECT plan_id FROM agents WHERE id = $1", agent_id)
        self.bodies[agent_id], self.plan_ids[agent_id] = body, int(plan_id)

    async def stop(self, agent_id: UUID, close_position: bool = True) -> None:
        """Stops an agent over REST."""
        path = f"/api/agents/{agent_id}/stop"
        await self.account.post(path, {"close_position": close_position})
        self.asks.append(Ask(agent_id, "stop", time.time(), close_position))

    async def start(self, agent_id: UUID) -> None:
        """Starts it again."""
        await self.account.post(f"/api/agents/{agent_id}/start")
        self.asks.append(Ask(agent_id, "start", time.time()))

    async def delete(self, agent_id: UUID) -> None:
        """Deletes it."""
        await self.account.delete(f"/api/agents/{agent_id}")
        self.asks.append(Ask(agent_id, "delete", time.time()))
        self.deleted.add(agent_id)

    def living(self) -> list[UUID]:
        """Agents that were not deleted, oldest first."""
        return [agent_id for agent_id in self.bodies if agent_id not in self.deleted]


async def measure(options: argparse.Namespace) -> int:
    """One run. The exit status."""
    source = SIMULATED if options.simulated else replay(SPEED)
    async with _open(options, source) as run:
        await _trade(run, options.agents, options.seconds, options.kill)
        unrest = await _come_to_rest(run)
        await events_read(run.streams, 1.0)
        figures, problems = await _judge(run)
        problems["at rest"] = unrest
    print(table(figures, "Trades, with a worker killed" if options.kill else "Trades"))
    for what, found in problems.items():
        for problem in proof.some(found):
            print(f"FAILED: {what}: {problem}", file=sys.stderr)
    failed = sorted(what for what, found in problems.items() if found)
    print(json.dumps(figures | {"failed": failed}))
    return 1 if failed else 0


@asynccontextmanager
async def _open(options: argparse.Namespace, source: str) -> AsyncIterator[Run]:
    async with AsyncExitStack() as opened:
        stack = await opened.enter_async_context(
            running_stack(source, options.workers, options.keep)
        )
        account = await opened.enter_async_context(new_account(stack.hub_url))
        listener = await opened.enter_async_context(listening(account))
        run = Run(stack, account, listener, recorded=source != SIMULATED)
        readers = [
            asyncio.create_task(run.streams.follow(stack.redis_url)),
            asyncio.create_task(run.ticked.listen(stack.redis_url)),
        ]
        try:
            await run.ticked.listening.wait()
            yield run
            for reader in readers:
                if reader.done():
                    raise BenchError(f"a recording broke off: {reader.exception()!r}")
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)


async def _trade(run: Run, agents: int, seconds: float, kill: bool) -> None:
    """The run itself: create, touch in the middle, end."""
    for number in range(agents):
        await run.create(number)
    await show_progress("trading", seconds * 0.3)
    first, second, third = (run.living()[begin::7][:_TOUCHED] for begin in (0, 1, 2))
    for place, agent_id in enumerate(first):
        await run.stop(agent_id, close_position=place % 2 == 0)
    for agent_id in second:
        await run.delete(agent_id)
    await show_progress("trading", seconds * 0.2)
    if kill:
        run.killed = await _kill_a_worker(run.stack)
    await show_progress("trading", seconds * 0.1)
    for agent_id in first:
        await run.start(agent_id)
    for number in range(agents, agents + _TOUCHED // 2):
        await run.create(number)  # in rows that the deleted ones have left
    await show_progress("trading", seconds * 0.3)
    for agent_id in third:
        await run.delete(agent_id)
    await show_progress("trading", seconds * 0.1)


async def _kill_a_worker(stack: Stack) -> str:
    """SIGKILL for the worker of partition 0, which keeps frames and chores going, too."""
    owner = (await command(stack.redis, "GET", keys.partition_lease(0)) or b"").decode()
    for part in ("worker-1", "worker-2"):
        pid = stack.pid_of(part)
        if pid is not None and owner.endswith(f"-{pid}"):
            os.kill(pid, signal.SIGKILL)
            return f"{part} ({owner})"
    raise BenchError(f"no worker serves partition 0 (lease: {owner or 'none'})")


async def _come_to_rest(run: Run) -> list[str]:
    """Stops everything, and waits until nothing is open, under way or not yet on record."""
    for agent_id in run.living():
        await run.stop(agent_id)
    deadline = time.monotonic() + QUIET_S
    while lacking := await _unrest(run.stack):
        if time.monotonic() > deadline:
            return [f"not after {QUIET_S:g} s: {lacking}"]
        await asyncio.sleep(_POLL_S)
    return []


async def _unrest(stack: Stack) -> str:
    for shard in await stack.shards.open_shards():
        state = await stack.shards.read(shard)
        assert state is not None
        if state.inbox or (state.rows["side"] != 0).any() or (state.rows["status"] == 1).any():
            return f"shard {shard} is not done"
    waiting = await stack.shards.events_waiting(await stack.shards.open_shards())
    if any(waiting.values()):
        return f"events wait for the ledger: {waiting}"
    [(lacking,)] = await stack.sql("SELECT count(*) FROM agents WHERE applied_epoch < epoch")
    return f"{lacking} agents are not on record" if lacking else ""


async def _read_ledger(stack: Stack) -> Ledger:
    found = await stack.sql(
        "SELECT id, agent_id, side, quantity, leverage, entry_price, exit_price, fee_usd, pnl_usd,"
        " open_reason, close_reason, opened_at, closed_at FROM trades"
    )
    names = (
        *("id", "agent_id", "side", "quantity", "leverage", "entry_price", "exit_price"),
        *("fee_usd", "pnl_usd", "open_reason", "close_reason", "opened_at", "closed_at"),
    )
    [(message_seq, quarantined)] = await stack.sql(
        "SELECT (SELECT max(message_seq) FROM users), (SELECT count(*) FROM quarantine)"
    )
    messages = await stack.sql("SELECT seq, kind, agent_id FROM messages ORDER BY seq")
    frozen = await stack.sql("SELECT id FROM shards WHERE frozen IS NOT NULL")
    seqs = await stack.sql("SELECT agent_id, seq FROM shard_rows WHERE agent_id IS NOT NULL")
    return Ledger(
        trades=[dict(zip(names, row, strict=True)) for row in found],
        messages=[(int(seq), str(kind), agent_id) for seq, kind, agent_id in messages],
        message_seq=int(message_seq),
        quarantined=int(quarantined),
        frozen=[int(row[0]) for row in frozen],
        row_seqs={agent_id: int(seq) for agent_id, seq in seqs},
    )


async def _judge(run: Run) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Figures, and by check what does not hold."""
    stack = run.stack
    ledger = await _read_ledger(stack)
    events = run.streams.by_agent()
    starts, commands = proof.commands_of(events, run.asks)
    first, last = min(starts.values()), max(event.slot for event in run.streams.events)
    found = await stack.sql("SELECT id, symbol, timeframe FROM plans")
    plans = {int(number): (str(symbol), str(timeframe)) for number, symbol, timeframe in found}
    market = await recorded_market(stack.redis, first, last, plans)
    settings = [
        settings_of(agent_id, body, run.plan_ids[agent_id], starts[agent_id])
        for agent_id, body in run.bodies.items()
        if agent_id in starts
    ]
    expected = recompute(settings, market.prices, market.signals, commands, market.readings)
    missed = [f"slot {slot} never had a frame" for slot in market.absent]
    missed += await _missed(stack)
    problems = {
        "enough trades": proof.enough_trades(events),
        "nothing missed": missed,
        "whole recording": proof.whole_recording(events, ledger),
        "in PostgreSQL once": proof.stored_once(events, ledger),
        "on the WebSocket once": proof.told_once(run.listener, ledger),
        "stops are kept": proof.stops_kept(events, run.asks),
        "only expected events": proof.only_expected(events),
        "recomputation": compare(expected, ledger.trades),
        "nothing in the log": stack.errors(),
    }
    closed = [row for row in ledger.trades if row["closed_at"] is not None]
    figures = {
        "prices": "replay" if run.recorded else "simulated",
        "agents": len(run.bodies),
        "slots": last - first + 1,
        "events": len(run.streams.events),
        "round_trips": len(closed),
        "long": sum(row["side"] == "long" for row in closed),
        "short": sum(row["side"] == "short" for row in closed),
        "closed_by": dict(proof.reasons_of(events)),
        "pnl_usd": float(sum(row["pnl_usd"] for row in closed)),
        "recomputed_trades": len(expected),
        "recomputed_pnl_usd": round(sum(trade.pnl_usd or 0.0 for trade in expected), 8),
        "messages": ledger.message_seq,
        "statuses_on_the_websocket": run.listener.statuses,
        "slots_missed": len(missed),
        "killed": run.killed or "nobody",
        "longest_gap_of_a_shard_s": round(run.ticked.longest_gap_s(first), 2),
    }
    return figures, problems


async def _missed(stack: Stack) -> list[str]:
    shards = await stack.shards.open_shards()
    if max(shards) >= SHARDS_MAX:
        raise BenchError(f"shard {max(shards)} was not recorded: use fewer agents")
    problems = []
    for shard in shards:
        head = await stack.shards.read_head(shard)
        for skipped in () if head is None else head.skipped:
            word = "paused" if skipped.paused else "missed"
            problems.append(f"shard {shard} {word} slots {skipped.first} to {skipped.last}")
    return problems


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.trades", description=__doc__)
    parser.add_argument("--agents", type=int, default=96)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill", action="store_true", help="kill -9 of a worker in the middle")
    parser.add_argument("--simulated", action="store_true", help="simulated prices in any case")
    parser.add_argument("--keep", action="store_true", help="keep folder and logs")
    return measured(measure(parser.parse_args(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
