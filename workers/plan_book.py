"""Plans and their signals: one computation for each plan and slot, used by every agent on it.

The engine works on tables indexed by plan id. This room fills them: prices from the frame,
signals from the strategies, and what another worker has computed first wins, so that no
difference of CPU, library or moment reaches a trade.
"""

import asyncio
import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters import redis_keys as keys
from adapters.market_bars import WindowName
from adapters.market_store import MarketStore, Window, WindowGone
from adapters.redis_client import Redis, command
from engine.frames import PRICE_STALE_S, Frame
from strategies import catalog
from strategies.base import Candles

logger = logging.getLogger(__name__)

SLOT_TABLES_KEPT = 70
"""Slots whose tables stay in memory: a catch-up reaches back 60."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan id stands for."""

    symbol: str
    timeframe: str
    strategy: str
    params: dict[str, Any]


@dataclass(slots=True)
class SlotTable:
    """A slot as the engine sees it, indexed by plan id."""

    frame: Frame
    price: Floats
    fresh: NDArray[np.bool_]
    signal: Floats
    known: NDArray[np.bool_]
    candles: dict[tuple[str, str], Candles] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


def decode_plan(definition: bytes) -> Plan:
    """A plan from its JSON definition in Redis."""
    fields = msgspec.json.decode(definition)
    return Plan(fields["symbol"], fields["timeframe"], fields["strategy"], fields["params"])


class PlanBook:
    """The plans this worker has met, and their tables for the last slots."""

    def __init__(self, redis: Redis, market: MarketStore) -> None:
        self._redis = redis
        self._market = market
        self._plans: dict[int, Plan] = {}
        self._tables: dict[int, SlotTable] = {}
        self._newest: dict[WindowName, Candles] = {}

    def forget(self) -> None:
        """Drops every table: Redis has restarted and frames may differ."""
        self._tables.clear()
        self._newest.clear()

    async def table(self, frame: Frame, plan_ids: Iterable[int], late: bool) -> SlotTable:
        """The tables of a slot, with the signals of these plans in them.

        late: the slot is over, so somebody has probably stored its signals already.
        """
        wanted = [plan_id for plan_id in plan_ids if plan_id > 0]
        table = self._table_of(frame, max(wanted, default=0))
        async with table.lock:
            missing = [p for p in wanted if not table.known[p]]
            if missing:
                await self._learn(missing)
                self._price(table, missing)
                await self._signal(table, missing, late)
        return table

    def _table_of(self, frame: Frame, highest: int) -> SlotTable:
        table = self._tables.get(frame.slot)
        if table is None or table.frame is not frame:
            size = max(highest, max(self._plans, default=0)) + 1
            table = SlotTable(
                frame,
                price=np.full(size, np.nan),
                fresh=np.zeros(size, np.bool_),
                signal=np.full(size, np.nan),
                known=np.zeros(size, np.bool_),
            )
            self._tables[frame.slot] = table
            while len(self._tables) > SLOT_TABLES_KEPT:
                del self._tables[min(self._tables)]
        elif highest >= table.price.size:
            grow = highest + 1 - table.price.size
            table.price = np.append(table.price, np.full(grow, np.nan))
            table.fresh = np.append(table.fresh, np.zeros(grow, np.bool_))
            table.signal = np.append(table.signal, np.full(grow, np.nan))
            table.known = np.append(table.known, np.zeros(grow, np.bool_))
        return table

    async def _learn(self, plan_ids: list[int]) -> None:
        unknown = [plan_id for plan_id in plan_ids if plan_id not in self._plans]
        if unknown:
            found = await command(self._redis, "HMGET", keys.plans(), *unknown)
            for plan_id, definition in zip(unknown, found, strict=True):
                if definition is not None:
                    self._plans[plan_id] = decode_plan(definition)

    def _price(self, table: SlotTable, plan_ids: list[int]) -> None:
        places = {symbol: place for place, symbol in enumerate(table.frame.symbols)}
        oldest = table.frame.slot - PRICE_STALE_S
        for plan_id in plan_ids:
            plan = self._plans.get(plan_id)
            place = places.get(plan.symbol) if plan is not None else None
            if place is not None:
                table.price[plan_id] = table.frame.price[place]
                table.fresh[plan_id] = table.frame.publish_time[place] >= oldest

    async def _signal(self, table: SlotTable, plan_ids: list[int], late: bool) -> None:
        """Fills in signals: those that somebody has stored, else ours, else theirs if faster."""
        values = np.full(len(plan_ids), np.nan)
        mine = np.ones(len(plan_ids), np.bool_)
        if late:
            stored = await self._market.get_signals(table.frame.slot)
            for place, plan_id in enumerate(plan_ids):
                if plan_id < stored.known.size and stored.known[plan_id]:
                    values[place], mine[place] = stored.values[plan_id], False
        missing = [plan_id for plan_id, own in zip(plan_ids, mine, strict=True) if own]
        if missing:
            values[mine] = await self._compute(table, missing)
            ids = np.array(plan_ids)[mine]
            values[mine] = await self._market.put_signals(table.frame.slot, ids, values[mine])
        table.signal[plan_ids] = values
        table.known[plan_ids] = True
        for place in np.flatnonzero(np.isnan(values)).tolist():
            table.failed.setdefault(plan_ids[place], "the strategy failed on another worker")

    async def _compute(self, table: SlotTable, plan_ids: list[int]) -> Floats:
        """The signals of plans, NaN where a strategy raised: one bad plan must not stop a slot."""
        known = [self._plans[plan_id] for plan_id in plan_ids if plan_id in self._plans]
        names = {(plan.symbol, plan.timeframe) for plan in known}
        unread = [n for n in names if n not in table.candles and n[0] in table.frame.symbols]
        try:
            windows = await self._market.windows(unread, table.frame)
        except WindowGone:
            windows = await self._windows_left(unread, table.frame)
        for name, window in windows.items():
            table.candles[name] = candles = Candles(*window.candles)
            if name in self._newest:
                candles.follow(self._newest[name])
            self._newest[name] = candles
        return np.array([self._evaluate(table, plan_id) for plan_id in plan_ids])

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

    def _evaluate(self, table: SlotTable, plan_id: int) -> float:
        plan = self._plans.get(plan_id)
        if plan is None:
            table.failed[plan_id] = f"plan {plan_id} is not known"
            return math.nan
        candles = table.candles.get((plan.symbol, plan.timeframe))
        if candles is None:
            return 0.0  # no candles, no opinion; exits go on
        try:
            return catalog.evaluate(plan.strategy, candles, plan.params).value
        except Exception as error:
            # A strategy is code of its own; whatever it raises is the agents' error, said to them.
            table.failed[plan_id] = f"{plan.strategy} failed: {type(error).__name__}: {error}"
            logger.exception("plan %d failed", plan_id)
            return math.nan
