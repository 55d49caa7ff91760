"""What has changed in a window: told by stamps, whatever the order in which frames are seen."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.frames import CLOSE, TIMEFRAMES, VOLUME, Frame
from strategies import catalog
from workers.plan_columns import ROOM, PlanColumns, WindowColumns, decode_plan, grown

SYMBOLS = ("A/USDT", "B/USDT")
NAMES = [("A/USDT", "1m"), ("B/USDT", "1h"), ("C/USDT", "1m"), ("B/USDT", "1m")]

Content = tuple[int, float, float, bool]
"""Number of the closed bar, close and volume of the forming one, and whether there is one."""

contents = st.tuples(
    st.integers(1, 3), st.sampled_from([1.0, 2.0]), st.sampled_from([0.0, 5.0]), st.booleans()
)


def frame(slot: int, symbols: tuple[str, ...], some: list[Content]) -> Frame:
    """A frame in which every timeframe of a symbol has the same content."""
    count = len(symbols)
    forming = np.full((count, len(TIMEFRAMES), 6), np.nan)
    closed = np.zeros((count, len(TIMEFRAMES)), np.int64)
    for place, (number, close, volume, has_forming) in enumerate(some[:count]):
        closed[place] = number
        if has_forming:
            forming[place] = 1.0
            forming[place, :, CLOSE], forming[place, :, VOLUME] = close, volume
    one = np.ones(count)
    return Frame(slot, "test", symbols, one, one * slot, one * slot, forming, closed)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.tuples(contents, contents), st.sampled_from([SYMBOLS, SYMBOLS[::-1]])),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 3),
    st.integers(0, 12),
)
def test_one_stamp_is_one_content(
    seen: list[tuple[tuple[Content, Content], tuple[str, ...]]], late: int, forget_at: int
) -> None:
    windows = WindowColumns()
    for name in NAMES[: 4 - late]:
        windows.index(name)
    of_stamp: dict[tuple[int, int], Any] = {}
    before: dict[int, tuple[Any, int]] = {}
    for turn, (some, symbols) in enumerate(seen):
        if turn == 2:
            for name in NAMES:
                windows.index(name)
        if turn == forget_at:
            windows.forget()
            of_stamp = dict.fromkeys(of_stamp)
            before.clear()
        looked = windows.see(frame(turn, symbols, list(some)))
        for index, (symbol, _) in enumerate(windows.names):
            content: Any = "no symbol"
            if symbol in symbols:
                number, close, volume, has_forming = some[symbols.index(symbol)]
                content = (number, close, volume) if has_forming else (number,)
            stamp = int(looked.stamp[index])
            assert of_stamp.setdefault((index, stamp), content) == content
            if index in before and before[index][0] == content:
                assert before[index][1] == stamp  # nothing has changed: the signal stands
            before[index] = content, stamp


def test_a_frame_without_symbols_has_no_window() -> None:
    windows = WindowColumns()
    for name in NAMES:
        assert windows.index(name) == windows.index(name)
    looked = windows.see(frame(1, (), []))
    assert looked.place.tolist() == [-1] * 4
    assert windows.see(frame(2, (), [])).stamp.tolist() == looked.stamp.tolist()


def test_the_market_has_its_own_clock() -> None:
    windows = WindowColumns()
    for name in NAMES:
        windows.index(name)
    now = frame(100, SYMBOLS, [(1, 1.0, 1.0, True)] * 2)
    replayed = replace(now, candle_time=np.array([5.0, np.nan]))
    assert windows.see(replayed).moment.tolist() == [5.0, 100.0, 100.0, 100.0]


def test_columns_grow_and_keep_what_they_hold() -> None:
    column = grown(np.array([1, 2, 3]), 4, -1)
    assert len(column) == ROOM and column[:5].tolist() == [1, 2, 3, -1, -1]
    assert grown(column, 10, -1) is column
    assert len(grown(column, ROOM + 1, -1)) > ROOM + 1


def test_a_plan_of_a_broken_strategy_raises_when_it_is_evaluated() -> None:
    plans = PlanColumns()
    plans.make_room(8)
    definition = b'{"symbol":"A/USDT","timeframe":"1m","strategy":"%s","version":1,"params":%s}'
    price = np.linspace(1, 2, 60)
    candles = catalog.Candles(price, price, price, price, price, price)
    for number, (name, params) in enumerate([(b"gone", b"{}"), (b"breakout", b'{"lookback":"x"}')]):
        plans.add(number, decode_plan(definition % (name, params)), 0)
        value, cannot_run = plans.evaluate(number, candles)
        assert np.isnan(value) and not cannot_run
        assert " failed: " in plans.said[number]
