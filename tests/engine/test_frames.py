"""Frames: candles grow the same however the path is cut, and frames survive their bytes."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.frames import (
    TIME,
    TIMEFRAME_NAMES,
    TIMEFRAMES,
    ClosedBar,
    Floats,
    Frame,
    FrameError,
    Pieces,
    decode_frame,
    encode_frame,
    is_laid,
    laid_number,
    laying,
    next_frame,
)

START = 1_700_000_000  # not the beginning of anything
Bar = tuple[float, ...]


def piece(points: Sequence[float], first: int, last: int) -> Bar:
    """The path from second `first` to `last` as one bar; each second trades its own number."""
    path = points[first : last + 1]
    volume = float(sum(range(first, last)))
    return (float(START + first), path[0], max(path), min(path), path[-1], volume)


def pieces(symbol: str, points: Sequence[float], first: int, last: int) -> Pieces:
    """What the slot at second `last` saw since second `first`, cut at full minutes."""
    marks = [s for s in range(first + 1, last) if (START + s) % 60 == 0]
    cuts = [first, *marks, last]
    rows = [piece(points, a, b) for a, b in itertools.pairwise(cuts)]
    end = float(START + last)
    return Pieces(
        symbols=(symbol,),
        path=np.array(rows)[:, None, :],
        candle_time=np.array([end]),
        price=np.array([points[last]]),
        publish_time=np.array([end]),
    )


def nothing(symbols: tuple[str, ...], candle_time: float) -> Pieces:
    silent = np.full(len(symbols), np.nan)
    now = np.full(len(symbols), candle_time)
    return Pieces(symbols, np.empty((0, len(symbols), 6)), now, silent, silent)


def folded(points: Sequence[float], ends: Sequence[int]) -> tuple[Frame, list[ClosedBar]]:
    """Frames at the given seconds, one after the other, from second 0."""
    frame: Frame | None = None
    bars: list[ClosedBar] = []
    first = 0
    for last in ends:
        seen = pieces("BTC/USDT", points, first, last)
        frame, closed = next_frame(frame, seen, START + last, "walk")
        bars += closed
        first = last
    assert frame is not None
    return frame, bars


def expected(points: Sequence[float], seconds: int) -> list[Bar]:
    """Bars of a path by the book: one second after the other."""
    bars: list[list[float]] = []
    for s in range(len(points) - 1):
        time = float((START + s) // seconds * seconds)
        here, there = points[s], points[s + 1]
        if not bars or bars[-1][TIME] != time:
            bars.append([time, here, here, here, here, 0.0])
        bar = bars[-1]
        bar[2], bar[3], bar[4] = max(bar[2], here, there), min(bar[3], here, there), there
        bar[5] += s
    return [tuple(bar) for bar in bars]


@st.composite
def cut_paths(draw: st.DrawFn) -> tuple[list[float], list[int]]:
    length = draw(st.integers(2, 700))
    steps = draw(st.lists(st.integers(-5, 5), min_size=length, max_size=length))
    points = [float(p) for p in (1000 + np.cumsum(steps)).tolist()]
    ends = draw(st.sets(st.integers(1, length - 1), max_size=40))
    return points, sorted(ends | {length - 1})


@given(cut_paths())
def test_however_a_path_is_cut_into_frames_its_candles_are_the_same(
    case: tuple[list[float], list[int]],
) -> None:
    points, ends = case
    frame, bars = folded(points, ends)
    for t, (name, seconds) in enumerate(TIMEFRAMES.items()):
        built = [tuple(bar.bar.tolist()) for bar in bars if bar.timeframe == name]
        numbers = [bar.number for bar in bars if bar.timeframe == name]
        forming = tuple(frame.forming[0, t].tolist())
        if not np.isnan(forming[TIME]):
            built.append(forming)
        assert built == expected(points, seconds)
        base = laid_number(START + ends[0])
        assert numbers == list(range(base + 1, base + 1 + len(numbers)))
        assert frame.closed[0, t] == base + len(numbers)


def test_each_timeframe_is_made_of_whole_bars_of_the_shorter_ones() -> None:
    seconds = list(TIMEFRAMES.values())
    assert all(b % a == 0 for a, b in itertools.pairwise(seconds))


def test_a_bar_closes_by_the_clock_although_nothing_was_seen() -> None:
    frame, bars = next_frame(None, pieces("A", [1.0, 2.0], 0, 1), START + 1, "walk")
    assert not bars
    end = START - START % 60 + 60
    frame, bars = next_frame(frame, nothing(("A",), end - 1), end - 1, "walk")
    assert not bars
    frame, bars = next_frame(frame, nothing(("A",), end), end, "walk")
    assert [bar.timeframe for bar in bars] == ["1m"]
    assert bars[0].bar.tolist() == [end - 60, 1.0, 2.0, 1.0, 2.0, 0.0]
    assert np.isnan(frame.forming[0, 0]).all()
    assert frame.price[0] == 2.0
    assert frame.publish_time[0] == START + 1


def test_symbols_come_and_go_without_touching_the_others() -> None:
    one, _ = next_frame(None, pieces("A", [1.0, 2.0], 0, 1), START + 1, "walk")
    two, _ = next_frame(one, nothing(("B", "A"), START + 2.0), START + 2, "walk")
    assert two.symbols == ("B", "A")
    assert np.isnan(two.price[0]) and np.isnan(two.publish_time[0])
    assert np.isnan(two.forming[0]).all()
    assert (two.closed[0] == laid_number(START + 2)).all()
    assert two.price[1] == 2.0
    assert np.array_equal(two.forming[1], one.forming[0])
    assert np.array_equal(two.closed[1], one.closed[0])
    three, _ = next_frame(two, nothing(("B",), START + 3.0), START + 3, "walk")
    assert (three.find("B"), three.find("A")) == (0, -1)


def test_windows_laid_anew_begin_with_the_forming_bars_of_the_source() -> None:
    before, _ = next_frame(None, pieces("A", [1.0, 2.0], 0, 1), START + 1, "walk")
    slot = START + 10_000
    opening = np.full((1, len(TIMEFRAMES), 6), np.nan)
    opening[0, 1:] = [slot - 20.0, 5.0, 9.0, 4.0, 6.0, 3.0]
    now = np.array([float(slot)])
    seen = Pieces(("A",), np.empty((0, 1, 6)), now, np.array([6.0]), now, opening)
    frame, bars = next_frame(before, seen, slot, "walk")
    assert not bars
    assert np.array_equal(frame.forming, opening, equal_nan=True)
    assert (frame.closed == laid_number(slot)).all()
    assert frame.price[0] == 6.0


def test_a_frame_is_not_changed_by_the_next() -> None:
    first, _ = next_frame(None, pieces("A", [1.0, 2.0, 9.0], 0, 1), START + 1, "walk")
    bytes_before = encode_frame(first)
    next_frame(first, pieces("A", [1.0, 2.0, 9.0], 1, 2), START + 2, "walk")
    assert encode_frame(first) == bytes_before


def test_numbers_of_a_later_laying_are_above_those_of_an_earlier() -> None:
    base = laid_number(START)
    numbers = np.array([base - 499, base, base + 1, base + 100_000, laid_number(START + 1) - 499])
    assert (np.diff(numbers) > 0).all()
    assert is_laid(numbers).tolist() == [True, True, False, False, True]
    assert laying(numbers).tolist() == [START] * 4 + [START + 1]


@given(
    symbols=st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=5),
    slot=st.integers(0, 2**32),
    seed=st.integers(0, 2**32),
)
def test_frames_survive_their_bytes(symbols: list[str], slot: int, seed: int) -> None:
    random = np.random.default_rng(seed)

    def floats(*shape: int) -> Floats:
        return np.where(random.random(shape) < 0.2, np.nan, random.normal(size=shape))

    size = len(symbols)
    frame = Frame(
        slot, "walk", tuple(symbols), floats(size), floats(size), floats(size),
        floats(size, 7, 6), random.integers(0, 2**62, (size, 7)),
    )  # fmt: skip
    data = encode_frame(frame)
    again = decode_frame(data)
    assert (again.slot, again.source, again.symbols) == (slot, "walk", tuple(symbols))
    for name in ("price", "publish_time", "candle_time", "forming", "closed"):
        assert np.array_equal(
            getattr(again, name), getattr(frame, name), equal_nan=name != "closed"
        )
    assert encode_frame(again) == data
    with pytest.raises(FrameError):
        decode_frame(data[:-1])


@pytest.mark.parametrize("data", [b"", b"\1\0\0\0", b"\2\0\0\0\0\0\0\0", b"\1\0\0\0\4\0\0\0abcd"])
def test_bytes_that_are_no_frame_are_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        decode_frame(data)


def test_the_order_of_timeframes_is_that_of_the_table() -> None:
    assert TIMEFRAME_NAMES == ("1m", "5m", "15m", "30m", "1h", "4h", "1d")
