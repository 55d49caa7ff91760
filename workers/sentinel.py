"""What keeps a worker process honest, twice a second: leases, stalled shards, broken chains.

arq chains jobs: each tick enqueues the next. A chain breaks when a process dies between two
jobs; the owner of the partition mends it here. Nothing is decided here that a second owner
could not decide as well.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import msgspec

from adapters import queue as jobs
from adapters import redis_keys as keys
from adapters.db import shards as shard_records
from adapters.db.errors import DatabaseAway
from adapters.errors import AdapterError, SchemaUnknown
from adapters.lease import LeaseKeeper, LeaseTable, Wish
from adapters.queue import partition_of
from adapters.recovery import recover_shard
from adapters.redis_client import AWAY, command
from adapters.redis_keys import TICK_PARTITIONS
from workers.context import PoolContext
from workers.partitions import wishes
from workers.settings import LEASE_MS, SENTINEL_PERIOD_S

logger = logging.getLogger(__name__)

GRACE_S = 0.5
"""A shard whose next due slot is older than this has lost its chain."""
SHARDS_AT_ONCE = 32
"""Shards that are looked at in one round trip."""
CLOCK_BACK_S = 2.0
"""A shard whose covered slot is further ahead than this waits for the clock of Redis."""
RECORD_EVERY_S = 5.0
"""How often the directory of shards is compared with PostgreSQL, while Redis stays the same."""
REPORT_TTL_S = 30
FRAMES_AHEAD = 3
"""Frames that are ordered in advance: as many slots as pass before the partitions of a worker that
was killed are served again. A slot in which nobody asks for its frame never gets one."""
SWEEP_MS, REPAIR_MS, ARCHIVE_MS, PRUNE_MS = 1_000, 2_000, 60_000, 3_600_000
"""Periods of the chores."""


class Sentinel:
    """One for each worker process. `owned` is what the process serves at the moment."""

    def __init__(self, pool: PoolContext) -> None:
        self.pool = pool
        self.keeper = LeaseKeeper(pool.queue_redis, pool.name, LEASE_MS)
        self.table = LeaseTable((), ("",) * TICK_PARTITIONS)
        self.owned: set[int] = set()
        self._ahead: set[int] = set()
        self._recovering: dict[int, asyncio.Task[bool]] = {}
        self._recorded_at = 0.0
        self._recorded_run = ""
        """The run of Redis for which the directory has been compared."""
        self._looking: asyncio.Task[None] | None = None

    async def beat(self) -> tuple[set[int], set[int]]:
        """Renews and shares out leases; returns (taken, lost) partitions.

        When Redis does not answer, nothing is known: what was owned stays owned, since the
        commits decide anyway.
        """
        if self.pool.clock.now() < self.pool.aside_until:
            await self.keeper.leave()
            lost, self.owned = self.owned, set()
            return set(), lost
        self.table = await self.keeper.beat(self._wishes())
        free: list[Wish] = ["take" if wish == "take" else "keep" for wish in self._wishes()]
        if "take" in free:
            # Somebody's leases have just run out: his shards wait for no further beat.
            self.table = await self.keeper.beat(free)
        now = {p for p, owner in enumerate(self.table.owners) if owner == self.pool.name}
        taken, lost = now - self.owned, self.owned - now
        self.owned = now
        return taken, lost

    def _wishes(self) -> list[Wish]:
        return wishes(self.pool.name, self.table.workers, self.table.owners)

    async def watch(self, taken: Iterable[int]) -> None:
        """Mends what has stalled in the partitions owned."""
        run_id = await self.pool.shards.run_id()
        if run_id != self.pool.run_id:
            await self.pool.clock.refresh()  # it may be another server, with a clock of its own
            self.pool.see_run(run_id)
        if 0 in self.owned:
            self._look_into_the_record(run_id)
            await self._keep_chains()
        every = await self.pool.shards.open_shards()
        shards = [shard for shard in every if partition_of(shard) in self.owned]
        waiting = await self._keep_ticking(shards, set(taken), run_id) if shards else {}
        self.pool.backlog.note(waiting, len(every))

    async def _keep_ticking(
        self, shards: list[int], taken: set[int], run_id: str
    ) -> dict[int, int]:
        """Seeds shards that are late or have commands waiting; recovers those without a head.

        Answers how many events of each wait for the ledger.
        """
        events_waiting: dict[int, int] = {}
        # Some at a time: while Redis answers, and answers are read, no shard ticks.
        for first in range(0, len(shards), SHARDS_AT_ONCE):
            some = shards[first : first + SHARDS_AT_ONCE]
            events_waiting |= await self._keep_some_ticking(some, taken, run_id)
        return events_waiting

    async def _keep_some_ticking(
        self, shards: list[int], taken: set[int], run_id: str
    ) -> dict[int, int]:
        pipe = self.pool.state_redis.pipeline(transaction=False)
        for shard in shards:
            pipe.hmget(keys.shard_head(shard), ["run_id", "next_due", "slot"])
            pipe.llen(keys.shard_inbox(shard))
            pipe.xlen(keys.shard_events(shard))
        answers: list[Any] = await pipe.execute()
        now = self.pool.clock.now()
        due: list[jobs.Job] = []
        events_waiting: dict[int, int] = {}
        for place, shard in enumerate(shards):
            (head_run, next_due, slot), inbox, waiting = answers[3 * place : 3 * place + 3]
            events_waiting[shard] = int(waiting)
            if head_run is None or head_run.decode() != run_id:
                self._recover(shard)
                continue
            self._watch_clock(shard, int(slot) - now)
            grace_s = 0.0 if partition_of(shard) in taken else GRACE_S
            late = bool(next_due) and int(next_due) + jobs.phase_s(shard) < now - grace_s
            if late or (inbox and int(slot) < int(now)):
                due.append(jobs.tick(shard, max(int(now), int(slot) + 1)))
        await self.pool.queue.enqueue(*due)
        return events_waiting

    def _watch_clock(self, shard: int, ahead_s: float) -> None:
        """Says once of a shard that its slots are covered far into the time to come: the clock of
        Redis was set back. Nothing of it is run until that time, or a slot would be run twice.
        """
        if ahead_s <= CLOCK_BACK_S:
            self._ahead.discard(shard)
        elif shard not in self._ahead:
            self._ahead.add(shard)
            text = "shard %d stands still for %d s: the clock of Redis was set back by so much"
            logger.error(text, shard, round(ahead_s), extra={"shard": shard})

    def _recover(self, shard: int) -> None:
        """Starts the recovery of a shard, unless one is under way; it may have to wait."""
        running = self._recovering.get(shard)
        if running is not None and not running.done():
            return
        task = asyncio.create_task(self._recover_and_seed(shard))
        self._recovering[shard] = task

    async def _recover_and_seed(self, shard: int) -> bool:
        pool = self.pool
        try:
            opened = await recover_shard(pool.database, pool.shards, shard)
        except SchemaUnknown as error:
            pool.step_aside(str(error))
            return False
        except (AdapterError, *AWAY) as error:
            said = {"shard": shard}
            logger.warning("shard %d waits for its recovery: %s", shard, error, extra=said)
            return False
        pool.known.forget(shard)
        if opened:
            text = "shard %d opened: it is new, or Redis was started anew"
            logger.info(text, shard, extra={"shard": shard})
            await pool.queue.enqueue(jobs.catch_up(shard, pool.clock.slot()))
        return opened

    def _look_into_the_record(self, run_id: str) -> None:
        """Starts the comparison when it is time, at once after a restart of Redis. PostgreSQL may
        take its time to be away, and frames and late shards do not wait for it.
        """
        now = self.pool.clock.now()
        looking = self._looking is not None and not self._looking.done()
        due = now - self._recorded_at >= RECORD_EVERY_S or run_id != self._recorded_run
        if due and not looking:
            self._recorded_at = now
            self._looking = asyncio.create_task(self._keep_directory(run_id))

    async def _keep_directory(self, run_id: str) -> None:
        """Shards that PostgreSQL has and the directory lacks: Redis was lost, or one is new."""
        try:
            on_record = await shard_records.all_shards(self.pool.database)
        except DatabaseAway as error:
            logger.warning("PostgreSQL is away, the directory of shards may be old: %s", error)
            return
        try:
            missing = {s.shard for s in on_record} - set(await self.pool.shards.open_shards())
            await self.pool.shards.add_to_directory(missing)
            self._recorded_run = run_id
        except AWAY as error:
            logger.warning("Redis does not answer, its directory of shards waits: %s", error)

    async def _keep_chains(self) -> None:
        """The chain of frames, and the chores that run once a period."""
        now_ms = int(self.pool.clock.now() * 1000)
        await self.pool.queue.enqueue(
            *(jobs.frame(now_ms // 1000 + ahead) for ahead in range(1, FRAMES_AHEAD + 1)),
            jobs.chore(jobs.SWEEP, now_ms, SWEEP_MS),
            jobs.chore(jobs.REPAIR, now_ms, REPAIR_MS),
            jobs.chore(jobs.ARCHIVE, now_ms, ARCHIVE_MS),
            jobs.chore(jobs.PRUNE, now_ms, PRUNE_MS),
        )

    async def report(self) -> None:
        """Writes the worker's counters where operators and benchmarks read them."""
        body = {"name": self.pool.name, "owned": sorted(self.owned), **self.pool.stats.report()}
        key = keys.worker_report(self.pool.name)
        await command(
            self.pool.state_redis, "SET", key, msgspec.json.encode(body), "EX", REPORT_TTL_S
        )


async def run_sentinel(sentinel: Sentinel, serve: Any, stopping: asyncio.Event) -> None:
    """The loop: beat, start and stop the arq workers of what came and went, mend, report.

    serve: an awaitable function of (taken, lost) that starts and stops workers.
    """
    while not stopping.is_set():
        try:
            taken, lost = await sentinel.beat()
            await serve(taken, lost)
            await sentinel.watch(taken)
            await sentinel.report()
        except AWAY as error:
            logger.warning("Redis does not answer, leases and chores wait: %s", error)
        try:
            async with asyncio.timeout(SENTINEL_PERIOD_S):
                await stopping.wait()
        except TimeoutError:
            continue
