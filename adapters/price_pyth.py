"""Pyth prices: one SSE stream of a Hermes server for all symbols in use.

Streamed and never polled: ten requests in ten seconds are all that an address may make. The stream
is broken off and made anew when it ends, says that it ends, or is silent; another set of symbols
is another stream, and the one before goes on until the new one has sent its first prices.
"""

import asyncio
import logging
import random
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

import httpx
import msgspec

from adapters.errors import FeedError
from adapters.price_feed import FeedReport, short_of, without_key
from adapters.price_gate import PriceUpdate
from adapters.pyth_events import PriceEvent, read_feed
from adapters.pyth_feeds import FeedIds, FeedMemory, ListedFeed, read_feeds
from adapters.pyth_requests import BANNED_S, PythRequests, RequestMemory
from adapters.redis_client import AWAY
from adapters.sse import EventParser, EventTooLong, ServerEvent

SILENCE_S: Final = 5.0
"""Events come several times a second; after so long without one the stream is dead, whether its
socket knows or not. A price is stale after 10 s, so that there is time to begin anew."""
FIRST_EVENT_S: Final = 10.0
BODY_S: Final = 2.0
"""How long the words of a refusal are waited for: its status says what it means."""
SETTLE_S: Final = 0.5
"""Symbols come in groups: a change waits so long for others."""
BACKOFF_S: Final = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
UNKNOWN_FOR_S: Final = 600.0
"""An id that the server did not know is left out for so long."""
_BODY_BYTES_MAX: Final = 2_000
_NOT_FOUND: Final = "price ids not found"

log = logging.getLogger(__name__)

Take = Callable[[Sequence[PriceUpdate]], None]


class PythMemory(FeedMemory, RequestMemory, Protocol):
    """What the processes that stream one after another know of each other."""


class _Banned(FeedError):
    """The server will not answer for a while."""


class _UnknownIds(FeedError):
    """The server does not know some ids, and so refuses all."""

    def __init__(self, text: str, ids: set[str]) -> None:
        super().__init__(text)
        self.ids = ids


