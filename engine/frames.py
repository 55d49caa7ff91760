"""Frames: what one slot saw, and how candles grow from one frame to the next.

Pure. A source says what it saw since the frame before (Pieces); `next_frame` folds that into the
forming bars of every symbol and timeframe and hands out the bars that closed. The same frame
before and the same pieces give the same frame, bit for bit, on every machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Number = TypeVar("Number", int, Ints)

TIMEFRAMES: Final[Mapping[str, int]] = MappingProxyType(
    {"1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "4h": 14_400, "1d": 86_400}
)
"""Timeframe to seconds, shortest first: the order of axis 1 of Frame.forming and Frame.closed."""
TIMEFRAME_NAMES: Final = tuple(TIMEFRAMES)
TIMEFRAME_SECONDS: Final[Floats] = np.array(list(TIMEFRAMES.values()), dtype=np.float64)
WINDOW_BARS: Final = 500
"""Longest window of candles that anybody gets, the forming bar included."""

PRICE_STALE_S: Final = 10
"""A price whose publish time lies further back than this opens nothing and holds exits."""

TIME, OPEN, HIGH, LOW, CLOSE, VOLUME = range(6)
"""Columns of a bar. time is its open in Unix seconds, volume is in base units."""
BAR_RECORD: Final = np.dtype([("number", "<i8"), ("bar", "<f8", (6,))])
"""One closed bar as it is stored: 56 bytes."""

FRAME_FORMAT: Final = 1
_LAYING_BITS: Final = 20
_LAID_MAX: Final = 1024
_PREFIX: Final = np.dtype([("format", "<u4"), ("header_bytes", "<u4")])


class FrameError(EngineError):
    """Bytes that are no frame, or one of a format that this version does not know."""


class _Header(msgspec.Struct, array_like=True):
    slot: int
    source: str
    symbols: tuple[str, ...]
    cursor: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What slot `slot` saw. S symbols, 7 timeframes.

    price f8[S], NaN before the first one; publish_time f8[S], Unix seconds, NaN never;
    candle_time f8[S], where candles stand: the recording's time, else the slot;
    forming f8[S, 7, 6], NaN where no bar has begun; closed i8[S, 7], the number of the last closed
    bar, which is the version of the window. cursor names what of a live table was seen so far, ""
    where prices are a function of the slot.
    """

    slot: int
    source: str
    symbols: tuple[str, ...]
    price: Floats
    publish_time: Floats
    candle_time: Floats
    forming: Floats
    closed: Ints
    cursor: str = ""

    def find(self, symbol: str) -> int:
        """Index of a symbol, -1 for one that the frame does not have."""
        return self.symbols.index(symbol) if symbol in self.symbols else -1

    @property
    def moment(self) -> Floats:
        """f8[S]: the time of each market, Unix seconds: the recording's where one is replayed."""
        return np.where(np.isnan(self.candle_time), float(self.slot), self.candle_time)


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """What a source saw since the frame before: K pieces of path for each of S symbols.

    path f8[K, S, 6]: a piece is a bar whose time is where it starts, NaN for nothing; a symbol's
    pieces are in order of time and none reaches over a full minute. candle_time f8[S]: where the
    path ends; bars up to it are closed. price, publish_time f8[S]: NaN keeps those of the frame
    before. opening f8[S, 7, 6]: forming bars as the source knows them, when windows are laid anew
    instead of carried on (no frame before, or too long ago); then K is 0.
    """

    symbols: tuple[str, ...]
    path: Floats
    candle_time: Floats
    price: Floats
    publish_time: Floats
    opening: Floats | None = None


class ClosedBar(NamedTuple):
    """A bar that closed: bar is f8[6] (time, open, high, low, close, volume)."""

    symbol: str
    timeframe: str
    number: int
    bar: Floats


def laid_number(slot: int) -> int:
    """Number of the last bar of a window laid in a slot; bars built afterwards count on from it.

    Bars of one laying have consecutive numbers, and those of a later one are all higher, without
    anything to be remembered of the earlier.
    """
    return (slot << _LAYING_BITS) + _LAID_MAX


def laying(number: Number) -> Number:
    """The slot in which the window was laid that bars of these numbers belong to."""
    return number >> _LAYING_BITS


def is_laid(numbers: Ints) -> Mask:
    """Which bars were laid from a source's history; the others were built from frames."""
    count: Ints = numbers & ((1 << _LAYING_BITS) - 1)
    return count <= _LAID_MAX


def bar_open(time: Floats | float, seconds: Floats | float) -> Floats:
    """When the bar began that a moment lies in. Exact: no quotient is rounded on the way."""
    return np.subtract(time, np.mod(time, seconds))


def next_frame(
    before: Frame | None, pieces: Pieces, slot: int, source: str
) -> tuple[Frame, list[ClosedBar]]:
    """The frame of a slot, and the bars that closed since the frame before, oldest first.

    A symbol that `before` lacks begins with nothing, one that `pieces` lacks is dropped.
    """
    symbols = pieces.symbols
    price, publish_time, forming, closed = _carried(before, symbols, slot)
    bars: list[ClosedBar] = []
    if pieces.opening is not None:
        assert len(pieces.path) == 0, "windows are laid anew and carried on at once"
        forming = pieces.opening.copy()
        closed = np.full_like(closed, laid_number(slot))
    for piece in pieces.path:
        _fold(forming, closed, piece, symbols, bars)
    # A bar that has not begun has no time: the comparison with NaN leaves it alone.
    ended = forming[..., TIME] + TIMEFRAME_SECONDS <= pieces.candle_time[:, None]
    _close(ended, forming, closed, symbols, bars)
    frame = Frame(
        slot=slot,
        source=source,
        symbols=symbols,
        price=np.where(np.isnan(pieces.price), price, pieces.price),
        publish_time=np.where(np.isnan(pieces.publish_time), publish_time, pieces.publish_time),
        candle_time=pieces.candle_time.copy(),
        forming=forming,
        closed=closed,
    )
    return frame, bars


