"""What a worker knows of plans and windows, as columns: no Python object for each plan and slot.

Plans are indexed by plan id, windows (symbol and timeframe) by the order in which they were met.
Every content that a window has had gets a stamp of its own, so that a plan whose window carries the
stamp of its last signal has that signal still: strategies are pure.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.market_bars import WindowName
from adapters.market_store import Window
from engine.frames import CLOSE, TIME, TIMEFRAME_NAMES, TIMEFRAMES, Floats, Frame, Ints, Mask
from strategies import catalog, sizing
from strategies.base import Candles, Signal
from strategies.filters import ALWAYS, TradingTime, hour_of, weekday_of

logger = logging.getLogger(__name__)

ROOM = 256
"""Columns grow by at least so many places at a time."""

Number = TypeVar("Number", np.float64, np.int64, np.bool_)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan id stands for. evaluate raises what its strategy raises; it is not asked while
    the filters are closed.
    """

    symbol: str
    timeframe: str
    strategy: str
    evaluate: Callable[[Candles], Signal]
    open_at: TradingTime


def decode_plan(definition: bytes) -> Plan:
    """A plan from its JSON definition in Redis."""
    fields = msgspec.json.decode(definition)
    strategy, params = fields["strategy"], fields["params"]
    evaluate: Callable[[Candles], Signal]
    open_at = ALWAYS
    try:
        prepared = catalog.prepare(strategy, params)
        evaluate, open_at = prepared.evaluate, prepared.open_at
    except Exception as error:
        # Of another catalogue, or at fault: each evaluation raises it again, and then it is the
        # agents' error like any other.
        logger.error("plans of strategy %s can't be prepared: %r", strategy, error)
        evaluate = partial(_evaluate, strategy, params)
    return Plan(fields["symbol"], fields["timeframe"], strategy, evaluate, open_at)


def _evaluate(strategy: str, params: Any, candles: Candles) -> Signal:
    return catalog.evaluate(strategy, candles, params)


