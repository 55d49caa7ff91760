"""An arq worker that sleeps until its next job is due instead of polling.

Polling costs lag or CPU: at 10 ms it burns 5 % of a core for each idle queue and a job still
waits 5 ms on average. One script claims a batch of due jobs and answers when the next is due;
the worker sleeps until then, at most IDLE_CAP_S, or until a bell rings. How a claimed job is
run, retried and finished stays arq's.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.worker import Function, Worker

from adapters.queue import decode_job, encode_job
from adapters.redis_client import AWAY, Script, script
from workers.settings import QueueSettings

logger = logging.getLogger(__name__)

IDLE_CAP_MS = 500.0
"""Longest sleep: what a lost bell can cost."""
HEALTH_EVERY_S = 10


class DueWorker(Worker):
    """One queue's worker. Several share a process and an event loop, each with its own pool."""

    def __init__(
        self,
        functions: list[Function],
        queue: QueueSettings,
        open_pool: Callable[[], Awaitable[ArqRedis]],
        ctx: dict[str, Any],
    ) -> None:
        super().__init__(
            functions,
            queue_name=queue.name,
            handle_signals=False,
            max_jobs=queue.max_jobs,
            job_timeout=queue.timeout_s,
            keep_result=0,
            max_tries=queue.max_tries,
            health_check_interval=HEALTH_EVERY_S,
            health_check_key=f"{queue.name}:health:{ctx['name']}",
            job_serializer=encode_job,
            job_deserializer=decode_job,
            log_results=False,
            ctx=ctx,
        )
        # A job whose worker died is free again after this; ids differ for each slot, so nothing
        # waits for it.
        self.in_progress_timeout_s = queue.timeout_s + 1
        self._open_pool = open_pool
        self._wake = asyncio.Event()
        self._sleeps_until_ms = 0.0
        self._redis_minus_loop_ms = 0.0

    def note_due(self, due_ms: float) -> None:
        """A job of this queue was enqueued, due at a moment by the clock of Redis."""
        if due_ms < self._sleeps_until_ms:
            self._sleeps_until_ms = due_ms
            self._wake.set()

    async def main(self) -> None:
        """Claims, runs, sleeps; until it is cancelled or drained."""
        if self._pool is None:
            self._pool = await self._open_pool()
        claim = script(self.pool, "claim")
        self.ctx["redis"] = self.pool
        while self.allow_pick_jobs or self.tasks:
            # Set before the claim: what is enqueued while it is under way shortens this sleep.
            self._sleeps_until_ms = self._now_ms() + IDLE_CAP_MS
            try:
                if self.allow_pick_jobs and self.job_counter < self.max_jobs:
                    await self._claim_due(claim)
                await self.record_health()
            except AWAY as error:
                logger.warning("queue %s: Redis does not answer: %s", self.queue_name, error)
            self._reap()
            await self._sleep()

    def _now_ms(self) -> float:
        return self.loop.time() * 1000 + self._redis_minus_loop_ms

    async def _sleep(self) -> None:
        while (left_ms := self._sleeps_until_ms - self._now_ms()) > 0:
            try:
                async with asyncio.timeout(left_ms / 1000):
                    await self._wake.wait()
            except TimeoutError:
                return
            self._wake.clear()

    async def _claim_due(self, claim: Script) -> None:
        """Starts what is due, and sets when to look again."""
        answer = await claim(
            keys=[self.queue_name],
            args=[
                self.max_jobs - self.job_counter,
                self.queue_read_limit,
                int(self.in_progress_timeout_s * 1000),
                in_progress_key_prefix,
            ],
        )
        now_ms, later_ms = int(answer[0]), int(answer[1])
        self._redis_minus_loop_ms = now_ms - self.loop.time() * 1000
        self._sleeps_until_ms = min(self._sleeps_until_ms, now_ms + IDLE_CAP_MS)
        if later_ms >= 0:
            self._sleeps_until_ms = min(self._sleeps_until_ms, later_ms)
        for i in range(2, len(answer), 2):
            job_id = answer[i].decode()
            self.job_counter += 1
            task = self.loop.create_task(self.run_job(job_id, int(answer[i + 1])))
            task.add_done_callback(self._finished)
            self.tasks[job_id] = task

    def _finished(self, _task: asyncio.Task[None]) -> None:
        self.job_counter -= 1
        if self.job_counter >= self.max_jobs - 1 or not self.allow_pick_jobs:
            self.note_due(0)

    def _reap(self) -> None:
        """Drops finished tasks. A job's own errors are arq's; what is left is Redis being away."""
        for job_id, task in list(self.tasks.items()):
            if task.done():
                del self.tasks[job_id]
                if not task.cancelled() and (error := task.exception()) is not None:
                    logger.warning("job %s could not be finished: %s", job_id, error)

    async def drain(self, main_task: "asyncio.Task[None]", within_s: float) -> None:
        """Takes no more jobs, lets the running ones end, then closes its connections.

        main_task runs main(); what has not ended in time is canceled, and arq runs it again.
        """
        self.allow_pick_jobs = False
        self.note_due(0)
        await asyncio.wait([main_task, *self.tasks.values()], timeout=within_s)
        unfinished = [task for task in (main_task, *self.tasks.values()) if not task.done()]
        for task in unfinished:
            task.cancel()
        if unfinished:
            # Bounded: a task that connects to Redis just now may swallow its cancellation.
            await asyncio.wait(unfinished, timeout=within_s)
        if self._pool is not None:
            await self._pool.aclose()
