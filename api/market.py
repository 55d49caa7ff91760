"""GET /api/market/price and /symbols, from the newest frame."""

import math
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from adapters.redis_client import away_as_error
from api.agent_bodies import SYMBOL_CHARACTERS_MAX, spell_symbol
from api.answers import answer
from api.auth import caller_of
from api.bodies import Body, read_query
from api.errors import FieldError, away, bad_input
from api.hub import hub_of
from api.times import IsoTime, iso_seconds
from engine.frames import PRICE_STALE_S

NO_PRICES = "no prices for it; see GET /api/market/symbols"


class ReadPrice(Body, frozen=True, kw_only=True):
    """The query of GET /api/market/price."""

    symbol: Annotated[str, Meta(min_length=1, max_length=SYMBOL_CHARACTERS_MAX)]


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
    symbol = spell_symbol(query.symbol)
    if symbol is None or symbol not in hub.symbols:
        raise bad_input([FieldError("symbol", NO_PRICES)], "query")
    async with away_as_error():
        frame = await hub.sights.newest_frame()
    place = -1 if frame is None else frame.find(symbol)
    if frame is None or place < 0 or not math.isfinite(frame.price[place]):
        raise away(f"the price of {symbol}")
    published = float(frame.publish_time[place])
    return answer(
        PriceAnswer(
            symbol=symbol,
            price=float(frame.price[place]),
            conf=None,
            publish_time=iso_seconds(published),
            source=frame.source,
            stale=bool(published < hub.clock.slot() - PRICE_STALE_S),
        )
    )


async def list_symbols(request: Request) -> Response:
    """GET /api/market/symbols: {symbols}, those that agents may trade."""
    hub = hub_of(request)
    caller_of(request)
    return answer(SymbolsAnswer(hub.symbols))
