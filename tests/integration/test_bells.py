"""Bells tell a worker of jobs that another process has enqueued; silence between them is normal."""

import asyncio
import logging
import time

import pytest

from adapters import queue as jobs
from adapters import redis_keys as keys
from adapters.redis_client import command, open_redis
from adapters.settings import Settings
from tests.conftest import wait_for
from tests.integration.pool import open_test_pool
from workers import process as worker_process


async def test_a_silence_longer_than_the_sockets_patience_ends_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(jobs, "SILENCE_S", 0.25)
    async with open_test_pool(settings) as test_pool:
        pool = test_pool.pool
        ours = pool.queue_redis
        pool.queue_redis = open_redis(settings.queue_redis_url, timeout_s=0.3)
        process = worker_process.WorkerProcess(pool, {"ledger"})
        with caplog.at_level(logging.WARNING):
            running = asyncio.create_task(process.run())

            async def listens() -> int:
                return int(await command(ours, "PUBSUB", "NUMPAT"))

            await wait_for(listens)
            quiet_until = time.monotonic() + 1.0
            await wait_for(lambda: time.monotonic() > quiet_until)
            assert await listens() == 1
            heard: list[float] = []
            worker, _ = process._workers[jobs.LEDGER_QUEUE]
            monkeypatch.setattr(worker, "note_due", heard.append)
            await command(ours, "PUBLISH", keys.queue_bell(jobs.LEDGER_QUEUE), "123")
            await wait_for(lambda: heard == [123.0])
            monkeypatch.undo()
            process.stopping.set()
            await running
        assert "no bells" not in caplog.text
        await pool.queue_redis.aclose()
        pool.queue_redis = ours
