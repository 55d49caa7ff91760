"""`python -m workers.exchange_process WRITER`: the one process that loads ccxt. With --probe
instead of a writer it only asks the exchange for its symbols.

Streams an exchange's prices into the live table in the name of a worker that holds the lease, and
fetches candles that the worker's desk asks for.
Ends with 0 when nothing was asked of it for a while, or the lease is somebody else's.
"""

import asyncio
import logging
import os
import signal
import sys
from typing import Final

import uvloop

from adapters.candle_store import CandleStore, ExchangeAnswer
from adapters.candles import CandleError, NoSuchCandles, WindowName
from adapters.candles_exchange import ExchangeCandles
from adapters.errors import AdapterError, FeedError
from adapters.exchange_ccxt import Exchange, NoSuchExchange, open_exchange
from adapters.live_table import LiveTable
from adapters.log import configure_logging
from adapters.price_exchange import ExchangeFeed
from adapters.redis_client import AWAY, open_redis
from adapters.redis_clock import RedisClock
from adapters.settings import Settings, SettingsError, load_settings
from workers.live_feed import LeaseLost, LiveFeed, exchange_feed
from workers.together import first_to_end

logger = logging.getLogger(__name__)

IDLE_S: Final = 60.0
"""It ends when it had nothing to do for so long; starting takes a second or two."""
LOOK_EVERY_S: Final = 1.0
POLL_S: Final = 0.05
AT_ONCE: Final = 4
"""Requests for candles under way at a time."""
CLOCK_EVERY_S: Final = 10.0


async def serve(settings: Settings, writer: str) -> None:
    """Until it is idle, canceled or another process has the lease."""
    try:
        exchange = open_exchange(settings.exchange, settings.exchange_url)
    except NoSuchExchange as error:
        await _tell_trouble(settings, f"ARTIC_EXCHANGE cannot be used: {error}")
        raise
    # That took seconds in which nothing else here got a turn: only now others may wait for us.
    redis = open_redis(settings.redis_url)
    try:
        clock = RedisClock(redis)
        await clock.refresh()
        await CandleStore(redis).exchange_runs()
        process = ExchangeProcess(settings, LiveTable(redis), clock, exchange)
        parts = [process.serve_candles(), process.until_idle()]
        if settings.price_source == "exchange":
            feed = exchange_feed(settings, clock.now)
            jump_pct = settings.price_jump_pct
            live = LiveFeed(process.table, writer, feed, jump_pct=jump_pct, clock=clock.now)
            parts.append(live.run())
        try:
            await first_to_end(*parts)
        finally:
            await exchange.close()
    finally:
        await redis.aclose()


async def _tell_trouble(settings: Settings, why: str) -> None:
    redis = open_redis(settings.redis_url)
    try:
        await CandleStore(redis).tell_exchange_trouble(settings.exchange, why)
    finally:
        await redis.aclose()


class ExchangeProcess:
    """What is asked of the process besides prices: candles, and to end when nothing is."""

    def __init__(
        self, settings: Settings, table: LiveTable, clock: RedisClock, exchange: Exchange
    ) -> None:
        self.table = table
        self._settings = settings
        self._clock = clock
        self._source = ExchangeCandles(exchange, clock.now)
        self._fetching: set[asyncio.Task[None]] = set()
        self._used_at = asyncio.get_running_loop().time()

    async def serve_candles(self) -> None:
        """Fetches what the desk asks for, some at a time; ccxt keeps to the exchange's limit."""
        try:
            while True:
                try:
                    await self._take_requests()
                except AWAY as error:
                    logger.warning("Redis does not answer: %s", error)
                await asyncio.sleep(POLL_S)
        finally:
            for task in self._fetching:
                task.cancel()

    async def _take_requests(self) -> None:
        while len(self._fetching) < AT_ONCE:
            name = await self.table.candles.next_request()
            if name is None:
                return
            self._used_at = asyncio.get_running_loop().time()
            task = asyncio.create_task(self._fetch(name))
            self._fetching.add(task)
            task.add_done_callback(self._fetching.discard)

    async def _fetch(self, name: WindowName) -> None:
        problem, is_final = "", False
        try:
            await self.table.candles.put(name, await self._source.fetch(*name))
        except CandleError as error:
            problem, is_final = str(error), isinstance(error, NoSuchCandles)
        except AWAY as error:
            problem = f"Redis does not answer: {error}"
        try:
            await self.table.candles.answer(ExchangeAnswer(*name, problem, is_final))
        except AWAY as error:
            logger.warning("an answer was lost, Redis is away: %s", error)

    async def until_idle(self) -> None:
        """Returns when nobody has needed this process for some time."""
        loop = asyncio.get_running_loop()
        measured_at = loop.time()
        while loop.time() - self._used_at < IDLE_S:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                if loop.time() - measured_at > CLOCK_EVERY_S:
                    await self._clock.refresh()
                    measured_at = loop.time()
                if self._settings.price_source == "exchange":
                    known = await self.table.known_symbols(self._settings.exchange)
                    if known is None or await self.table.followed(self._clock.now()):
                        self._used_at = loop.time()
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
