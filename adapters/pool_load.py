"""How the pool is doing, out of Redis: its workers, what they did and what still waits.

What is read here is written by workers and jobs for themselves; nothing of it decides anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from adapters import redis_keys as keys
from adapters.queue import tick_queue_lag_s
from adapters.redis_client import Redis, command


class WorkerReport(msgspec.Struct, frozen=True):
    """What a worker has done since it started. lag_ms: slots run, by the milliseconds from the
    moment a tick was due to its commit; refusals: commits that were refused, by reason.
    """

    name: str
    owned: list[int]
    ticks: int
    commits: int
    events: int
    commands: int
    missed_slots: int
    refusals: dict[str, int]
    lag_ms: dict[int, int]


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """The pool at one moment. frame_age_s: since the newest slot with prices, None before the
    first; events_waiting: for the ledger; redis_bytes_max: 0 for no limit.
    """

    workers: list[WorkerReport]
    partitions_free: int
    tick_queue_lag_s: float
    events_waiting: int
    frame_age_s: float | None
    redis_bytes: int
    redis_bytes_max: int


async def read_load(state_redis: Redis, queue_redis: Redis) -> PoolLoad:
    """Asks once. Raises what AWAY names."""
    lag_s = await tick_queue_lag_s(queue_redis)
    leases = [keys.partition_lease(partition) for partition in range(keys.TICK_PARTITIONS)]
    owners: list[bytes | None] = await command(queue_redis, "MGET", *leases)
    names: list[bytes] = await command(queue_redis, "ZRANGE", keys.workers(), 0, -1)
    shards: list[bytes] = list(await command(state_redis, "SMEMBERS", keys.shards()))
    pipe = state_redis.pipeline(transaction=False)
    pipe.time()
    pipe.info("memory")
    pipe.get(keys.market_newest())
    for name in names:
        pipe.get(keys.worker_report(name.decode()))
    for shard in shards:
        pipe.xlen(keys.shard_events(int(shard)))
    (seconds, _), memory, newest, *rest = await pipe.execute()
    reports = [each for each in rest[: len(names)] if each is not None]
    return PoolLoad(
        workers=[msgspec.json.decode(each, type=WorkerReport) for each in reports],
        partitions_free=sum(owner is None for owner in owners),
        tick_queue_lag_s=lag_s,
        events_waiting=sum(map(int, rest[len(names) :])),
        frame_age_s=None if newest is None else float(seconds - int(newest)),
        redis_bytes=_number(memory, "used_memory"),
        redis_bytes_max=_number(memory, "maxmemory"),
    )


def _number(info: Mapping[str, Any], name: str) -> int:
    return int(info.get(name, 0))
