"""run_slots on a shard in memory, with one agent and a market that stands still."""

import asyncio
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import numpy as np

from adapters.market_store import FrameAnswer
from adapters.shard_records import Head, InboxEntry, ShardState
from engine.commands import Command, Wanted
from engine.frames import Frame, Ints
from engine.rows import ROW_SCHEMA, Rows, empty_rows
from engine.schedule import next_due
from engine.tick import SlotInputs, advance
from workers.context import PoolContext
from workers.plan_book import SlotTable
from workers.slots import NONE_DAMAGED, SlotRun, run_slots

NOW = 1_800_000_000
AGENT = UUID(int=7)
PLAN = 1


def frame(slot: int) -> Frame:
    nothing = np.full((1, 7, 6), np.nan)
    closed = np.zeros((1, 7), np.int64)
    one, at = np.array([100.0]), np.array([float(slot)])
    return Frame(slot, "test", ("BTC/USDT",), one, at, at, nothing, closed)


class Market:
    """Frames for every slot but those in `never`; notes which were asked for."""

    def __init__(self) -> None:
        self.never: set[int] = set()
        self.early: set[int] = set()
        self.asked: list[int] = []

    async def frame(self, slot: int) -> FrameAnswer:
        self.asked.append(slot)
        if slot in self.early:
            return FrameAnswer("early", now=slot - 0.5)
        if slot in self.never:
            return FrameAnswer("never", now=float(slot))
        return FrameAnswer("frame", frame(slot))


class Plans:
    """The same price and no signal in every slot."""

    async def table(self, seen: Frame, plan_ids: Ints, late: bool) -> SlotTable:
        table = SlotTable.empty(seen, PLAN + 1)
        table.price[:], table.fresh[:], table.signal[:], table.known[:] = 100.0, True, 0.0, True
        return table

    async def symbols(self, plan_ids: Ints) -> Ints:
        return np.arange(PLAN + 2)


class Bench:
    """run_slots on a shard in memory."""

    def __init__(self) -> None:
        self.market = Market()
        self.buried: list[tuple[bytes, str]] = []
        self.refreshed = 0
        self.shards = SimpleNamespace(bury=None, schema=ROW_SCHEMA)
        self.held: set[int] = set()
        """Slots in which the ledger is too far behind."""

        async def bury(shard: int, payload: bytes, reason: str) -> None:
            self.buried.append((payload, reason))

        async def refresh() -> None:
            self.refreshed += 1

        def plans_in(shard: int, rows: Rows, due: Any) -> Ints:
            return np.array([PLAN])

        self.shards.bury = bury
        pool = SimpleNamespace(
            market=self.market,
            plans=Plans(),
            shards=self.shards,
            clock=SimpleNamespace(refresh=refresh, monotonic=time.monotonic),
            plans_in=plans_in,
            backlog=SimpleNamespace(
                entries_open=lambda shard: self.market.asked[-1] not in self.held
            ),
        )
        self.pool = cast(PoolContext, pool)

    def run(
        self, state: ShardState, now: int = NOW, damaged: Mapping[int, str] = NONE_DAMAGED
    ) -> SlotRun | None:
        return asyncio.run(run_slots(self.pool, 0, state, now, damaged))


def command(
    epoch: int = 1, wanted: Wanted = Wanted.RUNNING, interval: int = 1, **changes: Any
) -> Command:
    settings: dict[str, Any] = {
        "agent_id": AGENT.bytes,
        "row": 0,
        "close_position": True,
        "plan_id": PLAN,
        "threshold": 0.5,
        "max_position_usd": 100.0,
        "stop_loss_ppm": 20_000,
        "take_profit_ppm": 40_000,
        "leverage": 1,
        "fee_cbps": 0,
        "slippage_cbps": 0,
        "max_session_loss_usd": 0.0,
    }
    return Command(epoch=epoch, wanted=wanted, interval=interval, **settings | changes)


def running(since: int, interval: int = 1) -> Rows:
    price, fresh = np.full(2, 100.0), np.ones(2, np.bool_)
    given = SlotInputs(since, price, fresh, np.zeros(2), commands=[command(interval=interval)])
    return advance(empty_rows(1), given).rows


def state(
    slot: int,
    rows: Rows,
    *inbox: tuple[int, bytes],
    paused: bool = False,
    schema: int = ROW_SCHEMA,
) -> ShardState:
    head = Head(1, slot, next_due(rows, slot), schema, "run", (), -1, paused)
    entries = tuple(InboxEntry(stamp, n, data) for n, (stamp, data) in enumerate(inbox))
    return ShardState(head, rows, entries)