class _Stream:
    """One connection: its ids, the task that reads it, and whether prices have come."""

    def __init__(self, ids: frozenset[str]) -> None:
        self.ids = ids
        self.has_prices = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class PythFeed:
    """Follows the symbols in use. bases are servers of the same service, tried in turn; memory is
    shared with the processes that streamed before and will after.
    """

    def __init__(
        self,
        bases: Sequence[str],
        api_key: str,
        take: Take,
        clock: Callable[[], float] = time.time,
        memory: PythMemory | None = None,
    ) -> None:
        self._memory = memory
        self.report = FeedReport(source="pyth")
        self._bases = list(bases)
        self._take = take
        self._clock = clock
        self._key = api_key
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # Compressed, an event would wait in the server for others to be sent with.
        headers["Accept-Encoding"] = "identity"
        self._client = httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(5.0, read=None))
        self._feeds: FeedIds | None = None
        self._wanted: tuple[str, ...] = ()
        self._symbols: dict[str, list[str]] = {}
        self._unknown: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._requests = PythRequests(api_key, clock, memory)
        self._failures = 0

    async def list_symbols(self) -> Sequence[str]:
        """Every symbol with a feed of its own; feeds that are in doubt are refused, and said."""
        await self._may_ask()
        url, query = f"{self._bases[0]}/v2/price_feeds", {"asset_type": "crypto"}
        try:
            async with (
                asyncio.timeout(FIRST_EVENT_S),
                self._client.stream("GET", url, params=query) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise await self._refused(response)
                listed = await response.aread()
        except (httpx.HTTPError, TimeoutError) as error:
            self._next_base()
            raise FeedError(f"Pyth does not say which feeds it has: {_words(error)}") from error
        except FeedError:
            self._next_base()
            raise
        try:
            feeds = read_feeds(msgspec.json.decode(listed, type=list[ListedFeed]))
        except msgspec.MsgspecError as error:
            raise FeedError(f"Pyth's list of feeds cannot be read: {error}") from error
        for base, why in feeds.refused.items():
            log.error("no Pyth prices of %s: %s", base, why)
        self._feeds = feeds
        self._changed.set()
        if self._memory is not None:
            await self._memory.know_feeds(feeds)
        return feeds.symbols

    def want(self, symbols: Sequence[str]) -> None:
        """Sets what is streamed from now on."""
        if tuple(symbols) != self._wanted:
            self._wanted = tuple(symbols)
            self._changed.set()

    async def run(self) -> None:
        """Streams until it is canceled. Ids that were verified before do until they are anew."""
        stream: _Stream | None = None
        try:
            await self._remember()
            while True:
                self._changed.clear()
                ids = self._wanted_ids()
                if not ids:
                    await _end(stream)
                    stream = None
                    # Without feeds there is nothing to stream, and a refusal may be why.
                    is_idle = self._feeds is not None or not self._wanted
                    self.report.state = "idle" if is_idle else "waiting"
                    self.report.connected_since = None
                    await self._changed.wait()
                    continue
                if stream is None or stream.ids != ids:
                    stream = await self._replace(stream, ids)
                if stream is not None:
                    stream = await self._watch(stream)
        finally:
            await _end(stream)
            await self.close()

    async def _remember(self) -> None:
        if self._memory is None:
            return
        try:
            known = await self._memory.known_feeds()
        except AWAY as error:
            log.warning("Pyth's feeds are asked for first, Redis does not answer: %s", error)
            return
        if self._feeds is None:
            self._feeds = known

    async def close(self) -> None:
        """Closes what is open; run() does it at its end."""
        await self._client.aclose()

    async def _replace(self, old: _Stream | None, ids: frozenset[str]) -> _Stream | None:
        """A stream of these ids once it has prices; else what there was, after a pause."""
        new = _Stream(ids)
        new.task = asyncio.create_task(self._read(new))
        prices = asyncio.create_task(new.has_prices.wait())
        try:
            await asyncio.wait({prices, new.task}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await asyncio.gather(_end(new), _end(old))
            raise
        finally:
            prices.cancel()
        if not new.task.done():
            await _end(old)
            return new
        await self._failed(new.task)
        if old is None or old.task is None or old.task.done():
            return None
        self.report.state = "connected"
        return old

    async def _watch(self, stream: _Stream) -> _Stream | None:
        """Waits until the stream ends or other symbols are wanted; what is left of it."""
        assert stream.task is not None
        changed = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait({changed, stream.task}, return_when=asyncio.FIRST_COMPLETED)
            if not stream.task.done():
                await asyncio.sleep(SETTLE_S)
                return stream
        except asyncio.CancelledError:
            await _end(stream)
            raise
        finally:
            changed.cancel()
        await self._failed(stream.task)
        return None

    async def _failed(self, task: "asyncio.Task[None]") -> None:
        """Says why a stream has ended, and waits before the next one."""
        error = task.exception()
        assert error is not None, "a stream ends with an error"
        if not isinstance(error, FeedError):
            raise error
        self.report.failed(str(error))
        log.warning("prices of Pyth: %s", error)
        if isinstance(error, _UnknownIds):
            until = asyncio.get_running_loop().time() + UNKNOWN_FOR_S
            self._unknown.update(dict.fromkeys(error.ids, until))
            return
        if isinstance(error, _Banned):
            pause_s = BANNED_S
        else:
            step = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
            pause_s = step * random.uniform(0.5, 1.0)
        self._failures += 1
        self._next_base()
        self.report.state, self.report.connected_since = "waiting", None
        self.report.retry_at = self._clock() + pause_s
        await asyncio.sleep(pause_s)
        self.report.retry_at = None

    async def _read(self, stream: _Stream) -> None:
        """Reads one stream to its end, which is always an error."""
        await self._may_ask()
        if self.report.state != "connected":
            self.report.state = "connecting"
        url = f"{self._bases[0]}/v2/updates/price/stream"
        query = {"ids[]": sorted(stream.ids), "parsed": "true", "encoding": "base64"}
        try:
            async with (
                asyncio.timeout(FIRST_EVENT_S) as patience,
                self._client.stream("GET", url, params=query) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise await self._refused(response)
                self._connected()
                parser = EventParser()
                loop = asyncio.get_running_loop()
                async for chunk in response.aiter_bytes():
                    for event in parser.feed(chunk):
                        if self._on_event(stream, event):
                            patience.reschedule(loop.time() + SILENCE_S)
        except TimeoutError as error:
            raise FeedError("no prices for some seconds, beginning anew") from error
        except (httpx.HTTPError, EventTooLong) as error:
            raise FeedError(f"the stream broke: {_words(error)}") from error
        raise FeedError("the server ended the stream")

    def _connected(self) -> None:
        self.report.connections += 1
        self.report.state = "connected"
        self.report.connected_since = self._clock()

    def _on_event(self, stream: _Stream, event: ServerEvent) -> bool:
        """Takes one event; whether it had prices. An error that ends the stream is raised."""
        if event.name == "error":
            text = short_of(without_key(event.data.decode(errors="replace"), self._key))
            if text.startswith("Error receiving update"):
                self.report.failed(text)
                return False
            raise FeedError(f"the server says: {text}")
        self.report.messages += 1
        updates = self._updates(event.data)
        if updates:
            self.report.last_message_at = self._clock()
            self._failures = 0
            self._take(updates)
            stream.has_prices.set()
        return bool(updates)

    def _updates(self, data: bytes) -> list[PriceUpdate]:
        try:
            parsed = msgspec.json.decode(data, type=PriceEvent).parsed
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.report.malformed += 1
            return []
        updates: list[PriceUpdate] = []
        for raw in parsed:
            try:
                feed_id, price, conf, published = read_feed(raw)
            except (msgspec.MsgspecError, ValueError, OverflowError):
                self.report.malformed += 1
                continue
            updates += [
                PriceUpdate(symbol, price, published, conf)
                for symbol in self._symbols.get(feed_id, ())
            ]
        return updates

    def _wanted_ids(self) -> frozenset[str]:
        """The ids of the symbols wanted, without those that the server does not know."""
        now = asyncio.get_running_loop().time()
        self._unknown = {i: until for i, until in self._unknown.items() if until > now}
        self._symbols = {}
        missing: list[str] = []
        for symbol in self._wanted if self._feeds else ():
            feed_id = self._feeds.of(symbol) if self._feeds else None
            if feed_id is None or feed_id in self._unknown:
                missing.append(symbol)
            else:
                self._symbols.setdefault(feed_id, []).append(symbol)
        self.report.unknown = missing
        return frozenset(self._symbols)

    async def _may_ask(self) -> None:
        """Waits until one more request may be made, and says so where a refusal is why."""
        if banned_s := await self._requests.banned_s():
            self.report.retry_at = self._clock() + banned_s
            if self.report.state != "connected":
                self.report.state = "waiting"
        await self._requests.turn()
        self.report.retry_at = None

    async def _refused(self, response: httpx.Response) -> FeedError:
        """What a status other than 200 means; notes until when nothing is to be asked."""
        body = await _beginning(response)
        error = _refusal(response.status_code, without_key(body, self._key))
        if isinstance(error, _Banned):
            await self._requests.refused()
            self.report.retry_at = self._clock() + await self._requests.banned_s()
        return error

    def _next_base(self) -> None:
        self._bases.append(self._bases.pop(0))


def _refusal(status: int, body: str) -> FeedError:
    text = short_of(body)
    if status in {401, 403}:
        return _Banned(f"Pyth refuses the key (HTTP {status}): look at ARTIC_PYTH_API_KEY. {text}")
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return _Banned(f"Pyth has had too many requests from here (HTTP 429). {text}")
    if status == httpx.codes.NOT_FOUND and text.lower().startswith(_NOT_FOUND):
        ids = {found.lower() for found in re.findall(r"(?:0x)?([0-9a-fA-F]{64})", body)}
        if ids:
            return _UnknownIds(f"Pyth does not know {len(ids)} of the feeds", ids)
    return FeedError(f"Pyth answers HTTP {status}: {text}")


async def _beginning(response: httpx.Response) -> str:
    """The first bytes of a body, which may have no end, or never come."""
    body = b""
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(BODY_S):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) >= _BODY_BYTES_MAX:
                    break
    return body[:_BODY_BYTES_MAX].decode(errors="replace")


async def _end(stream: _Stream | None) -> None:
    if stream is not None and stream.task is not None:
        stream.task.cancel()
        with suppress(asyncio.CancelledError, FeedError):
            await stream.task


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
