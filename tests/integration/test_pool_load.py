"""What the pool tells of itself is what its workers have done."""

from adapters.pool_load import PoolLoad, read_load
from adapters.settings import Settings
from tests.conftest import wait_for
from tests.integration.pool import open_test_pool


async def test_workers_are_heard(settings: Settings) -> None:
    async with open_test_pool(settings) as pool:
        pool.start()

        async def served() -> PoolLoad | None:
            load = await read_load(pool.pool.state_redis, pool.pool.queue_redis)
            is_served = load.workers and not load.partitions_free and load.frame_age_s is not None
            return load if is_served else None

        load = await wait_for(served, seconds=10, what="a worker serves every partition")
        assert load is not None
        [worker] = load.workers
        assert worker.name == pool.pool.name and len(worker.owned) == 8
        assert load.redis_bytes > 0 and load.events_waiting == 0
