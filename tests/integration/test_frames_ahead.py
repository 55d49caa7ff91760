"""A worker that is killed takes no frame with it: those of the next slots are ordered already."""

from adapters import redis_keys as keys
from adapters.redis_client import command
from adapters.settings import Settings
from tests.conftest import wait_for
from tests.integration.pool import open_test_pool
from workers.settings import LEASE_MS


async def test_frames_are_ordered_until_another_worker_takes_over(settings: Settings) -> None:
    async with open_test_pool(settings) as pool:
        pool.start()

        async def ordered() -> bool:
            jobs = await command(pool.pool.queue_redis, "ZRANGE", keys.queue("market"), 0, -1)
            slots = {int(job.rpartition(b":")[2]) for job in jobs}
            now = pool.pool.clock.now()
            return set(range(int(now) + 1, int(now + LEASE_MS / 1000) + 2)) <= slots

        await wait_for(ordered, seconds=5, what="frames in the queue for as long as a lease lasts")
