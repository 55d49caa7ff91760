"""What the jobs of one worker process share: connections, caches, clock, counters.

Built once when the process starts and handed to every job; nothing here is module state.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np
from arq.connections import ArqRedis

from adapters.db.connection import Database
from adapters.market_store import MarketStore
from adapters.price_choice import PriceChoice
from adapters.queue import JobQueue, partition_of
from adapters.redis_client import Redis
from adapters.redis_clock import RedisClock
from adapters.settings import Settings
from adapters.shard_records import ShardState
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
KNOWN_SHARDS_MAX = 1_024
"""Tables a worker keeps in memory between ticks (about 0.7 MB each when full)."""

PLANS_MARKED_MAX = 1_000_000
"""A row that says a higher number is broken, and must not cost the memory of so many plans."""


class KnownShards:
    """The last committed state of the shards this worker ticks, bounded, oldest out first.

    Only a shortcut: a state whose version is not the head's is read again, and the commit
    compares once more.
    """

    def __init__(self, limit: int = KNOWN_SHARDS_MAX) -> None:
        self._limit = limit
        self._states: OrderedDict[int, ShardState] = OrderedDict()
        self._sure: set[int] = set()

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

    def put(self, shard: int, state: ShardState, sure: bool = False) -> None:
        """sure: its inbox was empty then."""
        self._states[shard] = state
        (self._sure.add if sure else self._sure.discard)(shard)
        self._states.move_to_end(shard)
        while len(self._states) > self._limit:
            oldest, _ = self._states.popitem(last=False)
            self._sure.discard(oldest)

    def forget(self, shard: int) -> None:
        self._states.pop(shard, None)
        self._sure.discard(shard)

    def clear(self) -> None:
        self._states.clear()
        self._sure.clear()


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
    _plan_sets: dict[int, tuple[Rows, Mask, Ints]] = field(default_factory=dict)

    def plans_in(self, shard: int, rows: Rows, due: Mask) -> Ints:
        """The plans of the rows that a slot looks at, ascending: those due, and those with a
        position.

        Mostly a shard's rows are those of the slot before, and then so are their plans.
        """
        active = due | (rows["side"] != 0)
        before = self._plan_sets.get(shard)
        if before is not None and before[0] is rows and np.array_equal(before[1], active):
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
        self._plan_sets[shard] = (rows, active, plans)
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
        for shard in [s for s in self._plan_sets if partition_of(s) == partition]:
            self.known.forget(shard)
            self._plan_sets.pop(shard, None)

    def shard_lock(self, shard: int) -> asyncio.Lock:
        """Jobs of one shard in one process take turns."""
        return self._locks.setdefault(shard, asyncio.Lock())
