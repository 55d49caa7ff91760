"""Plans and their signals: one computation for each plan and slot, used by every agent on it.

The engine works on tables indexed by plan id. This room fills them: prices from the frame,
signals from the strategies, and what another worker has computed first wins, so that no
difference of CPU, library or moment reaches a trade.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from adapters.market_store import MarketStore
from engine.frames import Frame
from numpy.typing import NDArray

from adapters import redis_keys as keys
from adapters.redis_client import Redis, command
from strategies import catalog
from strategies.base import Candles
from workers.settings import PRICE_STALE_S

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

    def forget(self) -> None:
        """Drops every table: Redis has restarted and frames may differ."""
        self._tables.clear()

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
        slot = table.frame.slot
        computed: dict[int, float] = {}
        stored = await self._market.get_signals(slot) if late else {}
        for plan_id in plan_ids:
            if plan_id in stored:
                computed[plan_id] = stored[plan_id]
            else:
                computed[plan_id] = await self._evaluate(table, plan_id)
        final = await self._market.put_signals(slot, list(computed), list(computed.values()))
        for plan_id, signal in zip(computed, final, strict=True):
            table.signal[plan_id] = signal
            table.known[plan_id] = True
            if np.isnan(signal):
                table.failed.setdefault(plan_id, "the strategy failed on another worker")

    async def _evaluate(self, table: SlotTable, plan_id: int) -> float:
        """A plan's signal, NaN if its strategy raises: one bad plan must not stop the slot."""
        plan = self._plans.get(plan_id)
        if plan is None:
            table.failed[plan_id] = f"plan {plan_id} is not known"
            return float("nan")
        window = await self._market.window(plan.symbol, plan.timeframe, table.frame)
        candles = Candles(*window.columns)
        try:
            return catalog.evaluate(plan.strategy, candles, plan.params).value
        except (ArithmeticError, ValueError, TypeError, LookupError, AttributeError) as error:
            table.failed[plan_id] = f"{plan.strategy} failed: {type(error).__name__}: {error}"
            logger.warning("plan %d: %s", plan_id, table.failed[plan_id])
            return float("nan")
