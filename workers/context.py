"""What the jobs of one worker process share: connections, caches, clock, counters.

Built once when the process starts and handed to every job; nothing here is module state.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from weakref import ref

import numpy as np
from arq.connections import ArqRedis

from adapters.db.connection import Database
from adapters.market_store import MarketStore
from adapters.price_choice import PriceChoice
from adapters.queue import JobQueue, partition_of
from adapters.redis_client import Redis
from adapters.redis_clock import RedisClock
from adapters.settings import Settings
from adapters.shard_records import Head, ShardState
from adapters.shard_store import ShardStore
from engine.frames import Ints
from engine.rows import Mask, Rows
from workers.backlog import Backlog
from workers.plan_book import PlanBook
from workers.settings import TICKS_AT_ONCE
from workers.stats import WorkerStats

logger = logging.getLogger(__name__)

ASIDE_S = 30.0
"""How long a worker that has met a newer row schema serves nothing; then it looks again."""
TABLES_KEPT_BYTES = 256 * 2**20
"""Tables that a worker keeps in memory between ticks: 1,200,000 agents. Those beyond are read anew
for each tick, which takes 0.8 ms of a core for a full one, here and in Redis together.
"""

PLANS_MARKED_MAX = 1_000_000
"""A row that says a higher number is broken, and must not cost the memory of so many plans."""


class KnownShards:
    """The last committed state of shards that this worker ticks; bounded, first come, first kept:
    they tick in turns, so that the one that has waited longest is the next one.

    Only a shortcut: a state whose version is not the head's is read again, and the commit
    compares once more.
    """

    def __init__(self, limit_bytes: int = TABLES_KEPT_BYTES) -> None:
        self._room = limit_bytes
        self._states: dict[int, ShardState] = {}
        self._sure: set[int] = set()
        self._committed: dict[int, tuple[str, int]] = {}

    def due(self, shard: int, now_slot: int) -> ShardState | None:
        """The state to tick from without asking Redis for it: a slot of it is due, and when it was
        committed no command was waiting. Whatever has come since makes the commit fail.
        """
        state = self._states.get(shard)
        if state is None or shard not in self._sure or state.head.paused:
            return None
        next_due = state.head.next_due
        return state if next_due is not None and next_due <= now_slot else None

    def doubt(self, shard: int) -> None:
        """Ask Redis before the next tick."""
        self._sure.discard(shard)

    def get(self, shard: int) -> ShardState | None:
        return self._states.get(shard)

    def made(self, shard: int, head: Head) -> bool:
        """Whether the last commit of this worker has made this state of the shard."""
        return self._committed.get(shard) == (head.run_id, head.version)

    def put(self, shard: int, state: ShardState, sure: bool = False) -> None:
        """sure: its inbox was empty then."""
        self.forget(shard)
        self._committed[shard] = (state.head.run_id, state.head.version)
        if state.rows.nbytes > self._room:
            return
        self._room -= state.rows.nbytes
        self._states[shard] = state
        if sure:
            self._sure.add(shard)

    def forget(self, shard: int) -> None:
        state = self._states.pop(shard, None)
        if state is not None:
            self._room += state.rows.nbytes
        self._sure.discard(shard)
        self._committed.pop(shard, None)

    def clear(self) -> None:
        for shard in self.shards():
            self.forget(shard)

    def shards(self) -> list[int]:
        """Of which anything is remembered."""
        return list(self._committed)


@dataclass(slots=True)
class PoolContext:
    """One worker process as its jobs see it. database is None in one that only ticks."""

    name: str
    settings: Settings
    state_redis: Redis
    queue_redis: Redis
    clock: RedisClock
    shards: ShardStore
    market: MarketStore
    plans: PlanBook
    queue: JobQueue
    database: Database
    open_arq: Callable[[], Awaitable[ArqRedis]]
    """New connections to the queues' Redis: each arq worker has its own."""
    choice: PriceChoice | None = None
    """What the price source `auto` came to, if that is the source."""
    run_id: str = ""
    """The Redis process that this worker believes to be talking to."""
    stats: WorkerStats = field(default_factory=WorkerStats)
    known: KnownShards = field(default_factory=KnownShards)
    backlog: Backlog = field(default_factory=Backlog)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(TICKS_AT_ONCE))
    aside_until: float = 0.0
    """Until then (by the clock of Redis) the worker serves no partition."""
    next_in_turn: set[int] = field(default_factory=set)
    """Shards of which a job waits for another to end; in a pool that is behind there are many."""
    _locks: dict[int, asyncio.Lock] = field(default_factory=dict)
    _plan_sets: dict[int, tuple["ref[Rows]", Mask, Ints]] = field(default_factory=dict)
    """Of shards, by the rows that they were found in, which are not kept for that."""

    def plans_in(self, shard: int, rows: Rows, due: Mask) -> Ints:
        """The plans of the rows that a slot looks at, ascending: those due, and those with a
        position.

        Mostly a shard's rows are those of the slot before, and then so are their plans.
        """
        active = due | (rows["side"] != 0)
        before = self._plan_sets.get(shard)
        if before is not None and before[0]() is rows and np.array_equal(before[1], active):
            return before[2]
        plan_ids = rows["plan_id"][active]
        highest = int(plan_ids.max(initial=0))
        if highest < PLANS_MARKED_MAX:
            # Numbers of plans have no gaps: marking them takes a tenth of the time of sorting.
            used = np.zeros(highest + 1, np.bool_)
            used[plan_ids] = True
            plans = np.flatnonzero(used).astype(np.int64)
        else:
            plans = np.unique(plan_ids).astype(np.int64)
        self._plan_sets[shard] = (ref(rows), active, plans)
        return plans

    def step_aside(self, why: str) -> None:
        """A newer version has written what this one cannot read: the newer ones shall serve all."""
        if self.clock.now() >= self.aside_until:
            logger.error("%s: this worker gives its partitions back for a while", why)
        self.aside_until = self.clock.now() + ASIDE_S

    def see_run(self, run_id: str) -> None:
        """Drops every memory of another run of Redis: it may have lost what we have seen there."""
        if run_id != self.run_id:
            self.run_id = run_id
            self.known.clear()
            self.plans.forget()
            self.market.seen_run_id(run_id)

    def forget_partition(self, partition: int) -> None:
        """Drops what is remembered of shards that somebody else serves now."""
        for shard in {*self._plan_sets, *self.known.shards()}:
            if partition_of(shard) == partition:
                self.known.forget(shard)
                self._plan_sets.pop(shard, None)

    def shard_lock(self, shard: int) -> asyncio.Lock:
        """Jobs of one shard in one process take turns."""
        return self._locks.setdefault(shard, asyncio.Lock())
