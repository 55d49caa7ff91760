"""Prices of an exchange's public WebSocket, through ccxt.pro; no key is needed.

One subscription for all symbols where the exchange takes that, else one for each. When anything
breaks, or nothing comes for some time (of all, or of one symbol: price_silence.py), all of it
begins anew on a fresh connection.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from adapters.errors import FeedError
from adapters.exchange_ccxt import Exchange, NoSuchExchange, open_exchange, said_by, spot_symbols
from adapters.price_feed import FeedReport
from adapters.price_gate import PriceUpdate
from adapters.price_silence import SilenceWatch

SILENCE_S: Final = 20.0
"""A market may be quiet for a while; a connection on which nobody trades at all is dead."""
BACKOFF_S: Final = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
STEADY_S: Final = 10.0
"""A connection that lived so long makes the next pause short again."""
CLOSE_S: Final = 3.0
NAMED_MAX: Final = 5
"""Symbols that an error names."""

log = logging.getLogger(__name__)

Take = Callable[[Sequence[PriceUpdate]], None]


class ExchangeFeed:
    """Follows the symbols in use on one exchange."""

    def __init__(
        self, name: str, url: str, take: Take, clock: Callable[[], float] = time.time
    ) -> None:
        self.report = FeedReport(source=name)
        self._name, self._url = name, url
        self._take = take
        self._clock = clock
        self._wanted: tuple[str, ...] = ()
        self._changed = asyncio.Event()
        self._heard_at = 0.0
        self._silence = SilenceWatch()
        self._known: frozenset[str] = frozenset()
        self._markets: Exchange | None = None

    async def list_symbols(self) -> Sequence[str]:
        """The symbols of the spot markets."""
        exchange = open_exchange(self._name, self._url)
        try:
            async with said_by(exchange):
                await exchange.load_markets()
            symbols = spot_symbols(exchange)
        finally:
            await self._close(exchange)
        self._known, self._markets = frozenset(symbols), exchange
        self._changed.set()
        return symbols

    def want(self, symbols: Sequence[str]) -> None:
        """Sets what is streamed from now on."""
        if tuple(symbols) != self._wanted:
            self._wanted = tuple(symbols)
            self._changed.set()

    async def run(self) -> None:
        """Streams until it is canceled."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._stream()
            except NoSuchExchange:
                raise
            except FeedError as error:
                failures = 0 if loop.time() - began > STEADY_S else failures
                pause_s = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)] * random.uniform(0.5, 1.0)
                failures += 1
                self.report.failed(str(error))
                log.warning("prices of %s: %s", self._name, error)
                self.report.state, self.report.connected_since = "waiting", None
                self.report.retry_at = self._clock() + pause_s
                await asyncio.sleep(pause_s)
                self.report.retry_at = None

    async def _stream(self) -> None:
        """One connection, until it breaks. Raises FeedError then."""
        while self._markets is None:
            self._changed.clear()
            await self._changed.wait()
        exchange = open_exchange(self._name, self._url)
        # Handed on, so that a new connection does not ask for them again.
        markets = self._markets.markets or {}
        exchange.set_markets(list(markets.values()), self._markets.currencies)
        watches: dict[tuple[str, ...], asyncio.Task[None]] = {}
        self._heard_at = asyncio.get_running_loop().time()
        self._silence.connected(self._heard_at)
        try:
            while True:
                self._changed.clear()
                wanted = [symbol for symbol in self._wanted if symbol in self._known]
                self.report.unknown = [s for s in self._wanted if s not in self._known]
                if not wanted:
                    self.report.state, self.report.connected_since = "idle", None
                self._follow_from_now(wanted, is_first=not watches)
                self._watch(exchange, watches, wanted)
                await self._until_changed(list(watches.values()))
        finally:
            for task in watches.values():
                task.cancel()
            await asyncio.gather(*watches.values(), return_exceptions=True)
            await self._close(exchange)

    def _follow_from_now(self, wanted: Sequence[str], *, is_first: bool) -> None:
        """Nothing is expected of a symbol, or of a connection without any, before it is wanted."""
        now = asyncio.get_running_loop().time()
        if is_first:
            self._heard_at = now
        self._silence.follow(wanted, now)

    def _watch(
        self,
        exchange: Exchange,
        watches: dict[tuple[str, ...], asyncio.Task[None]],
        wanted: Sequence[str],
    ) -> None:
        """Starts what is missing, ends what nobody wants: a task for each subscription."""
        groups = [tuple(wanted)] if exchange.has.get("watchTickers") else [(s,) for s in wanted]
        for group in [group for group in watches if group not in groups]:
            watches.pop(group).cancel()
        for group in groups:
            if group and group not in watches:
                watches[group] = asyncio.create_task(self._follow(exchange, group))

    async def _until_changed(self, tasks: Sequence["asyncio.Task[None]"]) -> None:
        """Waits for other symbols; raises what a watch has raised, and that nothing comes."""
        changed = asyncio.create_task(self._changed.wait())
        loop = asyncio.get_running_loop()
        try:
            while not changed.done():
                done, _ = await asyncio.wait(
                    {changed, *tasks},
                    timeout=self._patience_s(loop.time()) if tasks else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done - {changed}:
                    task.result()
        finally:
            changed.cancel()

    def _patience_s(self, now: float) -> float:
        """How long to wait for prices from now on. Raises FeedError where it was long enough."""
        all_until = self._heard_at + SILENCE_S
        if all_until <= now:
            raise FeedError(f"{self._name}: no prices for {SILENCE_S:g} s, beginning anew")
        if lost := self._silence.lost(now):
            named = ", ".join(lost[:NAMED_MAX]) + (" and others" if len(lost) > NAMED_MAX else "")
            raise FeedError(f"{self._name}: no prices of {named} for some time, beginning anew")
        next_at = self._silence.next_at()
        until = all_until if next_at is None else min(all_until, next_at)
        return max(until - now, 0.01)

    async def _follow(self, exchange: Exchange, symbols: tuple[str, ...]) -> None:
        together = len(symbols) > 1 or bool(exchange.has.get("watchTickers"))
        while True:
            async with said_by(exchange):
                if together:
                    tickers = list((await exchange.watch_tickers(symbols)).values())
                else:
                    tickers = [await exchange.watch_ticker(symbols[0])]
            self._heard(tickers)

    def _heard(self, tickers: Sequence[Mapping[str, Any]]) -> None:
        now = self._clock()
        if self.report.state != "connected":
            self.report.state, self.report.connected_since = "connected", now
            self.report.connections += 1
        self.report.messages += 1
        updates = []
        for ticker in tickers:
            try:
                updates.append(_update(ticker, now))
            except (KeyError, TypeError, ValueError):
                self.report.malformed += 1
        if updates:
            self._heard_at = asyncio.get_running_loop().time()
            for update in updates:
                self._silence.heard(update.symbol, self._heard_at)
            self.report.last_message_at = now
            self._take(updates)

    async def _close(self, exchange: Exchange) -> None:
        try:
            async with asyncio.timeout(CLOSE_S), said_by(exchange):
                await exchange.close()
        except (FeedError, TimeoutError) as error:
            log.warning("%s could not be closed in order: %s", self._name, error)


def _update(ticker: Mapping[str, Any], now: float) -> PriceUpdate:
    """A ticker of ccxt as an update; one without a time was published when it came.

    Raises:
        KeyError, TypeError, ValueError: it has no symbol or no price.
    """
    price, moment = ticker["last"], ticker.get("timestamp")
    published = now if moment is None else float(moment) / 1000
    return PriceUpdate(str(ticker["symbol"]), float(price), published)
