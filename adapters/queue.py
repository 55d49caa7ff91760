"""Job queues: names, ids and payloads of every arq job, declared once.

arq gives at-least-once and nothing more, so an id only keeps a queue from filling with copies;
what a job does is guarded where it commits. Payloads are msgpack (arq's default, pickle, would
let anyone who can write to Redis run code). Jobs are due by the clock of Redis.
"""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from arq.jobs import serialize_job

from adapters import redis_keys as keys
from adapters.redis_client import Redis, connection_pool, script

TICK, FRAME, LEDGER = "tick_shard", "make_frame", "store_events"
REPAIR, SWEEP, PRUNE = "push_unapplied", "sweep_streams", "prune_history"
ARCHIVE = "archive_market"
"""Names of the job functions."""

MARKET_QUEUE, LEDGER_QUEUE, CHORE_QUEUE = (
    keys.queue("market"),
    keys.queue("ledger"),
    keys.queue("chores"),
)

KEPT_AFTER_DUE_MS = 60_000
"""A job that nobody has started a minute after it was due is worth nothing: slots move on."""

ARQ_CONNECTIONS_MAX = 16
"""Of the worker of one queue. A job holds one for moments; those beyond wait in line."""
JOBS_AT_ONCE = 256
"""Jobs of one round trip: nobody else is served while Redis takes them."""

SILENCE_S = 2.0
"""After so long without a bell the connection is asked whether it lives."""

LEDGER_PERIOD_MS = 250
"""The ledger runs at most so often; the events of a period are stored together."""

FEW_SHARDS = 32
"""Shards below this number tick early in their slot, the others where there is room: hundreds in
half a second queue up in it, and leave the other half idle.
"""
FEW_WITHIN_S, MANY_WITHIN_S = 0.5, 0.85
"""Seconds over which they are spread; a shard that ticks last still has some of its slot left."""

encode_job = msgspec.msgpack.Encoder(enc_hook=repr).encode
decode_job: Callable[[bytes], dict[str, Any]] = msgspec.msgpack.Decoder().decode


@dataclass(frozen=True, slots=True)
class Job:
    """One enqueued call. due_ms is Unix milliseconds by the clock of Redis; None is now."""

    queue: str
    id: str
    task: str
    args: tuple[int, ...] = ()
    due_ms: int | None = None


def partition_of(shard: int) -> int:
    """The partition whose queue a shard's ticks go through."""
    return shard % keys.TICK_PARTITIONS


def phase_s(shard: int) -> float:
    """When inside its slot a shard ticks: spread, so that they do not burst. Follows from its
    number alone, since everybody has to come to the same moment.
    """
    return (shard * 0.618) % 1.0 * (FEW_WITHIN_S if shard < FEW_SHARDS else MANY_WITHIN_S)


def due_ms(shard: int, slot: int) -> int:
    """The moment at which a shard's tick of a slot is due."""
    return slot * 1000 + round(phase_s(shard) * 1000)


def tick(shard: int, slot: int) -> Job:
    """The tick of one shard in one slot."""
    queue = keys.tick_queue(partition_of(shard))
    return Job(queue, f"tick:{shard}:{slot}", TICK, (shard, slot), due_ms(shard, slot))


def wake(shard: int, number: int, stamp: int) -> Job:
    """A tick for a command that cannot wait: now, or when the slot of its stamp begins.

    Its id is its own: the slot's may be taken by a job that has read the inbox already.
    """
    queue = keys.tick_queue(partition_of(shard))
    return Job(queue, f"wake:{shard}:{number}", TICK, (shard, stamp), stamp * 1000)


def catch_up(shard: int, slot: int) -> Job:
    """The rest of a catch-up that was cut into chunks: at once."""
    queue = keys.tick_queue(partition_of(shard))
    return Job(queue, f"catchup:{shard}:{slot}", TICK, (shard, slot))


def frame(slot: int) -> Job:
    """The frame of one slot, made at its beginning."""
    return Job(MARKET_QUEUE, f"frame:{slot}", FRAME, (slot,), slot * 1000)


def ledger(now_ms: int) -> Job:
    """The next run of the ledger; all who ask within one period share it."""
    period = now_ms // LEDGER_PERIOD_MS + 1
    return Job(LEDGER_QUEUE, f"ledger:{period}", LEDGER, (), period * LEDGER_PERIOD_MS)


