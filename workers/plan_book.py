"""Plans and their signals: one computation for each plan and slot, used by every agent on it.

The engine works on tables indexed by plan id. This room fills them: prices from the frame, signals
from the strategies, and what another worker has computed first wins, so that no difference of CPU,
library or moment reaches a trade. A plan whose window has not changed keeps its signal.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from adapters import redis_keys as keys
from adapters.market_bars import WindowName
from adapters.market_store import MarketStore, Signals, Window, WindowGone
from adapters.redis_client import Redis, command
from engine.frames import PRICE_STALE_S, TIMEFRAMES, Floats, Frame, Ints, Mask
from strategies.base import Candles
from workers.plan_columns import PlanColumns, WindowColumns, WindowsSeen, decode_plan, grown

logger = logging.getLogger(__name__)

PLAN_ID_MAX = 2**22
"""Ids are given out one by one; a larger one is that of a damaged row, and no table is made so long
for it."""
SLOT_TABLES_KEPT = 70
"""Slots whose tables stay in memory: a catch-up reaches back 60."""
NOT_KNOWN = "plan {} is not known"
CANDLES_KEPT = 3
"""Slots whose candles stay in memory, 24 kB a window: shards tick less than a second apart."""


@dataclass(slots=True)
class SlotTable:
    """A slot as the engine sees it, indexed by plan id.

    cannot_run and failed hold the words of plans whose strategy can't run on its candles, or
    raised. windows, candles, atr_fraction_of and settled are indexed by window.
    """

    frame: Frame
    price: Floats
    fresh: Mask
    signal: Floats
    known: Mask
    atr_fraction: Floats
    volatility: Floats
    failed: dict[int, str] = field(default_factory=dict)
    cannot_run: dict[int, str] = field(default_factory=dict)
    windows: WindowsSeen | None = None
    candles: dict[int, Candles | None] = field(default_factory=dict)
    atr_fraction_of: Floats = field(default_factory=lambda: np.full(0, np.nan))
    settled: Mask = field(default_factory=lambda: np.zeros(0, np.bool_))
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def empty(cls, frame: Frame, size: int) -> "SlotTable":
        """Nothing known of any plan."""
        numbers = [np.full(size, np.nan) for _ in range(4)]
        masks = [np.zeros(size, np.bool_) for _ in range(2)]
        return cls(frame, numbers[0], masks[0], numbers[1], masks[1], numbers[2], numbers[3])

    def make_room(self, plans: int) -> None:
        self.price = grown(self.price, plans, np.nan)
        size = len(self.price)
        self.fresh = grown(self.fresh, size, 0)
        self.signal = grown(self.signal, size, np.nan)
        self.known = grown(self.known, size, 0)
        self.atr_fraction = grown(self.atr_fraction, size, np.nan)
        self.volatility = grown(self.volatility, size, np.nan)


class PlanBook:
    """The plans this worker has met, and their tables for the last slots."""

    def __init__(self, redis: Redis, market: MarketStore) -> None:
        self._redis = redis
        self._market = market
        self._plans = PlanColumns()
        self._windows = WindowColumns()
        self._tables: dict[int, SlotTable] = {}

    def forget(self) -> None:
        """Drops every table and signal: Redis has restarted and frames may differ."""
        self._tables.clear()
        self._plans.forget()
        self._windows.forget()

    async def table(self, frame: Frame, plan_ids: Ints, late: bool) -> SlotTable:
        """The tables of a slot, with the signals of these plans (ascending) in them.

        late: the slot is over, so somebody has probably stored its signals already.
        """
        wanted = plan_ids[(plan_ids > 0) & (plan_ids <= PLAN_ID_MAX)]
        table = self._table_of(frame, int(wanted[-1]) + 1 if len(wanted) else 1)
        async with table.lock:
            missing = wanted[~table.known[wanted]]
            if len(missing):
                await self._learn(missing)
                self._see(table, missing)
                await self._signal(table, missing, late)
        for plan_id in plan_ids[plan_ids > PLAN_ID_MAX].tolist():
            table.failed[plan_id] = NOT_KNOWN.format(plan_id)
        return table

    async def symbols(self, plan_ids: Ints) -> Ints:
        """A number for the symbol of each of these plans (ascending), by plan id; the same for two
        plans of one symbol, below 0 for one that is not known.
        """
        wanted = plan_ids[(plan_ids > 0) & (plan_ids <= PLAN_ID_MAX)]
        if len(wanted):
            self._plans.make_room(int(wanted[-1]) + 1)
            await self._learn(wanted)
        return self._plans.symbol

    def _table_of(self, frame: Frame, size: int) -> SlotTable:
        self._plans.make_room(size)
        table = self._tables.get(frame.slot)
        if table is None or table.frame is not frame:
            table = SlotTable.empty(frame, max(size, len(self._plans.window)))
            self._tables[frame.slot] = table
            while len(self._tables) > SLOT_TABLES_KEPT:
                del self._tables[min(self._tables)]
            for older in sorted(self._tables)[:-CANDLES_KEPT]:
                self._tables[older].candles.clear()
        else:
            table.make_room(size)
        return table

    async def _learn(self, plan_ids: Ints) -> None:
        unknown = plan_ids[self._plans.window[plan_ids] < 0].tolist()
        if not unknown:
            return
        found = await command(self._redis, "HMGET", keys.plans(), *unknown)
        for plan_id, definition in zip(unknown, found, strict=True):
            if definition is None:
                continue
            plan = decode_plan(definition)
            if plan.timeframe in TIMEFRAMES:
                window = self._windows.index((plan.symbol, plan.timeframe))
                self._plans.add(plan_id, plan, window)

    def _see(self, table: SlotTable, plan_ids: Ints) -> None:
        """Prices out of the frame, and what of the windows has changed since they were seen."""
        count = len(self._windows.names)
        if table.windows is None or len(table.windows.place) < count:
            table.windows = self._windows.see(table.frame)
            table.settled = grown(table.settled, count + 1, 0)
            table.atr_fraction_of = grown(table.atr_fraction_of, count + 1, np.nan)
        priced = plan_ids[self._inside(table, plan_ids)]
        place = table.windows.place[self._plans.window[priced]]
        table.price[priced] = table.frame.price[place]
        table.fresh[priced] = table.frame.publish_time[place] >= table.frame.slot - PRICE_STALE_S

    def _inside(self, table: SlotTable, plan_ids: Ints) -> Mask:
        """Which of the plans are of a symbol that the frame has."""
        assert table.windows is not None
        window = self._plans.window[plan_ids]
        inside = window >= 0
        inside[inside] = table.windows.place[window[inside]] >= 0
        return inside

    async def _signal(self, table: SlotTable, plan_ids: Ints, late: bool) -> None:
        """Fills in signals: those that somebody has stored, else ours, else theirs if faster."""
        rest = plan_ids
        if late or self._plans.shared[plan_ids].any():
            rest = await self._take_stored(table, plan_ids)
        if len(rest):
            await self._compute(table, rest)
        in_frame = plan_ids[self._inside(table, plan_ids)]
        window = self._plans.window[in_frame]
        table.atr_fraction[in_frame] = table.atr_fraction_of[window]
        per_atr = self._windows.volatility_per_atr[window]
        table.volatility[in_frame] = table.atr_fraction[in_frame] * per_atr
        await self._explain(table, plan_ids)
        table.known[plan_ids] = True

    async def _take_stored(self, table: SlotTable, plan_ids: Ints) -> Ints:
        """Takes what is stored; the plans that still have no signal, or whose ATR is not settled.

        Those with a signal keep the one that is stored: an offer changes nothing then.
        """
        assert table.windows is not None
        stored, fractions, settled = await self._market.get_readings(table.frame.slot, plan_ids)
        table.signal[plan_ids] = stored.values
        self._mark_unable(table, plan_ids[stored.cannot_run])
        in_frame = plan_ids[self._inside(table, plan_ids)]
        window = np.unique(self._plans.window[in_frame])
        reading = table.windows.reading[window]
        there = reading < len(settled)
        there[there] = settled[reading[there]]
        table.atr_fraction_of[window[there]] = fractions[reading[there]]
        table.settled[window[there]] = True
        at = self._plans.window[plan_ids]
        lacking = ~stored.known | ((at >= 0) & ~table.settled[at])
        return plan_ids[lacking]

    @staticmethod
    def _mark_unable(table: SlotTable, plan_ids: Ints) -> None:
        table.cannot_run.update(dict.fromkeys(plan_ids.tolist(), ""))

    async def _compute(self, table: SlotTable, plan_ids: Ints) -> None:
        """Offers what the strategies say; takes what stands then."""
        assert table.windows is not None
        inside = self._inside(table, plan_ids)
        in_frame = plan_ids[inside]
        await self._read_candles(table, in_frame)
        signals = self._evaluate(table, plan_ids, inside)
        window = np.unique(self._plans.window[in_frame])
        window = window[~table.settled[window]]
        window = window[self._windows.has_atr(table.windows, window)]
        window = window[np.argsort(table.windows.reading[window])]
        fraction = self._windows.atr_fraction(table.windows, window)
        settled = await self._market.put_readings(
            table.frame.slot, plan_ids, signals, table.windows.reading[window], fraction
        )
        table.signal[plan_ids] = settled.signals.value
        self._mark_unable(table, plan_ids[settled.signals.cannot_run])
        table.atr_fraction_of[window] = settled.atr_fraction
        table.settled[window] = True
        self._plans.shared[plan_ids] = not settled.ours

    def _stale(self, table: SlotTable, in_frame: Ints) -> Ints:
        """Those of the plans whose window has changed since their signal was computed, and whose
        filters are open.
        """
        assert table.windows is not None
        plans, window = self._plans, self._plans.window[in_frame]
        stale: Mask = plans.stamp[in_frame] != table.windows.stamp[window]
        stale &= plans.is_open(in_frame, table.windows.moment[window])
        return in_frame[stale]

    def _evaluate(self, table: SlotTable, plan_ids: Ints, inside: Mask) -> Signals:
        """What the strategies say: 0.0 without candles and while a filter is closed (exits go on),
        NaN where one raised.
        """
        assert table.windows is not None
        plans, stamps = self._plans, table.windows.stamp
        in_frame = plan_ids[inside]
        stale = self._stale(table, in_frame)
        if len(stale):
            candles = [table.candles.get(window) for window in plans.window[stale].tolist()]
            stale = stale[[each is not None for each in candles]]
            read = [each for each in candles if each is not None]
            said = [
                plans.evaluate(plan_id, each)
                for plan_id, each in zip(stale.tolist(), read, strict=True)
            ]
            plans.take(stale, stamps[plans.window[stale]], said)
        window = plans.window[in_frame]
        is_open = plans.is_open(in_frame, table.windows.moment[window])
        has_signal = inside.copy()
        has_signal[inside] = (plans.stamp[in_frame] == stamps[window]) & is_open
        value = np.where(has_signal, plans.signal[plan_ids], 0.0)
        value[plans.window[plan_ids] < 0] = np.nan
        return Signals(value, has_signal & plans.cannot_run[plan_ids])

    async def _read_candles(self, table: SlotTable, in_frame: Ints) -> None:
        """Candles of the windows that have changed; None for those that are no longer kept."""
        assert table.windows is not None
        version = table.windows.version
        while True:
            wanted = self._wanted_windows(table, in_frame)
            unread = [window for window in wanted if window not in table.candles]
            for window in wanted:
                candles = table.candles.get(window)
                if candles is not None:
                    self._windows.note_atr(window, candles, int(version[window]))
            if not unread:
                return
            # While these are fetched another slot may be evaluated, so look again afterwards.
            read = await self._fetch(unread, table.frame)
            for window in unread:
                found = read.get(self._windows.names[window])
                table.candles[window] = (
                    None
                    if found is None
                    else self._windows.candles(window, found, int(version[window]))
                )

    def _wanted_windows(self, table: SlotTable, in_frame: Ints) -> list[int]:
        """Windows whose signals, or whose ATR, have to be computed."""
        assert table.windows is not None
        changed = self._plans.window[self._stale(table, in_frame)]
        every = np.unique(self._plans.window[in_frame])
        has_atr = self._windows.has_atr(table.windows, every) | table.settled[every]
        wanted: list[int] = np.union1d(changed, every[~has_atr]).tolist()
        return wanted

    async def _fetch(self, windows: list[int], frame: Frame) -> Mapping[WindowName, Window]:
        names = [self._windows.names[window] for window in windows]
        try:
            return await self._market.windows(names, frame)
        except WindowGone:
            return await self._windows_left(names, frame)

    async def _windows_left(
        self, names: list[WindowName], frame: Frame
    ) -> dict[WindowName, Window]:
        """Those that are still kept, one by one: a late slot does without the others' signals."""
        left: dict[WindowName, Window] = {}
        for name in names:
            try:
                left[name] = await self._market.window(*name, frame)
            except WindowGone as error:
                logger.warning("no signals of %s %s in slot %d: %s", *name, frame.slot, error)
        return left

    async def _explain(self, table: SlotTable, plan_ids: Ints) -> None:
        """The words of the plans that have failed or cannot run, which are not stored."""
        failed = plan_ids[np.isnan(table.signal[plan_ids])].tolist()
        unable = [p for p in plan_ids.tolist() if p in table.cannot_run] if table.cannot_run else []
        if not failed and not unable:
            return
        told = np.array(sorted({*failed, *unable}))
        inside = self._inside(table, told)
        await self._read_candles(table, told[inside])
        self._evaluate(table, told, inside)
        said = self._plans.said
        for plan_id in failed:
            unknown = plan_id not in self._plans.plans
            words = NOT_KNOWN.format(plan_id) if unknown else "the strategy failed"
            table.failed[plan_id] = said.get(plan_id, words)
        for plan_id in unable:
            words = "the strategy cannot run on its candles"
            table.cannot_run[plan_id] = said.get(plan_id, words)
