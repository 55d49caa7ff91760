"""Which process looks after the live market: one at a time, whoever holds the lease.

It streams the prices, or has the exchange's process do it, and says which symbols are in use.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from adapters.candles import WindowName
from adapters.db.errors import DatabaseAway
from adapters.db.market_use import CandleUse, market_use
from adapters.errors import AdapterError
from adapters.live_table import LiveTable
from adapters.redis_client import AWAY
from strategies import catalog
from workers.candle_desk import CandleDesk
from workers.candle_plan import Use
from workers.context import PoolContext
from workers.exchange_child import ExchangeChild
from workers.live_feed import LiveFeed, pyth_feed
from workers.together import first_to_end

logger = logging.getLogger(__name__)

FEED_LEASE_MS: Final = 1_200
FEED_BEAT_S: Final = 0.3
"""A lease that runs out is taken within lease and beat: 1.5 s, and as long to connect in."""
USE_EVERY_S: Final = 5.0

Turn = Callable[[], Coroutine[Any, Any, None]]


def turn_of(pool: PoolContext, table: LiveTable) -> Turn:
    """What the holder of the lease does besides candles: it keeps the exchange's process, and
    streams, unless that process does.
    """
    child = ExchangeChild(pool.settings, table, pool.name, pool.clock.now)
    if pool.settings.price_source == "exchange":
        return child.run
    feed = pyth_feed(pool.settings, pool.clock.now, table)
    jump_pct = pool.settings.price_jump_pct

    async def stream() -> None:
        live = LiveFeed(table, pool.name, feed, jump_pct=jump_pct, clock=pool.clock.now)
        await first_to_end(live.run(), child.run())

    return stream


def candle_uses(used: Sequence[CandleUse]) -> dict[WindowName, Use]:
    """The windows that agents look at."""
    return {
        (each.symbol, each.timeframe): Use(each.owners, any(map(_needs_volume, each.strategies)))
        for each in used
    }


def _needs_volume(strategy_name: str) -> bool:
    try:
        return catalog.get(strategy_name).needs_volume
    except catalog.UnknownStrategy:
        return False  # of another version of the catalogue; its agents are in `error` anyway


class FeedKeeper:
    """A worker's wish to stream: it does so while it holds the lease."""

    def __init__(self, pool: PoolContext, table: LiveTable, take_turn: Turn) -> None:
        self._pool = pool
        self._table = table
        self._take_turn = take_turn
        self._desk: CandleDesk | None = None
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
        self._desk = CandleDesk(self._pool, self._table.candles)
        self._used_at = 0.0
        await first_to_end(self._take_turn(), self._desk.run())

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
        if self._desk is not None:
            self._desk.use(candle_uses(used))

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
