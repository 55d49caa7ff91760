"""GET /api/market/price and /symbols: from the newest frame, or the live table it is made of."""

import asyncio
import math
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from adapters.live_table import LivePrice
from adapters.redis_client import away_as_error
from api.agent_bodies import SYMBOL_CHARACTERS_MAX, no_prices_for, spell_symbol
from api.answers import answer
from api.auth import caller_of
from api.bodies import Body, read_query
from api.errors import FieldError, away, bad_input
from api.hub import Hub, hub_of
from api.times import IsoTime, iso_seconds
from engine.frames import PRICE_STALE_S

NO_PRICES = "no prices for it; see GET /api/market/symbols"


FIRST_PRICE_S: Final = 3.0
"""How long a request waits for the first price of a symbol that nobody followed before."""
FIRST_PRICE_POLL_S: Final = 0.1


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
    symbol = spell_symbol(given)
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


async def list_symbols(request: Request) -> Response:
    """GET /api/market/symbols: {symbols}, those that agents may trade."""
    hub = hub_of(request)
    caller_of(request)
    return answer(SymbolsAnswer(hub.symbols))
