"""A tick on a machine whose clock stands wrong: asked of Redis once more before it is dropped."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from adapters.redis_client import Redis
from adapters.redis_clock import RedisClock
from workers.tick_job import EARLIEST_S, tick_shard

NOW = 1_800_000_000
HOUR_S = 3_600


class Machine:
    """A worker whose monotonic clock can jump, as that of a machine that slept does."""

    def __init__(self) -> None:
        self.redis_s = float(NOW)
        self.monotonic_s = 100.0
        self.read: list[int] = []
        redis = SimpleNamespace(time=self._time)
        self.clock = RedisClock(
            cast(Redis, redis), monotonic=lambda: self.monotonic_s, wall=lambda: self.redis_s
        )

        async def read(shard: int, known: object) -> None:
            self.read.append(shard)

        lock = asyncio.Lock()
        known = SimpleNamespace(
            get=lambda shard: None, due=lambda shard, slot: None, forget=lambda shard: None
        )
        self.pool: Any = SimpleNamespace(
            clock=self.clock,
            shards=SimpleNamespace(read=read),
            known=known,
            shard_lock=lambda shard: lock,
            next_in_turn=set(),
            turns=asyncio.Semaphore(1),
        )

    async def _time(self) -> tuple[int, int]:
        return int(self.redis_s), int(self.redis_s % 1 * 1e6)

    async def tick(self, slot: int) -> list[int]:
        await tick_shard({"pool": self.pool}, 7, slot)
        return self.read


@pytest.fixture
async def machine() -> Machine:
    machine = Machine()
    await machine.clock.refresh()
    return machine


async def test_a_machine_that_slept_ticks_at_once(machine: Machine) -> None:
    """Its clock stood still meanwhile, so that a job that is due looks an hour early."""
    machine.redis_s += HOUR_S
    assert await machine.tick(NOW + HOUR_S) == [7]
    assert machine.clock.slot() == NOW + HOUR_S


async def test_a_job_of_a_slot_to_come_is_dropped(machine: Machine) -> None:
    async with asyncio.timeout(EARLIEST_S / 2):
        assert await machine.tick(NOW + HOUR_S) == []
