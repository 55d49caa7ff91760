"""The one place that imports ccxt: 100 MB, so only in the process that talks to an exchange.

What ccxt raises becomes FeedError. Its own errors are a part only: an answer it does not understand
may end in any exception of Python's.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit, urlunsplit

from adapters.errors import FeedError
from adapters.price_feed import short_of

REQUEST_TIMEOUT_MS: Final = 8_000


class NoSuchExchange(FeedError):
    """ccxt is not installed, or does not know the exchange."""


class Exchange(Protocol):
    """What is used of a ccxt exchange (pro), as ccxt documents it."""

    id: str
    has: Mapping[str, Any]
    urls: dict[str, Any]
    markets: Mapping[str, Mapping[str, Any]] | None
    currencies: Mapping[str, Any] | None
    timeframes: Mapping[str, Any] | None

    def set_markets(self, markets: Sequence[Any], currencies: Mapping[str, Any] | None) -> Any: ...
    async def load_markets(self, reload: bool = False) -> Mapping[str, Mapping[str, Any]]: ...
    async def watch_ticker(self, symbol: str) -> Mapping[str, Any]: ...
    async def watch_tickers(self, symbols: Sequence[str]) -> Mapping[str, Mapping[str, Any]]: ...
    async def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int | None = None, limit: int | None = None
    ) -> list[list[Any]]: ...
    async def close(self) -> None: ...


def open_exchange(name: str, url: str = "") -> Exchange:
    """An exchange of ccxt.pro, without a key. url: another server that speaks its protocol, with
    REST and WebSocket on one port.

    Raises:
        NoSuchExchange: it is not installed, or not known.
    """
    try:
        import ccxt.pro
    except ImportError as error:
        raise NoSuchExchange(
            f"prices of an exchange need ccxt, which is missing: {error}"
        ) from error
    if name not in ccxt.pro.exchanges:
        raise NoSuchExchange(f"ccxt has no exchange {name!r} with a stream of prices")
    kind = getattr(ccxt.pro, name)
    exchange = kind({"enableRateLimit": True, "timeout": REQUEST_TIMEOUT_MS, "newUpdates": True})
    if url:
        exchange.urls["api"] = moved(exchange.urls["api"], url)
    return cast(Exchange, exchange)


def moved(urls: Any, base: str) -> Any:
    """The same URLs on another server: paths stay, and so does whether it is a WebSocket."""
    if isinstance(urls, dict):
        return {name: moved(each, base) for name, each in urls.items()}
    if not isinstance(urls, str):
        return urls
    server, parts = urlsplit(base), urlsplit(urls)
    is_secure = server.scheme in {"https", "wss"}
    plain = "ws" if parts.scheme in {"ws", "wss"} else "http"
    scheme = plain + ("s" if is_secure else "")
    return urlunsplit(parts._replace(scheme=scheme, netloc=server.netloc))


def spot_symbols(exchange: Exchange) -> list[str]:
    """The symbols of its active spot markets, in order; markets have been loaded."""
    return sorted(
        symbol
        for symbol, market in (exchange.markets or {}).items()
        if market.get("spot") and market.get("active") is not False and symbol.isascii()
    )


@asynccontextmanager
async def said_by(exchange: Exchange) -> AsyncIterator[None]:
    """Whatever a call of an exchange raises, as FeedError with the exchange's name."""
    try:
        yield
    except FeedError:
        raise
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and _is_ours():
            raise
        words = short_of(str(error)) or type(error).__name__
        raise FeedError(f"{exchange.id}: {type(error).__name__}: {words}") from error


def _is_ours() -> bool:
    """Whether this task is being canceled: ccxt cancels futures of its own when a socket closes."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