def _carried(
    before: Frame | None, symbols: tuple[str, ...], slot: int
) -> tuple[Floats, Floats, Floats, Ints]:
    """price, publish time, forming and closed of the frame before, in the order of `symbols`."""
    if before is not None and before.symbols == symbols:
        return before.price, before.publish_time, before.forming.copy(), before.closed.copy()
    size = len(symbols)
    price, publish_time = np.full(size, np.nan), np.full(size, np.nan)
    forming = np.full((size, len(TIMEFRAMES), 6), np.nan)
    closed = np.full((size, len(TIMEFRAMES)), laid_number(slot), dtype=np.int64)
    if before is not None:
        old = np.array([before.find(symbol) for symbol in symbols], dtype=np.intp)
        kept = old >= 0
        price[kept], publish_time[kept] = before.price[old[kept]], before.publish_time[old[kept]]
        forming[kept], closed[kept] = before.forming[old[kept]], before.closed[old[kept]]
    return price, publish_time, forming, closed


def _fold(
    forming: Floats, closed: Ints, piece: Floats, symbols: tuple[str, ...], bars: list[ClosedBar]
) -> None:
    """Takes one piece f8[S, 6] into the forming bars, in place."""
    start = bar_open(piece[:, None, TIME], TIMEFRAME_SECONDS)
    seen = ~np.isnan(start)
    has_bar = ~np.isnan(forming[..., TIME])
    later = start > forming[..., TIME]
    _close(later, forming, closed, symbols, bars)
    begun = seen & (later | ~has_bar)
    grown = seen & ~begun
    whole = np.broadcast_to(piece[:, None, :], forming.shape)
    np.copyto(forming, whole, where=begun[..., None])
    np.copyto(forming[..., TIME], start, where=begun)
    np.maximum(forming[..., HIGH], whole[..., HIGH], out=forming[..., HIGH], where=grown)
    np.minimum(forming[..., LOW], whole[..., LOW], out=forming[..., LOW], where=grown)
    np.copyto(forming[..., CLOSE], whole[..., CLOSE], where=grown)
    np.add(forming[..., VOLUME], whole[..., VOLUME], out=forming[..., VOLUME], where=grown)


def _close(
    ended: Mask, forming: Floats, closed: Ints, symbols: tuple[str, ...], bars: list[ClosedBar]
) -> None:
    """Hands out the forming bars that have ended, in place."""
    if not ended.any():
        return
    closed[ended] += 1
    done = forming[ended]
    for (s, t), number, bar in zip(np.argwhere(ended), closed[ended], done, strict=True):
        bars.append(ClosedBar(symbols[s], TIMEFRAME_NAMES[t], int(number), bar))
    forming[ended] = np.nan


def encode_frame(frame: Frame) -> bytes:
    """A prefix, a msgpack header filled up to eight bytes, the arrays as they lie in memory."""
    said = (frame.slot, frame.source, frame.symbols)
    header = msgspec.msgpack.encode((*said, frame.cursor) if frame.cursor else said)
    prefix = np.array((FRAME_FORMAT, len(header)), dtype=_PREFIX)
    floats = (frame.price, frame.publish_time, frame.candle_time, frame.forming)
    parts = [prefix.tobytes(), header, bytes(-len(header) % 8)]
    parts += [array.astype("<f8", copy=False).tobytes() for array in floats]
    parts.append(frame.closed.astype("<i8", copy=False).tobytes())
    return b"".join(parts)


def decode_frame(data: bytes) -> Frame:
    """The inverse of encode_frame; the arrays are read-only views of `data`.

    Raises:
        FrameError: these are not the bytes of a frame of this format.
    """
    if len(data) < _PREFIX.itemsize:
        raise FrameError("too short for a frame")
    prefix = np.frombuffer(data, _PREFIX, count=1)[0]
    if prefix["format"] != FRAME_FORMAT:
        raise FrameError(f"frame format {prefix['format']}, this version knows {FRAME_FORMAT}")
    header_end = _PREFIX.itemsize + int(prefix["header_bytes"])
    try:
        header = msgspec.msgpack.decode(data[_PREFIX.itemsize : header_end], type=_Header)
    except msgspec.MsgspecError as error:
        raise FrameError(f"no frame header: {error}") from error
    size, spans = len(header.symbols), len(TIMEFRAMES)
    begin = header_end + -header_end % 8
    if len(data) != begin + 8 * size * (3 + spans * 6 + spans):
        raise FrameError(f"{len(data)} bytes are not a frame of {size} symbols")
    floats = np.frombuffer(data, "<f8", count=size * (3 + spans * 6), offset=begin)
    price, publish_time, candle_time = floats[: 3 * size].reshape(3, size)
    closed = np.frombuffer(data, "<i8", offset=begin + floats.nbytes).reshape(size, spans)
    return Frame(
        slot=header.slot,
        source=header.source,
        symbols=header.symbols,
        price=price,
        publish_time=publish_time,
        candle_time=candle_time,
        forming=floats[3 * size :].reshape(size, spans, 6),
        closed=closed,
        cursor=header.cursor,
    )
