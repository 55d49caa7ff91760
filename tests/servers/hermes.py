"""A Hermes server: the REST and SSE of Pyth's price service as it is written down, with faults.

Every event carries every feed asked for, changed or not; prices and confidences are strings; an
error is text. Counts connections, requests and streams. `python -m tests.servers.hermes` runs one
with prices that move, and prints the settings for it.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from adapters.pyth_feeds import KNOWN_IDS
from tests.servers.wire import Asked, WireServer, begin_stream, respond, write_chunk

KEEP_ALIVE_S = 15.0
SLOW_BYTES = 1_000_000
"""What a reader may leave unread before it is dropped."""
STREAM = "/v2/updates/price/stream"
KEY = "a-key-of-pyth"
PRICES = {"BTC": 61409.93501, "ETH": 3012.5, "SOL": 151.25, "BONK": 0.0000242, "USDT": 1.0}


@dataclass
class Feed:
    """One feed; the price is what it publishes now."""

    feed_id: str
    base: str
    price: float
    expo: int = -8
    publish_time: Callable[[], float] = time.time

    def parsed(self) -> dict[str, object]:
        """Its part of an event."""
        published = int(self.publish_time())
        whole = {"conf": "3287868", "expo": self.expo, "publish_time": published}
        price = {"price": str(round(self.price * 10**-self.expo)), **whole}
        slots = {"slot": 138881186, "proof_available_time": published + 2}
        return {
            "id": self.feed_id,
            "price": price,
            "ema_price": price,
            "metadata": {**slots, "prev_publish_time": None},
        }


@dataclass
class Faults:
    """What goes wrong from now on."""

    refuse: tuple[int, str] | None = None
    """Answer everything with this status and text."""
    refusal_stalls: bool = False
    """The text breaks off, and the rest never comes."""
    silent: bool = False
    """Streams send keep-alives only."""
    stalled: bool = False
    """Streams send nothing at all."""


@dataclass
class HermesServer:
    """One server. feeds by base currency; event_s seconds between two events."""

    feeds: dict[str, Feed]
    event_s: float = 0.05
    key: str = KEY
    walk: float = 0.0
    """By which fraction prices move between two events."""
    faults: Faults = field(default_factory=Faults)
    requests: Counter[str] = field(default_factory=Counter)
    asked_ids: list[list[str]] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)
    held_list: asyncio.Event | None = None
    """The list of feeds waits for it."""
    open_streams: int = 0
    most_streams: int = 0
    events: int = 0

    def __post_init__(self) -> None:
        self.wire = WireServer(self._handle)
        self._pending: list[asyncio.Queue[bytes | None]] = []

    @property
    def url(self) -> str:
        """Its base, with a path, as the present one has."""
        return f"http://127.0.0.1:{self.wire.port}/hermes"

    @property
    def streams_asked(self) -> int:
        """How many streams were asked for so far."""
        return self.requests[STREAM]

    def say(self, text: bytes) -> None:
        """Puts these bytes into every stream."""
        for queue in self._pending:
            queue.put_nowait(text)

    def malformed(self) -> None:
        """An event that is cut off in the middle."""
        self.say(b'data:{"binary":{"encoding":"base64","data":["UE5BVQ"]},"parsed":[{"id":"e6\n\n')

    def end(self, text: str = "Connection timeout reached (24h)") -> None:
        """Ends every stream as the server does after a day."""
        self.say(f"event: error\ndata: {text}\n\n".encode())
        for queue in self._pending:
            queue.put_nowait(None)

    def stall(self) -> None:
        """The streams there are stay open and say nothing any more; new ones are well."""
        for queue in self._pending:
            queue.put_nowait(STALL)

    async def _handle(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        path = asked.path.removeprefix("/hermes")
        self.requests[path] += 1
        self.asked_at.append(time.monotonic())
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if self.faults.refuse is not None:
            status, text = self.faults.refuse
            if self.faults.refusal_stalls:
                head = f"HTTP/1.1 {status} Said\r\ncontent-length: {len(text) + 100}\r\n\r\n"
                writer.write(f"{head}{text}".encode())
                return await self._until_left(writer)
            return respond(writer, status, text.encode(), "text/plain")
        if self.key and token != self.key:
            return respond(writer, 401, b"missing or unknown API key", "text/plain")
        if path == "/v2/price_feeds":
            if self.held_list is not None:
                await self.held_list.wait()
            return respond(writer, 200, json.dumps(self._listed(asked)).encode())
        if path not in {STREAM, "/v2/updates/price/latest"}:
            return respond(writer, 404, b"", "text/plain")
        by_id = {feed.feed_id: feed for feed in self.feeds.values()}
        ids = [feed_id.lower().removeprefix("0x") for feed_id in asked.values("ids[]")]
        unknown = [feed_id for feed_id in ids if feed_id not in by_id]
        if not ids:
            text = "Failed to deserialize query string: missing field `ids`"
            return respond(writer, 400, text.encode(), "text/plain")
        if unknown and "true" not in asked.values("ignore_invalid_price_ids"):
            named = ", ".join(f"0x{feed_id}" for feed_id in unknown)
            return respond(writer, 404, f"Price ids not found: {named}".encode(), "text/plain")
        feeds = [by_id[feed_id] for feed_id in ids if feed_id in by_id]
        if path.endswith("/latest"):
            return respond(writer, 200, json.dumps(_update(feeds)).encode())
        self.asked_ids.append(ids)
        return await self._stream(feeds, writer)

    def _listed(self, asked: Asked) -> list[dict[str, object]]:
        part = (asked.values("query") or [""])[0].lower()
        return [
            {"id": feed.feed_id, "attributes": _attributes(feed.base)}
            for feed in self.feeds.values()
            if part in f"crypto.{feed.base.lower()}/usd"
        ]

    async def _until_left(self, writer: asyncio.StreamWriter) -> None:
        """Waits until the client closes its socket."""
        reader = self.wire.reader_of(writer)
        await reader.read(1)

    async def _stream(self, feeds: list[Feed], writer: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._pending.append(queue)
        self.open_streams += 1
        self.most_streams = max(self.most_streams, self.open_streams)
        try:
            begin_stream(writer)
            kept_at = time.monotonic()
            while True:
                try:
                    said = await asyncio.wait_for(queue.get(), self.event_s)
                except TimeoutError:
                    said = b""
                if writer.is_closing():
                    return
                if said is None:
                    break
                if said is STALL:
                    await self._until_left(writer)
                    return
                if said:
                    write_chunk(writer, said)
                elif self.faults.stalled:
                    continue
                elif self.faults.silent:
                    if time.monotonic() - kept_at >= KEEP_ALIVE_S:
                        kept_at = time.monotonic()
                        write_chunk(writer, b":\n\n")
                elif writer.transport.get_write_buffer_size() > SLOW_BYTES:
                    write_chunk(writer, b"event: error\ndata: Slow consumer: disconnected\n\n")
                    break
                else:
                    self.events += 1
                    for feed in feeds:
                        feed.price *= 1 + random.gauss(0, self.walk)
                    write_chunk(writer, b"data:" + json.dumps(_update(feeds)).encode() + b"\n\n")
            write_chunk(writer, b"")
            writer.close()
        finally:
            self._pending.remove(queue)
            self.open_streams -= 1


STALL = b"stall"
"""Put into a stream's queue, it is not said: the stream falls silent."""


