"""`python -m workers run [--queues tick,market,ledger,chores]` and `python -m workers pause`.

The composition root of a worker process.
"""

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import uvloop

from adapters.db.connection import close_database, open_database
from adapters.errors import AdapterError
from adapters.log import configure_logging
from adapters.market_store import MarketStore
from adapters.price_choice import (
    AUTO,
    check_prices,
    forget_choice,
    open_prices,
    says,
    settle,
)
from adapters.queue import JobQueue, open_arq
from adapters.redis_client import AWAY, open_redis
from adapters.redis_clock import RedisClock
from adapters.settings import Settings, SettingsError, load_settings
from adapters.shard_store import ShardStore
from workers.alive import touch_while_alive
from workers.anchors import AnchorKeeper
from workers.archive_job import archive_rest
from workers.context import PoolContext
from workers.exchange_child import probe_exchange
from workers.plan_book import PlanBook
from workers.process import WorkerProcess
from workers.settings import QUEUES

logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_pool(settings: Settings) -> AsyncIterator[PoolContext]:
    """Everything one worker process needs, closed in reverse order."""
    state_redis = open_redis(settings.redis_url)
    queue_redis = open_redis(settings.queue_redis_url)
    clock = RedisClock(state_redis)
    await clock.refresh()
    choice = None
    check_prices(settings)
    if settings.price_source == AUTO:
        settings, choice = await settle(settings, state_redis, partial(probe_exchange, settings))
        logger.info("%s", says(settings, choice))
    database = await open_database(settings.database_url)
    source = open_prices(settings, state_redis)
    anchors = AnchorKeeper(database)
    market = MarketStore(state_redis, source, on_anchor=anchors.save, anchor_of_record=anchors.load)
    try:
        yield PoolContext(
            name=f"{socket.gethostname()}-{os.getpid()}",
            settings=settings,
            state_redis=state_redis,
            queue_redis=queue_redis,
            clock=clock,
            shards=ShardStore(state_redis, settings.row_schema),
            market=market,
            plans=PlanBook(state_redis, market),
            queue=JobQueue(queue_redis),
            database=database,
            open_arq=partial(open_arq, settings.queue_redis_url),
            choice=choice,
        )
    finally:
        await close_database(database)
        await state_redis.aclose()
        await queue_redis.aclose()


async def run(settings: Settings, queues: Collection[str], alive_file: Path | None) -> None:
    """Serves queues until SIGTERM or SIGINT."""
    async with open_pool(settings) as pool:
        process = WorkerProcess(pool, queues)
        # Objects that live as long as the process are not worth a look of the collector, and a
        # full collection inside a tick is lag.
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 50)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, process.stopping.set)
        logger.info("worker %s serves %s", pool.name, ", ".join(queues))
        if alive_file is None:
            await process.run()
            return
        try:
            alive_file.touch()
        except OSError as error:
            raise SettingsError(f"--alive-file: {error}") from error
        alive = asyncio.create_task(touch_while_alive(alive_file))
        try:
            await process.run()
        finally:
            alive.cancel()
            await asyncio.gather(alive, return_exceptions=True)


async def pause(settings: Settings) -> None:
    """Marks an orderly stop of the whole pool: the slots until the next start are paused. Then
    the last minutes go into the archive.
    """
    redis = open_redis(settings.redis_url)
    try:
        store = ShardStore(redis)
        await store.pause(await store.open_shards())
        await forget_choice(redis)
        clock = RedisClock(redis)
        await clock.refresh()
        database = await open_database(settings.database_url)
        try:
            await archive_rest(database, store, clock.slot())
        finally:
            await close_database(database)
    finally:
        await redis.aclose()


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code; what a person can mend is one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("command", choices=("run", "pause"))
    parser.add_argument("--queues", default=",".join(QUEUES), help="which queues to serve")
    parser.add_argument("--alive-file", type=Path, help="touched while the process turns")
    options = parser.parse_args(argv)
    queues = [name.strip() for name in options.queues.split(",") if name.strip()]
    unknown = [name for name in queues if name not in QUEUES]
    if unknown or not queues:
        print(
            f"--queues: {', '.join(unknown) or 'none'}: choose of {', '.join(QUEUES)}",
            file=sys.stderr,
        )
        return 1
    try:
        settings = load_settings(os.environ)
        configure_logging(settings)
        if options.command == "run":
            uvloop.run(run(settings, queues, options.alive_file))
        else:
            uvloop.run(pause(settings))
    except (AdapterError, SettingsError, *AWAY) as error:
        print(f"artic worker: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