def grown(column: NDArray[Number], size: int, filling: float) -> NDArray[Number]:
    """The column with room for at least so many places."""
    if size <= len(column):
        return column
    wider = np.full(max(size, len(column) * 5 // 4, ROOM), filling, column.dtype)
    wider[: len(column)] = column
    return wider


class PlanColumns:
    """Plans by id. window: -1 for a plan that is not known. stamp: 0 for one without a signal."""

    def __init__(self) -> None:
        self.plans: dict[int, Plan] = {}
        self.said: dict[int, str] = {}
        """Why a plan cannot run or has failed, where its last signal is that."""
        self._symbols: dict[str, int] = {}
        self.symbol = np.full(0, -1, np.int64)
        """A number for each symbol, below 0 for that of a plan that is not known."""
        self.window = np.full(0, -1, np.int64)
        self.stamp = np.zeros(0, np.int64)
        self.signal = np.full(0, np.nan)
        self.cannot_run = np.zeros(0, np.bool_)
        self.hours = np.zeros(0, np.int64)
        self.days = np.zeros(0, np.int64)
        """Bits of the hours and weekdays in which a plan has a signal."""
        self.filtered = False
        """Whether any plan has a filter at all."""
        self.shared = np.zeros(0, np.bool_)
        """Whether somebody else was faster with its signal in the slot before."""

    def forget(self) -> None:
        """Forgets every signal, and no plan."""
        self.stamp[:] = 0
        self.said.clear()

    def make_room(self, size: int) -> None:
        self.symbol = grown(self.symbol, size, -1)
        self.window = grown(self.window, size, -1)
        self.stamp = grown(self.stamp, size, 0)
        self.signal = grown(self.signal, size, np.nan)
        self.cannot_run = grown(self.cannot_run, size, 0)
        self.hours = grown(self.hours, size, 0)
        self.days = grown(self.days, size, 0)
        self.shared = grown(self.shared, size, 0)

    def add(self, plan_id: int, plan: Plan, window: int) -> None:
        self.plans[plan_id] = plan
        self.symbol[plan_id] = self._symbols.setdefault(plan.symbol, len(self._symbols))
        self.window[plan_id] = window
        self.hours[plan_id], self.days[plan_id] = plan.open_at.hour_mask, plan.open_at.day_mask
        self.filtered |= not plan.open_at.is_always

    def is_open(self, plan_ids: Ints, moment: Floats) -> Mask:
        """Whether the filters of plans let a signal through at these times."""
        if not self.filtered:
            return np.ones(len(plan_ids), np.bool_)
        hour, day = hour_of(moment).astype(np.int64), weekday_of(moment).astype(np.int64)
        is_open: Mask = (self.hours[plan_ids] >> hour) & (self.days[plan_ids] >> day) & 1 != 0
        return is_open

    def evaluate(self, plan_id: int, candles: Candles) -> tuple[float, bool]:
        """(what the plan's strategy says of a window, NaN where it raised; whether it cannot run).

        The words are kept where people will want them.
        """
        plan = self.plans[plan_id]
        try:
            said = plan.evaluate(candles)
        except Exception as error:
            # A strategy is code of its own; whatever it raises is the agents' error, said to them.
            self.said[plan_id] = f"{plan.strategy} failed: {type(error).__name__}: {error}"
            logger.exception("plan %d failed", plan_id)
            return math.nan, False
        if not said.can_run:
            self.said[plan_id] = said.detail
        elif self.said:
            self.said.pop(plan_id, None)
        return said.value, not said.can_run

    def take(self, plan_ids: Ints, stamps: Ints, said: list[tuple[float, bool]]) -> None:
        """Takes down what plans have said of windows with these stamps."""
        self.stamp[plan_ids] = stamps
        self.signal[plan_ids] = [value for value, _ in said]
        self.cannot_run[plan_ids] = [unable for _, unable in said]


@dataclass(frozen=True, slots=True, eq=False)
class WindowsSeen:
    """The windows in one frame. place: the symbol's in the frame, -1 for one that it lacks."""

    place: Ints
    stamp: Ints
    version: Ints  # of the closed bars: an ATR of theirs holds as long as it stays
    close: Floats  # of the forming bar, NaN where none has begun
    reading: Ints  # place among the readings of the slot
    moment: Floats  # Unix seconds on the market's own clock


class WindowColumns:
    """Windows by index."""

    def __init__(self) -> None:
        self.names: list[WindowName] = []
        self._index: dict[WindowName, int] = {}
        self._timeframe = np.zeros(0, np.int64)
        self.volatility_per_atr = np.zeros(0)
        self._closed = np.zeros(0, np.int64)
        self._forming = np.zeros((0, 6))
        self._stamp = np.zeros(0, np.int64)
        self._stamps = 0
        self._atr = np.zeros(0)
        self._closed_close = np.zeros(0)
        self._atr_version = np.zeros(0, np.int64)
        self._newest: list[Candles | None] = []
        self._symbols: tuple[str, ...] | None = None
        self._places = np.zeros(0, np.int64)

    def forget(self) -> None:
        """Forgets every content: frames of another run of Redis may differ under one number."""
        self._closed[:] = 0
        self._forming[:] = np.nan
        self._stamps += 1
        self._stamp[:] = self._stamps
        self._atr_version[:] = 0
        self._newest = [None] * len(self.names)

    def index(self, name: WindowName) -> int:
        """The index of a window, a new one where it has none yet. KeyError: no such timeframe."""
        found = self._index.get(name)
        if found is None:
            timeframe = TIMEFRAME_NAMES.index(name[1])
            found = self._index[name] = len(self.names)
            self.names.append(name)
            per_atr = sizing.volatility_per_atr(TIMEFRAMES[name[1]])
            self._timeframe = np.append(self._timeframe, timeframe)
            self.volatility_per_atr = np.append(self.volatility_per_atr, per_atr)
            self._closed = np.append(self._closed, 0)
            self._forming = np.append(self._forming, np.full((1, 6), np.nan), axis=0)
            self._stamps += 1
            self._stamp = np.append(self._stamp, self._stamps)
            self._atr = np.append(self._atr, np.nan)
            self._closed_close = np.append(self._closed_close, np.nan)
            self._atr_version = np.append(self._atr_version, 0)
            self._newest.append(None)
            self._symbols = None
        return found

    def see(self, frame: Frame) -> WindowsSeen:
        """Where the windows are in a frame; a content that is not the last one gets a new stamp."""
        if frame.symbols != self._symbols:
            places = {symbol: place for place, symbol in enumerate(frame.symbols)}
            self._places = np.array([places.get(symbol, -1) for symbol, _ in self.names], np.int64)
            self._symbols = frame.symbols
        place, timeframe = self._places, self._timeframe
        there = np.flatnonzero(place >= 0)
        closed = np.full(len(place), -1)
        closed[there] = frame.closed[place[there], timeframe[there]]
        forming = np.full((len(place), 6), np.nan)
        forming[there] = frame.forming[place[there], timeframe[there]]
        changed = closed != self._closed
        changed |= (forming.view(np.int64) != self._forming.view(np.int64)).any(axis=1)
        stamp = self._stamp.copy()
        stamp[changed] = self._stamps + 1 + np.arange(int(changed.sum()))
        self._stamps += int(changed.sum())
        self._closed, self._forming, self._stamp = closed, forming, stamp
        moment = np.full(len(place), float(frame.slot))
        moment[there] = frame.moment[place[there]]
        has_forming = ~np.isnan(forming[:, TIME])
        return WindowsSeen(
            place=place,
            stamp=stamp,
            version=closed * 2 + has_forming,
            close=np.where(has_forming, forming[:, CLOSE], np.nan),
            reading=place * len(TIMEFRAMES) + timeframe,
            moment=moment,
        )

    def candles(self, window: int, read: Window, version: int) -> Candles:
        """The candles of a window; notes the ATR of its closed bars."""
        candles = Candles(*read.candles)
        before = self._newest[window]
        if before is not None:
            candles.follow(before)
        self._newest[window] = candles
        self.note_atr(window, candles, version)
        return candles

    def note_atr(self, window: int, candles: Candles, version: int) -> None:
        """Takes down the ATR of the closed bars, unless it is."""
        if self._atr_version[window] != version:
            has_forming = version % 2
            closes = candles.close[: len(candles) - has_forming]
            self._atr[window] = sizing.atr_of_closed(candles)
            self._closed_close[window] = closes[-1] if len(closes) else np.nan
            self._atr_version[window] = version

    def has_atr(self, seen: WindowsSeen, windows: Ints) -> Mask:
        """Where the ATR of these closed bars is taken down, be it that there is none."""
        noted: Mask = self._atr_version[windows] == seen.version[windows]
        return noted

    def atr_fraction(self, seen: WindowsSeen, windows: Ints) -> Floats:
        """ATR / last close of windows as a frame saw them, NaN where there is none."""
        close = seen.close[windows]
        return self._atr[windows] / np.where(np.isnan(close), self._closed_close[windows], close)
