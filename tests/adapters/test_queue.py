"""Jobs that we enqueue are arq's own, in fewer round trips."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from redis.asyncio import BlockingConnectionPool

from adapters import queue as jobs
from adapters.queue import JobQueue, open_arq
from adapters.redis_client import AWAY, Redis, command, open_redis
from tests.conftest import wait_for
from tests.servers.memory_redis import Command, MemoryRedis, Session
from tests.servers.redis_wire import MemoryConnection, PlainLink


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


async def test_arq_reads_what_we_enqueue(redis: Redis, redis_url: str) -> None:
    job = jobs.tick(5, 2_000_000_000)
    await JobQueue(redis).enqueue(job, job)
    pool = await open_arq(redis_url)
    (queued,) = await pool.queued_jobs(queue_name=job.queue)
    assert (queued.function, list(queued.args), queued.job_id) == (
        "tick_shard",
        [5, 2_000_000_000],
        job.id,
    )
    assert queued.score == job.due_ms
    await pool.aclose()


async def test_the_lag_is_that_of_the_oldest_job(redis: Redis) -> None:
    assert await jobs.tick_queue_lag_s(redis) == 0.0
    now = int((await command(redis, "TIME"))[0])
    await JobQueue(redis).enqueue(jobs.tick(5, now + 100))
    assert await jobs.tick_queue_lag_s(redis) == 0.0, "nothing is due"
    await JobQueue(redis).enqueue(jobs.tick(5, now - 3), jobs.wake(2, 1, now - 40))
    assert 40 <= await jobs.tick_queue_lag_s(redis) < 45


async def test_arq_refuses_an_id_that_we_have_enqueued(redis: Redis, redis_url: str) -> None:
    job = jobs.wake(3, 17, 2_000_000_000)
    await JobQueue(redis).enqueue(job)
    pool = await open_arq(redis_url)
    assert await pool.enqueue_job("other", _job_id=job.id, _queue_name=job.queue) is None
    await pool.aclose()


async def test_a_worker_of_the_same_process_hears_without_redis(redis: Redis) -> None:
    queue = JobQueue(redis)
    heard: list[int] = []
    job = jobs.tick(0, 2_000_000_000)
    queue.listen(job.queue, heard.append)
    await queue.enqueue(job, jobs.tick(1, 2_000_000_000))
    assert heard == [job.due_ms]


async def test_bells_are_heard_after_a_silence_longer_than_a_command_may_take(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "SILENCE_S", 0.3)
    listening = open_redis(redis_url, timeout_s=0.2)
    ringing = open_redis(redis_url)
    heard = jobs.bells(listening)
    first = asyncio.ensure_future(anext(heard))
    done, _ = await asyncio.wait({first}, timeout=0.8)
    assert not done, "silence is taken for a fault"
    job = jobs.tick(0, 2_000_000_000)
    await JobQueue(ringing).enqueue(job)
    assert await asyncio.wait_for(first, 5) == (job.queue, job.due_ms)
    await heard.aclose()
    await listening.aclose()
    await ringing.aclose()


async def test_a_connection_that_answers_no_ping_is_given_up(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "SILENCE_S", 0.05)
    listening, ringing = open_redis(redis_url), open_redis(redis_url)
    heard = jobs.bells(listening)
    first = asyncio.ensure_future(anext(heard))
    await wait_for(lambda: command(ringing, "PUBSUB", "NUMPAT"), what="a subscription")
    await command(ringing, "CLIENT", "PAUSE", "400", "ALL")
    with pytest.raises(AWAY):
        await asyncio.wait_for(first, 5)
    await listening.aclose()
    await ringing.aclose()


@pytest.mark.parametrize(("shards", "within_s"), [(32, 0.5), (64, 0.85), (500, 0.85)])
def test_shards_are_spread_over_a_slot_and_few_over_its_first_half(
    shards: int, within_s: float
) -> None:
    phases = sorted(jobs.phase_s(shard) for shard in range(shards))
    assert phases[0] >= 0 and phases[-1] < within_s
    gaps = [b - a for a, b in itertools.pairwise(phases)]
    assert max(gaps) < 4 * within_s / shards


def test_no_tenth_of_a_slot_is_crowded_in_any_half_of_the_partitions() -> None:
    for partitions in itertools.combinations(range(8), 4):
        mine = [shard for shard in range(500) if jobs.partition_of(shard) in partitions]
        places = [int(jobs.phase_s(shard) * 10) for shard in mine]
        fullest = max(places.count(place) for place in range(9))
        assert fullest < 1.5 * len(mine) / 8.5


class LinkThatHangs(PlainLink):
    """Never hears of a script's answer, as long as it hangs."""

    hangs = True

    async def send(self, session: Session, commands: Sequence[Command]) -> None:
        if self.hangs and commands[0][0] == b"EVALSHA":
            await asyncio.Event().wait()
        await super().send(session, commands)


async def test_an_enqueue_that_is_canceled_gives_its_connection_back() -> None:
    link = LinkThatHangs(MemoryRedis(time.time, "f" * 40))
    pool = BlockingConnectionPool(
        connection_class=MemoryConnection, link=link, max_connections=1, timeout=1
    )
    queue, two = JobQueue(Redis.from_pool(pool)), [jobs.tick(n, 2_000_000_000) for n in range(2)]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.enqueue(*two), 0.01)
    link.hangs = False
    await queue.enqueue(*two)
