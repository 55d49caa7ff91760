"""The stream of live prices, which one process of the pool holds at a time.

The lease on it lies beside the table that it fills, and the script that writes the table asks for
it again: a process that was paused and believes in a lease it has lost writes nothing. Whoever
takes over begins with the prices that are there.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from adapters.errors import AdapterError, FeedError
from adapters.live_table import LiveTable, left_out
from adapters.price_exchange import ExchangeFeed
from adapters.price_feed import FeedReport, PriceBuffer, PriceFeed
from adapters.price_gate import PriceGate
from adapters.price_pyth import PythFeed, Take
from adapters.redis_client import AWAY
from adapters.settings import Settings
from workers.together import first_to_end

logger = logging.getLogger(__name__)

WRITE_EVERY_S: Final = 0.1
FOLLOW_EVERY_S: Final = 0.5
REPORT_EVERY_S: Final = 1.0
SYMBOLS_EVERY_S: Final = 3_600.0
SYMBOLS_RETRY_S: Final = 10.0

OpenFeed = Callable[[Take], PriceFeed]


class LeaseLost(AdapterError):
    """Another process streams the prices now."""


def pyth_feed(settings: Settings, clock: Callable[[], float], table: LiveTable) -> OpenFeed:
    """What opens a stream of Pyth."""
    bases = settings.pyth_url.split(",")
    return lambda take: PythFeed(bases, settings.pyth_api_key, take, clock, table)


def exchange_feed(settings: Settings, clock: Callable[[], float]) -> OpenFeed:
    """What opens a stream of the exchange. ccxt is loaded with it."""
    return lambda take: ExchangeFeed(settings.exchange, settings.exchange_url, take, clock)


class FeedReportLine(FeedReport, kw_only=True):
    """The report of a stream with what its writer knows."""

    feeder: str
    symbols: int
    left_out: list[str] = msgspec.field(default_factory=list)
    """Symbols that agents trade, and that are too many to be followed."""
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
        self._left_out: list[str] = []

    async def run(self) -> None:
        """Streams until it is canceled.

        Raises:
            LeaseLost: somebody else does it now.
        """
        await first_to_end(
            self.feed.run(),
            self._every(WRITE_EVERY_S, self._write),
            self._every(FOLLOW_EVERY_S, self._follow),
            self._every(REPORT_EVERY_S, self._report),
            self._know_symbols(),
        )

    async def _every(self, seconds: float, step: Callable[[], Awaitable[None]]) -> None:
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
        too_many = left_out(await self._table.in_use())
        if too_many != self._left_out:
            self._left_out = too_many
            logger.error("%s symbols of agents are too many to be followed: %s",
                         len(too_many), ", ".join(too_many[:10]))  # fmt: skip
        line = FeedReportLine(
            **msgspec.structs.asdict(report),
            feeder=self._name,
            symbols=len(self._symbols),
            left_out=self._left_out,
            at=self._clock(),
        )
        await self._table.tell(msgspec.json.encode(line))
