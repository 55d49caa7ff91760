"""The port of streamed prices, and what every stream shares: a buffer and a report.

A stream reads its socket in a task of its own and puts what it reads into the buffer, which holds
one entry for each symbol, however slow the writer is. The writer empties it a few times a second.
"""

import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import msgspec

from adapters.live_table import SeenPrice
from adapters.price_gate import PriceGate, PriceUpdate

TEXT_CHARACTERS_MAX = 300
"""Of what a server says, as far as it is repeated in reports and logs."""


class FeedReport(msgspec.Struct, kw_only=True):
    """How a stream of prices is doing, for operators. Times are Unix seconds, None for never."""

    source: str
    state: str = "starting"
    connected_since: float | None = None
    last_message_at: float | None = None
    connections: int = 0
    messages: int = 0
    malformed: int = 0
    errors: int = 0
    last_error: str | None = None
    retry_at: float | None = None
    dropped: dict[str, int] = {}
    unknown: list[str] = []
    """Symbols asked for that the source does not have."""

    def failed(self, text: str) -> None:
        """Notes an error; the text is cut."""
        self.errors += 1
        self.last_error = " ".join(text.split())[:TEXT_CHARACTERS_MAX]


class PriceFeed(Protocol):
    """A stream of prices from one service."""

    report: FeedReport

    async def list_symbols(self) -> Sequence[str]:
        """Every symbol the service has prices for.

        Raises:
            FeedError: it does not say.
        """

    def want(self, symbols: Sequence[str]) -> None:
        """Sets what is streamed from now on; the others go on while it changes."""

    def run(self) -> Coroutine[Any, Any, None]:
        """Streams until it is canceled; connects again by itself, whatever happens."""


class PriceBuffer:
    """What was seen of each symbol since it was emptied last. clock: Unix seconds of Redis."""

    def __init__(self, gate: PriceGate, clock: Callable[[], float] = time.time) -> None:
        self.gate = gate
        self.dropped: Counter[str] = Counter()
        self._clock = clock
        self._seen: dict[str, SeenPrice] = {}

    def put(self, updates: Sequence[PriceUpdate]) -> None:
        """Takes updates in the order in which they came; drops and counts what is no price."""
        now = self._clock()
        for update in updates:
            why = self.gate.refuses(update, now)
            if why is None:
                self._seen[update.symbol] = _joined(self._seen.get(update.symbol), update)
            else:
                self.dropped[why] += 1

    def take(self) -> list[SeenPrice]:
        """Empties the buffer."""
        seen, self._seen = self._seen, {}
        return list(seen.values())

    def put_back(self, seen: Sequence[SeenPrice]) -> None:
        """What was taken could not be written: it goes before what has come since."""
        for older in seen:
            newer = self._seen.get(older.symbol)
            self._seen[older.symbol] = older if newer is None else _followed(older, newer)


def _joined(before: SeenPrice | None, update: PriceUpdate) -> SeenPrice:
    price = update.price
    if before is None:
        return SeenPrice(
            update.symbol, price, price, price, price, update.volume, update.publish_time,
            update.conf,
        )  # fmt: skip
    return SeenPrice(
        update.symbol, before.open, max(before.high, price), min(before.low, price), price,
        before.volume + update.volume, update.publish_time, update.conf,
    )  # fmt: skip


def _followed(older: SeenPrice, newer: SeenPrice) -> SeenPrice:
    return SeenPrice(
        newer.symbol, older.open, max(older.high, newer.high), min(older.low, newer.low),
        newer.close, older.volume + newer.volume, newer.publish_time, newer.conf,
    )  # fmt: skip


def short_of(text: str) -> str:
    """What a server said, in one line that fits into a log."""
    return " ".join(text.split())[:TEXT_CHARACTERS_MAX]


def without_key(text: str, key: str) -> str:
    """What a server said, which is told to people, without the key that it may have repeated."""
    return text.replace(key, "***") if key else text
