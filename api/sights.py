"""What the market says to the plans of agents, computed once for each plan and slot.

The signal is the one that the pool stored for the slot, where it is still kept; the words come
from running the strategy again on the window that the frame names.
"""

import asyncio
import logging
import math
from collections import OrderedDict
from dataclasses import replace
from functools import partial

from adapters.db.agents import Agent
from adapters.market_store import MarketStore, SlotSignals, WindowGone
from api.clock import HubClock
from api.status import Sight
from engine.frames import PRICE_STALE_S, Frame
from strategies import catalog

log = logging.getLogger(__name__)

SIGHTS_REMEMBERED = 20_000
SIGNALS_REMEMBERED = 320
PLANS_REMEMBERED = 10_000
NEWEST_FRAME_S = 0.1
"""The newest frame is looked for again only so long after the last look."""

SightKey = tuple[int, int, str]
"""(plan, slot, source)."""

CANNOT_RUN = "the strategy cannot run on its candles"
FILTERED = "a filter is closed"
NO_PRICES = Sight("none", None, None, True, None, "no prices yet")


class Sights:
    """Sights of one process; safe for concurrent use."""

    def __init__(self, market: MarketStore, clock: HubClock) -> None:
        self._market = market
        self._clock = clock
        self._sights: OrderedDict[SightKey, Sight] = OrderedDict()
        self._under_way: dict[SightKey, asyncio.Task[Sight]] = {}
        self._signals: OrderedDict[int, SlotSignals] = OrderedDict()
        self._plans: OrderedDict[int, catalog.Prepared] = OrderedDict()
        self._newest: Frame | None = None
        self._looked_at = -math.inf
        self._looking = asyncio.Lock()

    async def newest_frame(self) -> Frame | None:
        """The newest frame there is; never makes one."""
        if not self._is_due():
            return self._newest
        async with self._looking:
            if self._is_due():
                now = self._clock.now()
                self._newest = await self._market.newest()
                self._looked_at = now
            return self._newest

    def _is_due(self) -> bool:
        """Whether there may be a newer frame, and nobody has looked just now."""
        now, frame = self._clock.now(), self._newest
        is_newest = frame is not None and frame.slot == int(now)
        return not is_newest and now - self._looked_at >= NEWEST_FRAME_S

    async def frame(self, slot: int) -> Frame | None:
        """The frame of a slot that has ticked, None where it is gone."""
        return (await self._market.frame(slot)).frame

    async def now(self, agent: Agent) -> Sight:
        """What the newest frame says to an agent; stale by the clock, not by the frame."""
        frame = await self.newest_frame()
        if frame is None:
            return NO_PRICES
        return await self.at(agent, frame, self._clock.slot())

    async def at(self, agent: Agent, frame: Frame, now_slot: int | None = None) -> Sight:
        """What a frame says to an agent, its price being stale as of now_slot (default: then)."""
        key = (agent.plan_id, frame.slot, frame.source)
        sight = self._sights.get(key)
        if sight is None:
            sight = await asyncio.shield(self._looked(key, agent, frame))
        if now_slot is not None and now_slot != frame.slot:
            return _aged(sight, now_slot)
        return sight

    def _looked(self, key: SightKey, agent: Agent, frame: Frame) -> "asyncio.Task[Sight]":
        """One look for all who ask at the same time: a strategy runs in it."""
        looking = self._under_way.get(key)
        if looking is None:
            looking = self._under_way[key] = asyncio.create_task(self._look(agent, frame))
            looking.add_done_callback(partial(self._keep, key))
        return looking

    def _keep(self, key: SightKey, looking: "asyncio.Task[Sight]") -> None:
        self._under_way.pop(key, None)
        if looking.cancelled() or looking.exception() is not None:
            return  # whoever has asked hears of it
        self._sights[key] = looking.result()
        while len(self._sights) > SIGHTS_REMEMBERED:
            self._sights.popitem(last=False)

    async def _look(self, agent: Agent, frame: Frame) -> Sight:
        place = frame.find(agent.symbol)
        price = published = None
        if place >= 0 and math.isfinite(frame.price[place]):
            price = float(frame.price[place])
            published = float(frame.publish_time[place])
        signal, detail, silenced = await self._signal(agent, frame)
        stale = price is None or not _fresh(published, frame.slot)
        return Sight(frame.source, price, published, stale, signal, detail, silenced)

    async def _signal(self, agent: Agent, frame: Frame) -> tuple[float | None, str, str]:
        """(signal, detail, silenced) of a Sight."""
        try:
            window = await self._market.window(agent.symbol, agent.timeframe, frame)
        except KeyError:
            return None, f"no prices for {agent.symbol}", ""
        except WindowGone:
            return None, "the candles of this slot are no longer kept", ""
        candles = catalog.Candles(*window.candles)
        try:
            moment = float(frame.moment[frame.find(agent.symbol)])
            prepared = self._prepared(agent)
            said = prepared.signal(candles, moment)
        except catalog.StrategyError as error:
            return None, str(error), ""
        except (ArithmeticError, ValueError, TypeError, LookupError, AttributeError) as error:
            # The pool puts such an agent into `error`; its status must still be readable.
            whose = {"agent_id": agent.id}
            log.warning("strategy %s failed: %s", agent.strategy_name, error, extra=whose)
            return None, f"the strategy failed: {type(error).__name__}", ""
        if not said.can_run:
            return 0.0, said.detail, CANNOT_RUN
        stored = await self._stored_signal(agent.plan_id, frame.slot)
        silenced = FILTERED if prepared.open_at.closed(moment) else ""
        return (said.value if stored is None else stored), said.detail, silenced

    def _prepared(self, agent: Agent) -> catalog.Prepared:
        """The agent's plan, ready to be evaluated. Raises catalog.StrategyError."""
        prepared = self._plans.get(agent.plan_id)
        if prepared is None:
            prepared = catalog.prepare(agent.strategy_name, agent.strategy_params)
            self._plans[agent.plan_id] = prepared
            while len(self._plans) > PLANS_REMEMBERED:
                self._plans.popitem(last=False)
        return prepared

    async def _stored_signal(self, plan_id: int, slot: int) -> float | None:
        for fetch_again in (False, True):
            signals = await self._slot_signals(slot, fetch_again)
            if plan_id < len(signals.known) and signals.known[plan_id]:
                value = float(signals.values[plan_id])
                return value if math.isfinite(value) else None
        return None

    async def _slot_signals(self, slot: int, fetch_again: bool) -> SlotSignals:
        signals = None if fetch_again else self._signals.get(slot)
        if signals is None:
            signals = await self._market.get_signals(slot)
            self._signals[slot] = signals
            while len(self._signals) > SIGNALS_REMEMBERED:
                self._signals.popitem(last=False)
        return signals


def _fresh(published: float | None, slot: int) -> bool:
    return published is not None and published >= slot - PRICE_STALE_S


def _aged(sight: Sight, now_slot: int) -> Sight:
    stale = sight.price is None or not _fresh(sight.price_time, now_slot)
    if stale == sight.stale:
        return sight
    return replace(sight, stale=stale)