def chore(task: str, now_ms: int, period_ms: int) -> Job:
    """A chore that runs once in each period, whoever asks for it how often."""
    period = now_ms // period_ms + 1
    return Job(CHORE_QUEUE, f"{task}:{period}", task, (), period * period_ms)


class JobQueue:
    """Enqueues jobs for arq workers, many in one round trip."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._script = script(redis, "enqueue")
        self._listeners: dict[str, Callable[[int], None]] = {}
        self._asked: dict[str, str] = {}

    def listen(self, queue: str, note_due: Callable[[int], None]) -> None:
        """A worker of this process serves a queue; it is told of jobs enqueued here."""
        self._listeners[queue] = note_due

    def unlisten(self, queue: str) -> None:
        """The worker of a queue has ended."""
        self._listeners.pop(queue, None)

    async def enqueue(self, *jobs: Job) -> None:
        """Puts jobs into their queues; one whose id is there already is left alone.

        Each rings the bell of its queue with the moment it is due; a worker in this process
        hears of its own jobs without Redis.
        """
        for first in range(0, len(jobs), JOBS_AT_ONCE):
            some = jobs[first : first + JOBS_AT_ONCE]
            names = [name for job in some for name in (job.queue, job_key_prefix + job.id)]
            args: list[Any] = [KEPT_AFTER_DUE_MS]
            for job in some:
                args += self._words(job)
            due_times: list[int] = await self._script(keys=names, args=args)
            for job, at_ms in zip(some, due_times, strict=True):
                if at_ms and job.queue in self._listeners:
                    self._listeners[job.queue](at_ms)

    async def ask(self, job: Job) -> None:
        """Enqueues a job that many ask for, unless it is the one that was asked for last here."""
        if self._asked.get(job.queue) != job.id:
            await self.enqueue(job)
            self._asked[job.queue] = job.id

    def _words(self, job: Job) -> tuple[str, str | int, bytes, str]:
        payload = serialize_job(
            job.task, job.args, {}, None, job.due_ms or 0, serializer=encode_job
        )
        bell = "" if job.queue in self._listeners else keys.queue_bell(job.queue)
        return job.id, "" if job.due_ms is None else job.due_ms, payload, bell


async def tick_queue_lag_s(redis: Redis) -> float:
    """How long the oldest tick job waits beyond its moment, in seconds by the clock of Redis; 0
    while all are on time. Raises what AWAY names.
    """
    async with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        for partition in range(keys.TICK_PARTITIONS):
            pipe.zrange(keys.tick_queue(partition), 0, 0, withscores=True)
        (seconds, micros), *first = await pipe.execute()
    now_ms = seconds * 1000 + micros / 1000
    waits_ms: list[float] = [now_ms - due_ms for found in first for _, due_ms in found]
    return max([0.0, *waits_ms]) / 1000


async def bells(redis: Redis) -> AsyncGenerator[tuple[str, float], None]:
    """(queue, Unix milliseconds at which a job is due) of each ring, of every queue.

    Silence is no fault: an idle pool rings seldom. A connection that does not answer a ping within
    SILENCE_S is one.

    Raises:
        what AWAY names: the connection is lost, and so may be rings.
    """
    async with redis.pubsub() as subscription:
        await subscription.psubscribe(keys.queue_bell(keys.queue("*")))
        asked = False
        while True:
            message = await subscription.get_message(timeout=SILENCE_S)
            if message is None:
                if asked:
                    raise ConnectionError("the subscription is silent")
                await subscription.ping()
            asked = message is None
            if message is not None and message["type"] == "pmessage":
                queue = message["channel"].decode().removesuffix(keys.queue_bell(""))
                yield queue, float(message["data"])


async def open_arq(url: str) -> ArqRedis:
    """arq's own connections to a queue's Redis, for one worker; nothing is connected yet.

    Ours instead of those of arq's create_pool, which wait for ever for a server that hangs.
    """
    pool = connection_pool(url, max_connections=ARQ_CONNECTIONS_MAX)
    client = ArqRedis(pool, job_serializer=encode_job, job_deserializer=decode_job)
    client.auto_close_connection_pool = True
    return client
