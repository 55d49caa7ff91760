"""Candles of an exchange, with volumes, through ccxt; no key is needed."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from adapters.candles import CandleError, FetchedCandles, NoSuchCandles, clean_candles
from adapters.errors import FeedError
from adapters.exchange_ccxt import Exchange, said_by
from engine.frames import WINDOW_BARS

DOLLARS: Final = ("USDT", "USD", "USDC")
"""Quotes of which one may stand for another where the exchange lacks the pair."""


class ExchangeCandles:
    """One exchange. clock: Unix seconds of Redis."""

    def __init__(self, exchange: Exchange, clock: Callable[[], float]) -> None:
        self.name = exchange.id
        self._exchange = exchange
        self._clock = clock

    async def fetch(self, symbol: str, timeframe: str) -> FetchedCandles:
        """See CandleSource.fetch. ccxt keeps to the exchange's own limit of requests."""
        try:
            async with said_by(self._exchange):
                markets = await self._exchange.load_markets()
                market = _market_of(symbol, markets)
                if market is None or timeframe not in (self._exchange.timeframes or {}):
                    raise NoSuchCandles(f"{self.name} has no candles of {symbol} {timeframe}")
                rows = await self._exchange.fetch_ohlcv(market, timeframe, limit=WINDOW_BARS + 1)
        except CandleError:
            raise
        except FeedError as error:
            raise CandleError(str(error)) from error
        try:
            read = [_row(row) for row in rows]
        except (TypeError, ValueError, IndexError) as error:
            raise CandleError(f"{self.name}: its candles cannot be read: {error}") from error
        candles = clean_candles(self.name, timeframe, read, self._clock())
        if candles.is_empty:
            raise CandleError(f"{self.name} has sent no candles of {symbol} {timeframe}")
        return candles


def _market_of(symbol: str, markets: Mapping[str, Any]) -> str | None:
    base, _, quote = symbol.partition("/")
    quotes = [quote, *DOLLARS] if quote in DOLLARS else [quote]
    return next((f"{base}/{each}" for each in quotes if f"{base}/{each}" in markets), None)


def _row(row: list[Any]) -> tuple[float, float, float, float, float, float]:
    opened, *prices, volume = row[:6]
    o, high, low, close = (float(price) for price in prices)
    return float(opened) / 1000, o, high, low, close, math.nan if volume is None else float(volume)
