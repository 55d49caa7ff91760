"""Fetched candles: what a source answers, checked and put in order. Pure, but for the port.

Sources send text or numbers, newest first or last, the unfinished bar among the others. Here they
become closed bars, oldest first, and what the unfinished one had come to.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec
import numpy as np

from adapters.errors import FeedError
from engine.frames import CLOSE, HIGH, LOW, OPEN, TIME, TIMEFRAMES, VOLUME, WINDOW_BARS, Floats

CANDLES_FRESH_S: Final = 60.0
"""Candles that were fetched longer ago are fetched again before they are served."""
WindowName = tuple[str, str]
"""Symbol and timeframe."""


class CandleError(FeedError):
    """A source does not give these candles now."""


class BudgetSpent(CandleError):
    """No request may be made before `until`, Unix seconds."""

    def __init__(self, text: str, until: float) -> None:
        super().__init__(text)
        self.until = until


class NoSuchCandles(CandleError):
    """The source has no such symbol or timeframe, and will not have it soon."""


class KeyRefused(CandleError):
    """The source does not take the key, or its plan lacks what was asked for."""


class FetchedCandles(msgspec.Struct, frozen=True, kw_only=True):
    """Closed bars f8[N, 6] of one source, oldest first, volume NaN where it has none.

    fetched_at: Unix seconds of Redis. forming: f8[6], the unfinished bar as it was then, if the
    source sent it. fill_from: from which bar on they count for windows; earlier ones have been
    filled from another source (see `following`).
    """

    source: str
    fetched_at: float
    bars: Floats
    forming: Floats | None = None
    fill_from: float = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether there is no bar in it at all: such an answer is none."""
        return not len(self.bars) and self.forming is None

    @property
    def has_volume(self) -> bool:
        """Whether every bar has one."""
        return len(self.bars) > 0 and bool(np.isfinite(self.bars[:, VOLUME]).all())

    @property
    def newest(self) -> float:
        """When the newest closed bar began; -inf without one."""
        return float(self.bars[-1, TIME]) if len(self.bars) else -math.inf

    def following(self, before: "FetchedCandles | None") -> "FetchedCandles":
        """These candles as the next ones after others of the same symbol and timeframe.

        Two sources never agree to the last digit. So that windows do not change as a whole with
        every turn of sources, what one has filled stays its own, and the other goes on after it;
        but one with volumes takes over from one without, and not the other way around.
        """
        if before is None or not len(before.bars):
            return self
        fill_from = before.fill_from
        if before.has_volume and not self.has_volume:
            fill_from = math.inf
        elif self.has_volume and not before.has_volume:
            fill_from = 0.0
        elif before.source != self.source:
            fill_from = before.newest + 1
        return msgspec.structs.replace(self, fill_from=fill_from)


class CandleSource(Protocol):
    """Somebody who answers with candles. Name: what answers call it."""

    name: str

    async def fetch(self, symbol: str, timeframe: str) -> FetchedCandles:
        """The newest 500 bars or so.

        Raises:
            CandleError: it has none, or does not answer now.
        """


def clean_candles(
    source: str, timeframe: str, rows: Iterable[Sequence[float]], now: float
) -> FetchedCandles:
    """Rows of (time, open, high, low, close, volume) in any order, as candles at time `now`.

    What is no bar is left out: a time off the grid of the timeframe, a price that is not a finite
    number above zero, a high below a low. Of two bars of one time the last row counts.
    """
    seconds = TIMEFRAMES[timeframe]
    table = np.array([tuple(row) for row in rows], dtype=np.float64).reshape(-1, 6)
    prices = table[:, OPEN : CLOSE + 1]
    good = np.isfinite(prices).all(axis=1) & (prices > 0).all(axis=1)
    good &= table[:, TIME] % seconds == 0
    good &= table[:, HIGH] >= np.maximum(table[:, OPEN], table[:, CLOSE])
    good &= table[:, LOW] <= np.minimum(table[:, OPEN], table[:, CLOSE])
    good &= ~(table[:, VOLUME] < 0)
    table = table[good]
    _, last = np.unique(table[::-1, TIME], return_index=True)
    bars = table[::-1][last]
    is_closed = bars[:, TIME] + seconds <= now
    is_now = (bars[:, TIME] <= now) & ~is_closed
    forming = bars[is_now][-1] if is_now.any() else None
    closed = bars[is_closed][-WINDOW_BARS:]
    return FetchedCandles(source=source, fetched_at=now, bars=closed, forming=forming)


class _Stored(msgspec.Struct, array_like=True):
    source: str
    fetched_at: float
    fill_from: float
    bars: bytes
    forming: bytes


def encode_candles(candles: FetchedCandles) -> bytes:
    """As they lie in Redis."""
    forming = b"" if candles.forming is None else candles.forming.astype("<f8").tobytes()
    bars = candles.bars.astype("<f8").tobytes()
    stored = _Stored(candles.source, candles.fetched_at, candles.fill_from, bars, forming)
    return msgspec.msgpack.encode(stored)


def decode_candles(data: bytes) -> FetchedCandles:
    """The inverse of encode_candles."""
    stored = msgspec.msgpack.decode(data, type=_Stored)
    return FetchedCandles(
        source=stored.source,
        fetched_at=stored.fetched_at,
        bars=np.frombuffer(stored.bars, "<f8").reshape(-1, 6),
        forming=np.frombuffer(stored.forming, "<f8") if stored.forming else None,
        fill_from=stored.fill_from,
    )
