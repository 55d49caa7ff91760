"""GET /api/market/candles, /price and /symbols: out of the newest frame, or what it is made of."""

import asyncio
import math
from functools import lru_cache
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from adapters.candle_service import ServedCandles
from adapters.live_table import LivePrice
from adapters.redis_client import away_as_error
from api.agent_bodies import SYMBOL_CHARACTERS_MAX, Timeframe, no_prices_for, spell_symbol
from api.answers import answer
from api.auth import caller_of
from api.bodies import Body, check_query, read_query
from api.errors import FieldError, away, bad_input
from api.hub import Hub, hub_of
from api.times import IsoTime, iso_seconds
from engine.frames import PRICE_STALE_S, WINDOW_BARS

QUERIES_REMEMBERED: Final = 1_000
NO_PRICES = "no prices for it; see GET /api/market/symbols"


FIRST_PRICE_S: Final = 3.0
"""How long a request waits for the first price of a symbol that nobody followed before."""
FIRST_PRICE_POLL_S: Final = 0.1


class ReadPrice(Body, frozen=True, kw_only=True):
    """The query of GET /api/market/price."""

    symbol: Annotated[str, Meta(min_length=1, max_length=SYMBOL_CHARACTERS_MAX)]


class ReadCandles(Body, frozen=True, kw_only=True):
    """The query of GET /api/market/candles."""

    symbol: Annotated[str, Meta(min_length=1, max_length=SYMBOL_CHARACTERS_MAX)]
    timeframe: Timeframe
    limit: Annotated[int, Meta(ge=1, le=WINDOW_BARS)] = WINDOW_BARS


class Candle(msgspec.Struct, frozen=True):
    """One bar. time: its opening, Unix seconds; volume in base units, null where nobody knows."""

    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float | None


class CandlesAnswer(msgspec.Struct, frozen=True):
    """Candles, oldest first; the last may be unfinished.

    stale: fetched longer than a minute ago, and nobody has newer ones.
    """

    symbol: str
    timeframe: Timeframe
    source: str
    fetched_at: IsoTime
    stale: bool
    candles: list[Candle]


class PriceAnswer(msgspec.Struct, frozen=True):
    """The newest price of a symbol; conf is null where its source gives none."""

    symbol: str
    price: float
    conf: float | None
    publish_time: IsoTime
    source: str
    stale: bool


class SymbolsAnswer(msgspec.Struct, frozen=True):
    """The symbols that have prices."""

    symbols: tuple[str, ...]


async def get_price(request: Request) -> Response:
    """GET /api/market/price?symbol=: {symbol, price, conf, publish_time, source, stale}."""
    hub = hub_of(request)
    caller_of(request)
    query = read_query(request, ReadPrice)
    symbol = known_symbol(hub, query.symbol)
    async with away_as_error():
        found = await (_streamed(hub, symbol) if hub.prices.live else _of_frame(hub, symbol))
        now = hub.clock.slot()
    if found is None or hub.prices.source is None:
        raise away(f"the price of {symbol}")
    return answer(
        PriceAnswer(
            symbol=symbol,
            price=found.price,
            conf=None if math.isnan(found.conf) else found.conf,
            publish_time=iso_seconds(found.publish_time),
            source=hub.prices.source.name,
            stale=found.publish_time < now - PRICE_STALE_S,
        )
    )


def known_symbol(hub: Hub, given: str) -> str:
    """The symbol as it is written here; Problem 422 for one that has no prices."""
    symbol = spell_symbol(given, hub.symbols)
    if symbol is None:
        raise bad_input([FieldError("symbol", "expected a pair like BTC/USDT")])
    if symbol not in hub.symbols:
        raise bad_input([FieldError("symbol", no_prices_for(symbol, hub.symbols))])
    return symbol


async def _of_frame(hub: Hub, symbol: str) -> LivePrice | None:
    frame = await hub.sights.newest_frame()
    place = -1 if frame is None else frame.find(symbol)
    if frame is None or place < 0 or not math.isfinite(frame.price[place]):
        return None
    return LivePrice(float(frame.price[place]), float(frame.publish_time[place]), math.nan)


async def _streamed(hub: Hub, symbol: str) -> LivePrice | None:
    """The newest price of the stream; one that nobody has asked for so far may take a moment."""
    await hub.prices.follow(symbol)
    deadline = hub.clock.now() + FIRST_PRICE_S
    while (found := await hub.prices.price(symbol)) is None and hub.clock.now() < deadline:
        await asyncio.sleep(FIRST_PRICE_POLL_S)
    return found


async def get_candles(request: Request) -> Response:
    """GET /api/market/candles?symbol=&timeframe=[&limit=]: OHLCV, oldest first."""
    hub, caller = hub_of(request), caller_of(request)
    query = _candles_wanted(request.scope["query_string"])
    symbol = known_symbol(hub, query.symbol)
    async with away_as_error():
        frame = None if hub.prices.live else await hub.sights.newest_frame()
        found = await hub.candles.candles(symbol, query.timeframe, caller.user_id, frame)
    if found is None:
        raise away(f"every source of candles of {symbol}")
    if (encoded := found.encoded.get(query.limit)) is None:
        encoded = _encoded(symbol, query.timeframe, found, query.limit)
        found.encoded[query.limit] = encoded
    return Response(encoded, media_type="application/json")


@lru_cache(maxsize=QUERIES_REMEMBERED)
def _candles_wanted(query: bytes) -> ReadCandles:
    """What a query asks for: many callers ask in the same words. Problem 422 is not remembered."""
    pairs = QueryParams(query).multi_items()
    return check_query(pairs, ReadCandles)


def _encoded(symbol: str, timeframe: Timeframe, found: ServedCandles, limit: int) -> bytes:
    told = CandlesAnswer(
        symbol=symbol,
        timeframe=timeframe,
        source=found.source,
        fetched_at=iso_seconds(found.fetched_at),
        stale=found.stale,
        candles=[
            Candle(int(time), o, high, low, close, None if math.isnan(volume) else volume)
            for time, o, high, low, close, volume in found.bars[-limit:].tolist()
        ],
    )
    return msgspec.json.encode(told)


async def list_symbols(request: Request) -> Response:
    """GET /api/market/symbols: {symbols}, those that agents may trade."""
    hub = hub_of(request)
    caller_of(request)
    return answer(SymbolsAnswer(hub.symbols))
