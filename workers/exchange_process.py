"""`python -m workers.exchange_process WRITER`: the one process that loads ccxt. With --probe
instead of a writer it only asks the exchange for its symbols.

Streams an exchange's prices into the live table in the name of a worker that holds the lease.
Ends with 0 when nothing was asked of it for a while, or the lease is somebody else's.
"""

import asyncio
import logging
import os
import signal
import sys
from typing import Final

import uvloop

from adapters.errors import AdapterError, FeedError
from adapters.exchange_ccxt import open_exchange
from adapters.live_table import LiveTable
from adapters.log import configure_logging
from adapters.price_exchange import ExchangeFeed
from adapters.redis_client import AWAY, open_redis
from adapters.redis_clock import RedisClock
from adapters.settings import Settings, SettingsError, load_settings
from workers.live_feed import LeaseLost, LiveFeed, exchange_feed

logger = logging.getLogger(__name__)

IDLE_S: Final = 60.0
"""It ends when it had nothing to do for so long; starting takes a second or two."""
LOOK_EVERY_S: Final = 1.0
CLOCK_EVERY_S: Final = 10.0


async def serve(settings: Settings, writer: str) -> None:
    """Until it is idle, canceled or another process has the lease."""
    open_exchange(settings.exchange)  # first: seconds in which nothing else here gets a turn
    redis = open_redis(settings.redis_url)
    try:
        clock = RedisClock(redis)
        await clock.refresh()
        table = LiveTable(redis)
        feed = LiveFeed(
            table,
            writer,
            exchange_feed(settings, clock.now),
            jump_pct=settings.price_jump_pct,
            clock=clock.now,
        )
        tasks = [
            asyncio.create_task(feed.run()),
            asyncio.create_task(_until_idle(settings, table, clock)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await redis.aclose()


async def _until_idle(settings: Settings, table: LiveTable, clock: RedisClock) -> None:
    """Returns when nobody has needed this process for some time."""
    loop = asyncio.get_running_loop()
    used_at = measured_at = loop.time()
    while loop.time() - used_at < IDLE_S:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            if loop.time() - measured_at > CLOCK_EVERY_S:
                await clock.refresh()
                measured_at = loop.time()
            known = await table.known_symbols(settings.exchange)
            if known is None or await table.followed(clock.now()):
                used_at = loop.time()
        except AWAY as error:
            logger.warning("Redis does not answer: %s", error)
    logger.info("nothing to do for %g s: the exchange's process ends", IDLE_S)


async def probe(settings: Settings) -> None:
    """Raises FeedError when the exchange does not say its symbols."""
    open_exchange(settings.exchange)
    print("loaded", flush=True)
    feed = ExchangeFeed(settings.exchange, settings.exchange_url, lambda updates: None)
    if not await feed.list_symbols():
        raise FeedError(f"{settings.exchange} has no spot markets")


async def run(settings: Settings, writer: str) -> None:
    """Serves until SIGTERM or SIGINT."""
    serving = asyncio.create_task(serve(settings, writer))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        logger.info("the exchange's process was told to end")


def main() -> int:
    """Returns the exit code; what a person can mend is one line on standard error."""
    try:
        settings = load_settings(os.environ, needs=("ARTIC_REDIS_URL",))
        configure_logging(settings)
        is_probe = sys.argv[1] == "--probe"
        uvloop.run(probe(settings) if is_probe else run(settings, sys.argv[1]))
    except LeaseLost as error:
        logger.info("%s", error)
    except (AdapterError, SettingsError, *AWAY) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