def _update(feeds: list[Feed]) -> dict[str, object]:
    binary = {"encoding": "base64", "data": ["UE5BVQEAAAADuAEAAAAEDQ" * 40]}
    return {"binary": binary, "parsed": [feed.parsed() for feed in feeds]}


def _attributes(base: str) -> dict[str, str]:
    return {
        "asset_type": "Crypto",
        "base": base,
        "description": f"{base} / US DOLLAR",
        "display_symbol": f"{base}/USD",
        "generic_symbol": f"{base}USD",
        "quote_currency": "USD",
        "schedule": "America/New_York;O,O,O,O,O,O,O;",
        "symbol": f"Crypto.{base}/USD",
    }


def default_feeds() -> dict[str, Feed]:
    """BTC, ETH, SOL, BONK and USDT under their true ids, and WBTC under an id of its own."""
    feeds = {base: Feed(KNOWN_IDS[base], base, price) for base, price in PRICES.items()}
    feeds["BONK"].expo = -10
    feeds["WBTC"] = Feed("ab" * 32, "WBTC", 61_300.0)
    return feeds


@asynccontextmanager
async def hermes(**settings: object) -> AsyncIterator[HermesServer]:
    """A server on a free port."""
    server = HermesServer(default_feeds())
    for name, value in settings.items():
        setattr(server, name, value)
    await server.wire.start()
    try:
        yield server
    finally:
        await server.wire.stop()


async def _serve() -> None:
    async with hermes(event_s=0.4, walk=3e-4) as server:
        print(f"ARTIC_PRICE_SOURCE=pyth ARTIC_PYTH_URL={server.url} ARTIC_PYTH_API_KEY={KEY}")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
