"""One worker process: its arq workers, its sentinel, its orderly end.

A process serves the tick partitions whose leases it holds, an arq worker for each, and the
other queues beside other processes. It may be killed at any line; what SIGTERM adds is only
that nobody has to wait for a lease to run out.
"""

import asyncio
import logging
from collections.abc import Collection
from typing import Any

from arq.worker import func

from adapters import queue as jobs
from adapters import redis_keys as keys
from adapters.live_frames import LivePrices
from adapters.price_choice import keep_choice
from adapters.queue import bells
from adapters.redis_client import AWAY
from workers.archive_job import archive_market
from workers.chores import prune_history, push_unapplied, sweep_streams
from workers.context import PoolContext
from workers.due_worker import DueWorker
from workers.ledger_job import store_events
from workers.market_job import make_frame
from workers.sentinel import Sentinel, run_sentinel
from workers.settings import CHORES, DRAIN_S, LEDGER, MARKET, QueueSettings, tick_queue
from workers.tick_job import tick_shard

logger = logging.getLogger(__name__)

CLOCK_PERIOD_S = 10.0


class WorkerProcess:
    """Starts and stops arq workers as leases come and go."""

    def __init__(self, pool: PoolContext, queues: Collection[str]) -> None:
        self.pool = pool
        self.queues = queues
        self.stopping = asyncio.Event()
        self._workers: dict[str, tuple[DueWorker, asyncio.Task[None]]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._sentinel = Sentinel(pool)

    async def run(self) -> None:
        """Serves until `stopping` is set, then drains and gives everything back."""
        for name, settings, functions in (
            ("market", MARKET, [func(make_frame, name=jobs.FRAME)]),
            ("ledger", LEDGER, [func(store_events, name=jobs.LEDGER)]),
            (
                "chores",
                CHORES,
                [
                    func(push_unapplied, name=jobs.REPAIR),
                    func(sweep_streams, name=jobs.SWEEP),
                    func(archive_market, name=jobs.ARCHIVE),
                    func(prune_history, name=jobs.PRUNE),
                ],
            ),
        ):
            if name in self.queues:
                self._start(settings, functions)
        background = [asyncio.create_task(self._ring()), asyncio.create_task(self._keep_clock())]
        source = self.pool.market.source
        if "market" in self.queues and isinstance(source, LivePrices):
            # here, because the libraries of HTTP take 10 MB which no other source needs
            from workers.live_market import FeedKeeper, turn_of

            keeper = FeedKeeper(self.pool, source.table, turn_of(self.pool, source.table))
            background.append(asyncio.create_task(keeper.run()))
        try:
            if "tick" in self.queues:
                await run_sentinel(self._sentinel, self._serve, self.stopping)
            else:
                await self.stopping.wait()
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await self._end()

    def _start(self, settings: QueueSettings, functions: list[Any]) -> None:
        ctx = {"pool": self.pool, "name": self.pool.name}
        worker = DueWorker(functions, settings, self.pool.open_arq, ctx)
        task = asyncio.create_task(worker.main(), name=settings.name)
        self._workers[settings.name] = (worker, task)
        self.pool.queue.listen(settings.name, worker.note_due)

    async def _serve(self, taken: set[int], lost: set[int]) -> None:
        """The sentinel's word on which partitions came and went."""
        for partition in sorted(lost):
            # Not waited for: what its jobs still wait for must not cost the other leases.
            self._stop(keys.tick_queue(partition))
            self.pool.forget_partition(partition)
        for partition in sorted(taken):
            self._start(tick_queue(partition), [func(tick_shard, name=jobs.TICK)])
        for name, (_, task) in list(self._workers.items()):
            if task.done() and not self.stopping.is_set():
                # Not expected; a queue without a worker would stand still, so end the process
                # and let its supervisor start it anew.
                error = None if task.cancelled() else task.exception()
                raise RuntimeError(f"the worker of queue {name} has ended: {error!r}")

    def _stop(self, queue: str) -> None:
        """Takes no more of a queue's jobs; those under way have DRAIN_S to end."""
        worker, task = self._workers.pop(queue)
        self.pool.queue.unlisten(queue)
        ending = asyncio.create_task(_drain(worker, task))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _ring(self) -> None:
        """Listens to the bells of every queue over one connection."""
        while True:
            try:
                async for queue, due_ms in bells(self.pool.queue_redis):
                    if queue in self._workers:
                        self._workers[queue][0].note_due(due_ms)
            except AWAY as error:
                logger.warning("no bells while Redis is away: %s", error)
                await asyncio.sleep(1)

    async def _keep_clock(self) -> None:
        """Measures the offset to the clock of Redis, and keeps what `auto` stands for alive."""
        while True:
            try:
                await self.pool.clock.refresh()
                if self.pool.choice is not None:
                    await keep_choice(self.pool.state_redis, self.pool.choice)
            except AWAY as error:
                logger.warning("the clock of Redis cannot be read: %s", error)
            await asyncio.sleep(CLOCK_PERIOD_S)

    async def _end(self) -> None:
        for queue in list(self._workers):
            self._stop(queue)
        await asyncio.gather(*self._ending)
        try:
            await self._sentinel.keeper.leave()
        except AWAY as error:
            logger.warning("leases were not given back: %s", error)


async def _drain(worker: DueWorker, task: "asyncio.Task[None]") -> None:
    try:
        await worker.drain(task, DRAIN_S)
    except AWAY as error:
        logger.warning("queue %s was left without a word: %s", worker.queue_name, error)
