"""What the hub knows of prices beyond frames: which symbols there are, and who is to be followed.

Symbols of a function source are those it has; a live source's are in Redis, written by whoever
streams, and read again every few seconds.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from adapters.live_frames import LivePrices
from adapters.live_table import LivePrice
from adapters.prices import PriceSource
from adapters.redis_client import AWAY

SYMBOLS_EVERY_S: Final = 5.0
UNKNOWN_EVERY_S: Final = 0.25
"""Until they are known for the first time."""

log = logging.getLogger(__name__)


class PriceDesk:
    """One for each hub process. clock: Unix seconds of Redis."""

    def __init__(self, source: PriceSource | LivePrices, clock: Callable[[], float]) -> None:
        self.source = source
        self._clock = clock
        self._known: tuple[str, ...] | None = None

    @property
    def is_live(self) -> bool:
        """Whether prices are those of a market, now."""
        return isinstance(self.source, LivePrices)

    @property
    def symbols(self) -> tuple[str, ...] | None:
        """Every symbol that has prices; None while a live source has not said them."""
        if isinstance(self.source, LivePrices):
            return self._known
        return self.source.symbols

    async def learn(self) -> None:
        """Reads the symbols of a live source once. Raises what says that Redis is away."""
        if isinstance(self.source, LivePrices):
            self._known = await self.source.table.known_symbols(self.source.name) or self._known

    async def keep(self) -> None:
        """Reads them again and again, until it is canceled."""
        while self.is_live:
            try:
                await self.learn()
            except AWAY as error:
                log.warning("the symbols of the price source cannot be read: %s", error)
            await asyncio.sleep(UNKNOWN_EVERY_S if self._known is None else SYMBOLS_EVERY_S)

    async def follow(self, symbol: str) -> None:
        """Has the stream follow a symbol from now on, for some minutes at least."""
        if isinstance(self.source, LivePrices):
            await self.source.table.ask(symbol, self._clock())

    async def price(self, symbol: str) -> LivePrice | None:
        """The newest price of a live source, None where nothing was seen of the symbol yet."""
        if not isinstance(self.source, LivePrices):
            return None
        return (await self.source.table.prices([symbol])).get(symbol)
