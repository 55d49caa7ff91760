"""The stream of live prices, which one process of the pool holds at a time.

The lease on it lies beside the table that it fills, and the script that writes the table asks for
it again: a process that was paused and believes in a lease it has lost writes nothing. Whoever
takes over begins with the prices that are there.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec

from adapters.db.errors import DatabaseAway
from adapters.db.market_use import market_use
from adapters.errors import AdapterError, FeedError
from adapters.live_table import LiveTable
from adapters.price_feed import FeedReport, PriceBuffer, PriceFeed
from adapters.price_gate import PriceGate
from adapters.price_pyth import PythFeed, Take
from adapters.redis_client import AWAY
from adapters.settings import Settings
from workers.context import PoolContext

logger = logging.getLogger(__name__)

FEED_LEASE_MS: Final = 1_500
FEED_BEAT_S: Final = 0.4
"""A lease that runs out is taken within lease and beat: two seconds, and one to connect in."""
WRITE_EVERY_S: Final = 0.1
FOLLOW_EVERY_S: Final = 0.5
USE_EVERY_S: Final = 5.0
REPORT_EVERY_S: Final = 1.0
SYMBOLS_EVERY_S: Final = 3_600.0
SYMBOLS_RETRY_S: Final = 10.0

OpenFeed = Callable[[Take], PriceFeed]


class LeaseLost(AdapterError):
    """Another process streams the prices now."""


def pyth_feed(settings: Settings, clock: Callable[[], float]) -> OpenFeed:
    """What opens a stream of Pyth."""
    bases = settings.pyth_url.split(",")
    return lambda take: PythFeed(bases, settings.pyth_api_key, take, clock)


class FeedReportLine(FeedReport, kw_only=True):
    """The report of a stream with what its writer knows."""

    feeder: str
    symbols: int
    at: float


class LiveFeed:
    """One process's turn at the stream, from the lease to its loss."""

    def __init__(
        self,
        table: LiveTable,
        name: str,
        open_feed: OpenFeed,
        *,
        jump_pct: float,
        clock: Callable[[], float],
    ) -> None:
        self._table = table
        self._name = name
        self._clock = clock
        self._gate = PriceGate(jump_pct / 100)
        self._buffer = PriceBuffer(self._gate, clock)
        self.feed = open_feed(self._buffer.put)
        self._symbols: tuple[str, ...] = ()

    async def run(self) -> None:
        """Streams until it is canceled.

        Raises:
            LeaseLost: somebody else does it now.
        """
        tasks = [
            asyncio.create_task(each)
            for each in (
                self.feed.run(),
                self._every(WRITE_EVERY_S, self._write),
                self._every(FOLLOW_EVERY_S, self._follow),
                self._every(REPORT_EVERY_S, self._report),
                self._know_symbols(),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _every(self, seconds: float, step: Callable[[], Any]) -> None:
        while True:
            try:
                await step()
            except AWAY as error:
                logger.warning("the live table waits, Redis does not answer: %s", error)
            await asyncio.sleep(seconds)

    async def _write(self) -> None:
        seen = self._buffer.take()
        if not seen:
            return
        try:
            written = await self._table.write(self._name, seen)
        except AWAY:
            self._buffer.put_back(seen)
            raise
        if not written:
            raise LeaseLost(f"{self._name} does not hold the lease on the stream any more")

    async def _follow(self) -> None:
        """Streams what agents trade and others ask for; new symbols start from the last price."""
        wanted = await self._table.followed(self._clock())
        if wanted == self._symbols:
            return
        added = set(wanted) - set(self._symbols)
        for symbol, last in (await self._table.prices(added)).items():
            self._gate.start_from(symbol, last.price, last.publish_time)
        for symbol in set(self._symbols) - set(wanted):
            self._gate.forget(symbol)
        self._symbols = wanted
        self.feed.want(wanted)

    async def _know_symbols(self) -> None:
        """Asks the service for all its symbols, at once and every hour, until it says them."""
        while True:
            pause_s = SYMBOLS_RETRY_S
            try:
                symbols = await self.feed.list_symbols()
                await self._table.know_symbols(self.feed.report.source, symbols)
                pause_s = SYMBOLS_EVERY_S
            except FeedError as error:
                self.feed.report.failed(str(error))
                logger.warning("%s", error)
            except AWAY as error:
                logger.warning("the symbols wait, Redis does not answer: %s", error)
            await asyncio.sleep(pause_s)

    async def _report(self) -> None:
        report = self.feed.report
        report.dropped = dict(self._buffer.dropped)
        line = FeedReportLine(
            **msgspec.structs.asdict(report),
            feeder=self._name,
            symbols=len(self._symbols),
            at=self._clock(),
        )
        await self._table.tell(msgspec.json.encode(line))


class FeedKeeper:
    """A worker's wish to stream: it does so while it holds the lease."""

    def __init__(self, pool: PoolContext, table: LiveTable, open_feed: OpenFeed) -> None:
        self._pool = pool
        self._table = table
        self._open_feed = open_feed
        self._turn: asyncio.Task[None] | None = None
        self._used_at = 0.0

    @property
    def streams(self) -> bool:
        """Whether this process streams at the moment."""
        return self._turn is not None and not self._turn.done()

    async def run(self) -> None:
        """Asks for the lease again and again, until it is canceled; then gives it back."""
        try:
            while True:
                try:
                    await self._beat()
                except AWAY as error:
                    logger.warning("the lease on prices waits, Redis is away: %s", error)
                await asyncio.sleep(FEED_BEAT_S)
        finally:
            await self._stop()
            try:
                await self._table.hold(self._pool.name, 0)
            except AWAY as error:
                logger.warning("the lease on prices was not given back: %s", error)

    async def _beat(self) -> None:
        held = await self._table.hold(self._pool.name, FEED_LEASE_MS)
        if not held:
            await self._stop()
            return
        if not self.streams:
            self._say_end()
            logger.info("%s streams the prices from now on", self._pool.name)
            self._turn = asyncio.create_task(self._stream())
        await self._count_use()

    async def _stream(self) -> None:
        feed = LiveFeed(
            self._table,
            self._pool.name,
            self._open_feed,
            jump_pct=self._pool.settings.price_jump_pct,
            clock=self._pool.clock.now,
        )
        await feed.run()

    async def _count_use(self) -> None:
        """Tells the table which symbols agents trade; without PostgreSQL those of before stay."""
        now = self._pool.clock.now()
        if now - self._used_at < USE_EVERY_S:
            return
        self._used_at = now
        try:
            used = await market_use(self._pool.database)
        except DatabaseAway as error:
            logger.warning("PostgreSQL is away, the symbols in use may be old: %s", error)
            return
        await self._table.use({each.symbol for each in used})

    async def _stop(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            await asyncio.gather(self._turn, return_exceptions=True)
            self._turn = None

    def _say_end(self) -> None:
        """Why the turn before has ended, if there was one."""
        if self._turn is None or self._turn.cancelled():
            return
        error = self._turn.exception()
        if isinstance(error, AdapterError):
            logger.warning("the stream of prices has ended: %s", error)
        elif error is not None:
            logger.error("the stream of prices broke and begins anew", exc_info=error)
