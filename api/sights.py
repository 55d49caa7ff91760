"""What the market says to the plans of agents, computed once for each plan and slot.

The signal is the one that the pool stored for the slot, where it is still kept; the words come
from running the strategy again on the window that the frame names.
"""

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from adapters.db.agents import Agent
from adapters.market_bars import WindowName
from adapters.market_store import MarketStore, SlotSignals, Window, WindowGone
from api.clock import HubClock
from api.status import Sight
from engine.frames import PRICE_STALE_S, Frame
from strategies import catalog

log = logging.getLogger(__name__)

SIGHTS_REMEMBERED = 20_000
SIGNALS_REMEMBERED = 320
PLANS_REMEMBERED = 10_000
CANDLES_REMEMBERED = 512
"""Windows; one takes some fifty kilobytes with what is derived from it."""
PLANS_AT_ONCE = 100
"""Strategies that are run before others run: a few milliseconds."""
NEWEST_FRAME_S = 0.1
"""The newest frame is looked for again only so long after the last look."""

SightKey = tuple[int, int, str]
"""(plan, slot, source)."""

CANNOT_RUN = "the strategy cannot run on its candles"
FILTERED = "a filter is closed"
NO_PRICES = Sight("none", None, None, True, None, "no prices yet")


class Stored(NamedTuple):
    """A signal that the pool has stored; None where there is none."""

    value: float | None


