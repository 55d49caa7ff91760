"""What the hub knows of prices beyond frames: their source, which symbols there are, and who is to
be followed.

Symbols of a function source are those it has; a live source's are in Redis, written by whoever
streams, and read again every few seconds. So is what `auto` stands for.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from adapters.live_frames import LivePrices
from adapters.live_table import SYMBOLS_MAX, LivePrice
from adapters.market_store import MarketStore
from adapters.price_choice import (
    AUTO,
    PriceChoice,
    open_prices,
    says,
    settled,
    settled_settings,
)
from adapters.prices import PriceSource
from adapters.redis_client import AWAY, Redis
from adapters.settings import Settings

SYMBOLS_EVERY_S: Final = 5.0
UNKNOWN_EVERY_S: Final = 0.25
"""Until they are known for the first time."""

log = logging.getLogger(__name__)


class PriceDesk:
    """One for each hub process. source: a function that was opened already; clock: Unix seconds of
    Redis. `market` reads and makes frames, of the source once it is settled.
    """

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        clock: Callable[[], float],
        source: PriceSource | None = None,
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._clock = clock
        self._choice: PriceChoice | None = None
        self._known: tuple[str, ...] | None = None
        self._in_use: frozenset[str] = frozenset()
        self._is_auto = source is None and settings.price_source == AUTO
        self.source: PriceSource | LivePrices | None = source
        if source is None and not self._is_auto:
            self.source = open_prices(settings, redis)
        self.market = MarketStore(redis, self.source)

    @property
    def live(self) -> LivePrices | None:
        """The source, if its prices are those of a market, now."""
        return self.source if isinstance(self.source, LivePrices) else None

    @property
    def says(self) -> str | None:
        """Where prices come from, in one plain line; None while that is not settled."""
        if self.source is None:
            return None
        settings = self._settings
        if self._choice is not None:
            settings = settled_settings(settings, self._choice)
        return says(settings, self._choice)

    @property
    def symbols(self) -> tuple[str, ...] | None:
        """Every symbol that has prices; None while nobody has said them."""
        if self.source is None or isinstance(self.source, LivePrices):
            return self._known
        return self.source.symbols

    def has_room(self, symbol: str) -> bool:
        """Whether an agent may begin to trade it: a stream follows so many symbols and no more."""
        is_new = self.live is not None and symbol not in self._in_use
        return not is_new or len(self._in_use) < SYMBOLS_MAX

    async def learn(self) -> None:
        """Reads what may change, once. Raises what says that Redis is away."""
        if self._is_auto:
            choice = await settled(self._redis)
            if choice is not None and choice != self._choice:
                self._choice, self._known = choice, None
                self.source = open_prices(settled_settings(self._settings, choice), self._redis)
                self.market.use(self.source)
        if self.live is not None:
            self._known = await self.live.table.known_symbols(self.live.name) or self._known
            self._in_use = await self.live.table.in_use()

    async def keep(self) -> None:
        """Reads it again and again, until it is canceled."""
        while self._is_auto or self.live is not None:
            try:
                await self.learn()
            except AWAY as error:
                log.warning("the price source cannot be read: %s", error)
            await asyncio.sleep(UNKNOWN_EVERY_S if self.symbols is None else SYMBOLS_EVERY_S)

    async def follow(self, symbol: str) -> None:
        """Has the stream follow a symbol from now on, for some minutes at least."""
        if self.live is not None:
            await self.live.table.ask(symbol, self._clock())

    async def price(self, symbol: str) -> LivePrice | None:
        """The newest price of a live source, None where nothing was seen of the symbol yet."""
        if self.live is None:
            return None
        return (await self.live.table.prices([symbol])).get(symbol)
