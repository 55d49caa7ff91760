"""Windows of candles out of Redis: fetched once, then only what has closed since.

Bars that were built from frames lie in a list for each symbol and timeframe. What came before the
first of them is the source's history: the first process that needs it lays it in front, and all
use what was laid.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

import numpy as np

from adapters import redis_keys as keys
from adapters.errors import AdapterError
from adapters.live_windows import is_plain
from adapters.market_scripts import BARS_KEPT, MarketScripts, read_records
from adapters.market_windows import BarColumns, BarLog, Window
from adapters.redis_client import Redis
from engine.frames import (
    TIME,
    TIMEFRAME_NAMES,
    Floats,
    Frame,
    Ints,
    is_laid,
    laid_number,
    laying,
)

WINDOWS_REMEMBERED: Final = 512
_SPARE: Final = 4
"""Bars asked for beyond those that are missing: others may be a few frames ahead."""

WindowName = tuple[str, str]
"""Symbol and timeframe."""
Bars = BarColumns | BarLog


class WindowGone(AdapterError):
    """The closed bars of a frame are no longer kept whole: its slot can't be decided any more."""


class HistorySource(Protocol):
    """Whoever knows bars from before the first frame."""

    def history(self, symbol: str, timeframe: str, before_time: float) -> Floats:
        """Closed bars that ended at or before a time, f8[N, 6]; N may be 0."""


class WindowStore:
    """The windows of one process, for one run of Redis."""

    def __init__(self, redis: Redis, scripts: MarketScripts, source: HistorySource | None) -> None:
        self._redis = redis
        self._scripts = scripts
        self._source = source
        self._held: dict[WindowName, Bars] = {}

    def use(self, source: HistorySource) -> None:
        """See MarketStore.use."""
        self._source = source

    def forget(self) -> None:
        """Drops everything, for another run of Redis."""
        # Another dict, so that a task that is still fetching puts its bars into the old one.
        self._held = {}

    async def windows(self, wanted: Iterable[WindowName], frame: Frame) -> dict[WindowName, Window]:
        """See MarketStore.windows."""
        places = {name: _place(name, frame) for name in wanted}
        held = self._held
        windows: dict[WindowName, Window] = {}
        lacking: dict[WindowName, int] = {}
        for name, place in places.items():
            number = int(frame.closed[place])
            if name in held and held[name].covers(number):
                windows[name] = held[name].window(*name, number, frame.forming[place])
            else:
                lacking[name] = number
        if not lacking:
            return windows
        for name, columns in (await self._fetch(held, lacking, frame)).items():
            forming = frame.forming[places[name]]
            windows[name] = columns.window(*name, lacking[name], forming)
        return windows

    async def _fetch(
        self, held: dict[WindowName, Bars], lacking: Mapping[WindowName, int], frame: Frame
    ) -> dict[WindowName, Bars]:
        """Closed bars up to the given numbers: only what is new where bars are held."""
        starts = {
            name: min(held[name].newest - number - _SPARE if name in held else 0, 0)
            for name, number in lacking.items()
        }
        columns: dict[WindowName, Bars] = {}
        lists = await self._read(starts)
        for name, number in lacking.items():
            if name not in held:
                columns[name] = await self._whole(name, number, frame, *lists[name])
                _hold(
                    held, name, columns[name]
                )  # at once: a tick that runs out of time goes on here
        for name, number in lacking.items():
            if name in columns:
                continue
            numbers, bars = lists[name]
            upto = numbers <= number
            if held[name].extend(numbers[upto], bars[upto]) and held[name].covers(number):
                columns[name] = held[name]
        rest = dict.fromkeys((name for name in lacking if name not in columns), 0)
        for name, (numbers, bars) in (await self._read(rest)).items():
            columns[name] = await self._whole(name, lacking[name], frame, numbers, bars)
            _hold(held, name, columns[name])
        return columns

    async def _read(
        self, starts: Mapping[WindowName, int]
    ) -> dict[WindowName, tuple[Ints, Floats]]:
        """The lists of bars, each from its start on, in one round trip."""
        if not starts:
            return {}
        async with self._redis.pipeline(transaction=False) as pipeline:
            for (symbol, timeframe), start in starts.items():
                pipeline.lrange(keys.market_bars(symbol, timeframe), start, -1)
            lists: list[list[bytes]] = await pipeline.execute()
        return {name: read_records(records) for name, records in zip(starts, lists, strict=True)}

    async def _whole(
        self, name: WindowName, number: int, frame: Frame, numbers: Ints, bars: Floats
    ) -> Bars:
        """Columns out of a whole list; lays the source's history first if nobody has yet."""
        base = laid_number(laying(number))
        mine = laying(numbers) == laying(number)
        if not is_laid(numbers[mine]).any():
            built = bars[mine]
            first = numbers[mine][0] if len(built) else number + 1
            if first == base + 1:
                begun = float(built[0, TIME]) if len(built) else _begun(name, frame)
                numbers, bars = await self._lay(name, base, begun, numbers, bars)
                mine = laying(numbers) == laying(number)
        trimmed = len(numbers) >= BARS_KEPT and bool(mine[0])
        mine &= numbers <= number
        numbers, bars = numbers[mine], bars[mine]
        if (numbers[-1] if len(numbers) else base) != number:
            raise WindowGone(f"{name[0]} {name[1]}: there is no bar {number} any more")
        columns: Bars
        if is_plain(bars):
            columns = BarColumns(numbers, bars, number, complete=not trimmed)
        else:
            columns = BarLog(bars, number, complete=not trimmed)
        if not columns.covers(number):
            raise WindowGone(f"{name[0]} {name[1]}: bars before {number} are not kept whole")
        return columns

    async def _lay(
        self, name: WindowName, base: int, begun: float, numbers: Ints, bars: Floats
    ) -> tuple[Ints, Floats]:
        if self._source is None:
            raise WindowGone("it is not settled yet where prices come from")
        # Off the loop: a source may need some milliseconds, and others are ticking.
        history = await asyncio.to_thread(self._source.history, *name, begun)
        if not len(history):
            return numbers, bars
        laid = np.arange(base - len(history) + 1, base + 1)
        return read_records(await self._scripts.lay(*name, laid, history))


def _hold(held: dict[WindowName, Bars], name: WindowName, columns: Bars) -> None:
    if name not in held or held[name].newest <= columns.newest:
        held[name] = columns
    while len(held) > WINDOWS_REMEMBERED:
        del held[next(iter(held))]


def _place(name: WindowName, frame: Frame) -> tuple[int, int]:
    symbol, timeframe = name
    s = frame.find(symbol)
    if s < 0 or timeframe not in TIMEFRAME_NAMES:
        raise KeyError(name)
    return s, TIMEFRAME_NAMES.index(timeframe)


def _begun(name: WindowName, frame: Frame) -> float:
    """The recorded time up to which bars have closed, as a frame has it."""
    s, t = _place(name, frame)
    begun = float(frame.forming[s, t, TIME])
    return float(frame.candle_time[s]) if np.isnan(begun) else begun
