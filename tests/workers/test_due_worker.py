"""The arq worker that sleeps until the next job is due."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from arq.worker import func

from adapters.queue import Job, JobQueue, open_arq
from adapters.redis_client import Redis, command, open_redis
from tests.conftest import wait_for
from workers.due_worker import DueWorker
from workers.settings import QueueSettings

QUEUE = QueueSettings("artic:queue:test", max_jobs=4, timeout_s=1, max_tries=2)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


class Bench:
    """A worker whose jobs note when they ran, by the clock of Redis."""

    def __init__(self, redis: Redis, url: str) -> None:
        self.redis = redis
        self.queue = JobQueue(redis)
        self.ran: list[tuple[int, float]] = []
        self.hold = asyncio.Event()
        self.hold.set()
        functions, opened = [func(self.note, name="note")], partial(open_arq, url)
        self.worker = DueWorker(functions, QUEUE, opened, {"name": "w"})
        self.task = asyncio.create_task(self.worker.main())

    async def now_ms(self) -> float:
        seconds, micros = await command(self.redis, "TIME")
        return int(seconds) * 1000 + int(micros) / 1000

    async def note(self, ctx: dict[str, Any], number: int) -> None:
        self.ran.append((number, await self.now_ms()))
        await self.hold.wait()

    async def enqueue(self, number: int, due_ms: int | None = None) -> None:
        await self.queue.enqueue(Job(QUEUE.name, f"note:{number}", "note", (number,), due_ms))

    def numbers(self) -> list[int]:
        return sorted(number for number, _ in self.ran)


@pytest.fixture
async def bench(redis: Redis, redis_url: str) -> AsyncIterator[Bench]:
    bench = Bench(redis, redis_url)
    yield bench
    bench.hold.set()
    await bench.worker.drain(bench.task, 1)


async def test_a_job_runs_when_it_is_due_not_at_the_next_poll(bench: Bench) -> None:
    bench.queue.listen(QUEUE.name, bench.worker.note_due)
    due_ms = int(await bench.now_ms()) + 150
    await bench.enqueue(1, due_ms)
    await wait_for(lambda: bench.ran)
    late_ms = bench.ran[0][1] - due_ms
    assert 0 <= late_ms < 100, late_ms


async def test_a_job_from_elsewhere_is_found_without_a_bell(bench: Bench) -> None:
    await bench.enqueue(1)
    await wait_for(lambda: bench.ran, seconds=2)


async def test_more_jobs_than_places_all_run(bench: Bench) -> None:
    bench.queue.listen(QUEUE.name, bench.worker.note_due)
    for number in range(20):
        await bench.enqueue(number)
    await wait_for(lambda: len(bench.ran) == 20)
    assert bench.numbers() == list(range(20))


async def test_a_full_worker_goes_on_when_a_place_is_free(bench: Bench) -> None:
    bench.queue.listen(QUEUE.name, bench.worker.note_due)
    bench.hold.clear()
    for number in range(6):
        await bench.enqueue(number)
    await wait_for(lambda: len(bench.ran) == QUEUE.max_jobs)
    bench.hold.set()
    await wait_for(lambda: len(bench.ran) == 6, seconds=1)


async def test_a_finished_job_leaves_nothing_behind(bench: Bench, redis: Redis) -> None:
    bench.queue.listen(QUEUE.name, bench.worker.note_due)
    await bench.enqueue(1)
    await wait_for(lambda: bench.ran)

    async def left() -> bool:
        return [key async for key in redis.scan_iter("arq:*")] == []

    await wait_for(left)
    assert await command(redis, "ZCARD", QUEUE.name) == 0


async def test_a_drained_worker_lets_its_job_end_and_takes_no_other(bench: Bench) -> None:
    bench.queue.listen(QUEUE.name, bench.worker.note_due)
    bench.hold.clear()
    await bench.enqueue(1)
    await wait_for(lambda: bench.ran)
    draining = asyncio.create_task(bench.worker.drain(bench.task, 5))
    await asyncio.sleep(0)
    await bench.enqueue(2)
    bench.hold.set()
    await draining
    assert bench.numbers() == [1]