class Sights:
    """Sights of one process; safe for concurrent use."""

    def __init__(self, market: MarketStore, clock: HubClock) -> None:
        self._market = market
        self._clock = clock
        self._sights: OrderedDict[SightKey, Sight] = OrderedDict()
        self._under_way: dict[SightKey, asyncio.Task[Sight]] = {}
        self._signals: OrderedDict[int, SlotSignals] = OrderedDict()
        self._plans: OrderedDict[int, catalog.Prepared] = OrderedDict()
        self._candles: OrderedDict[WindowName, tuple[tuple[int, str], catalog.Candles]] = (
            OrderedDict()
        )
        """The newest of each window, with slot and source of the frame they were asked for by: all
        plans of a window share what is derived from them."""
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
        self._sights.setdefault(key, looking.result())
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        while len(self._sights) > SIGHTS_REMEMBERED:
            self._sights.popitem(last=False)

    async def of_plans(self, agents: Iterable[Agent], frame: Frame) -> dict[int, Sight]:
        """What a frame says to the plans of some agents, by plan id: one look for all of them."""
        found: dict[int, Sight] = {}
        missing: dict[int, Agent] = {}
        for agent in agents:
            sight = self._sights.get((agent.plan_id, frame.slot, frame.source))
            if sight is None:
                missing[agent.plan_id] = agent
            else:
                found[agent.plan_id] = sight
        if missing:
            looked = await self._look_all(list(missing.values()), frame)
            for plan_id, sight in zip(missing, looked, strict=True):
                # Somebody may have been faster, and then everybody has that one.
                found[plan_id] = self._sights.setdefault((plan_id, frame.slot, frame.source), sight)
            self._forget_oldest()
        return found

    async def _look(self, agent: Agent, frame: Frame) -> Sight:
        return (await self._look_all([agent], frame))[0]

    async def _look_all(self, agents: Sequence[Agent], frame: Frame) -> list[Sight]:
        """Sights of agents of different plans, in their order."""
        candles = await self._candles_of({(each.symbol, each.timeframe) for each in agents}, frame)
        stored = await self._stored_signals([each.plan_id for each in agents], frame.slot)
        moments = frame.moment
        sights: list[Sight] = []
        for number, agent in enumerate(agents, start=1):
            if number % PLANS_AT_ONCE == 0:
                await asyncio.sleep(0)
            place = frame.find(agent.symbol)
            price = published = None
            if place >= 0 and math.isfinite(frame.price[place]):
                price = float(frame.price[place])
                published = float(frame.publish_time[place])
            window = candles[agent.symbol, agent.timeframe]
            if isinstance(window, str):
                said: tuple[float | None, str, str] = (None, window, "")
            else:
                moment = float(moments[place])
                said = self._signal(agent, window, moment, stored.get(agent.plan_id))
            stale = price is None or not _fresh(published, frame.slot)
            sights.append(Sight(frame.source, price, published, stale, *said))
        return sights

    async def _candles_of(
        self, names: Collection[WindowName], frame: Frame
    ) -> dict[WindowName, catalog.Candles | str]:
        """The candles of windows as a frame names them, or why there are none."""
        found: dict[WindowName, catalog.Candles | str] = {}
        wanted: list[WindowName] = []
        for name in names:
            known = self._candles.get(name)
            if known is not None and known[0] == (frame.slot, frame.source):
                found[name] = known[1]
            elif frame.find(name[0]) < 0:
                found[name] = f"no prices for {name[0]}"
            else:
                wanted.append(name)
        for name, window in (await self._windows(wanted, frame)).items():
            candles = catalog.Candles(*window.candles)
            before = self._candles.pop(name, None)
            if before is not None:
                candles.follow(before[1])
            self._candles[name] = ((frame.slot, frame.source), candles)
            found[name] = candles
        while len(self._candles) > CANDLES_REMEMBERED:
            self._candles.popitem(last=False)
        for name in wanted:
            found.setdefault(name, "the candles of this slot are no longer kept")
        return found

    async def _windows(
        self, names: Sequence[WindowName], frame: Frame
    ) -> Mapping[WindowName, Window]:
        """Those of the windows that are still kept."""
        if not names:
            return {}
        try:
            return await self._market.windows(names, frame)
        except WindowGone:
            if len(names) == 1:
                return {}
        left: dict[WindowName, Window] = {}
        for name in names:
            left |= await self._windows([name], frame)
        return left

    def _signal(
        self, agent: Agent, candles: catalog.Candles, moment: float, stored: "Stored | None"
    ) -> tuple[float | None, str, str]:
        """(signal, detail, silenced) of a Sight. stored: what the pool has made of the slot."""
        try:
            prepared = self._prepared(agent)
            said = prepared.signal(candles, moment)
            detail = said.detail
        except catalog.StrategyError as error:
            return None, str(error), ""
        except (ArithmeticError, ValueError, TypeError, LookupError, AttributeError) as error:
            # The pool puts such an agent into `error`; its status must still be readable.
            whose = {"agent_id": agent.id}
            log.warning("strategy %s failed: %s", agent.strategy_name, error, extra=whose)
            return None, f"the strategy failed: {type(error).__name__}", ""
        if not said.can_run:
            return 0.0, detail, CANNOT_RUN
        silenced = FILTERED if prepared.open_at.closed(moment) else ""
        return (said.value if stored is None else stored.value), detail, silenced

    def _prepared(self, agent: Agent) -> catalog.Prepared:
        """The agent's plan, ready to be evaluated. Raises catalog.StrategyError."""
        prepared = self._plans.get(agent.plan_id)
        if prepared is None:
            prepared = catalog.prepare(agent.strategy_name, agent.strategy_params)
            self._plans[agent.plan_id] = prepared
            while len(self._plans) > PLANS_REMEMBERED:
                self._plans.popitem(last=False)
        return prepared

    async def _stored_signals(self, plan_ids: Sequence[int], slot: int) -> dict[int, Stored]:
        """The signals of those of the plans that the pool has stored one for."""
        asked = np.array(plan_ids, np.int64)
        for fetch_again in (False, True):
            signals = (await self._slot_signals(slot, fetch_again)).of(asked)
            if signals.known.all():
                break
        return {
            plan_id: Stored(value if math.isfinite(value) else None)
            for plan_id, value, is_known in zip(
                plan_ids, signals.values.tolist(), signals.known.tolist(), strict=True
            )
            if is_known
        }

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
