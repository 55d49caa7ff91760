"""Fetches candles for the whole pool: one process at a time, the holder of the lease on prices.

So nothing is asked twice, and the most wanted comes first whoever wants it. The budget lies in
Redis all the same: the holder before may have spent it. TwelveData first, as long as it may be
asked; then the exchange; what neither has is built from prices, which is nobody's work here.
"""

import asyncio
import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

import httpx

from adapters.candle_budget import BudgetLeft, CandleBudget
from adapters.candle_state import SourceState
from adapters.candle_store import CandleStore, ExchangeAnswer
from adapters.candles import CandleError, NoSuchCandles, WindowName
from adapters.candles_twelvedata import TwelveDataCandles
from adapters.market_store import WindowGone
from adapters.redis_client import AWAY
from engine.frames import TIME, TIMEFRAMES
from workers.candle_plan import DAY_RESERVE, Errand, Use, WindowSight, errands
from workers.context import PoolContext

logger = logging.getLogger(__name__)

STEP_S: Final = 0.1
SIGHT_EVERY_S: Final = 5.0
REPORT_EVERY_S: Final = 1.0
AT_ONCE: Final = 8
"""Requests to TwelveData under way at a time."""
PENDING_MAX: Final = 100
"""Requests that wait for the exchange; it answers some ten a second."""
PENDING_S: Final = 15.0


class CandleDesk:
    """One process's turn at the candles."""

    def __init__(self, pool: PoolContext, store: CandleStore) -> None:
        self._pool = pool
        self._store = store
        self._uses: Mapping[WindowName, Use] = {}
        self._sights: dict[WindowName, WindowSight] = {}
        self._sights_at = self._reported_at = 0.0
        self._running: dict[WindowName, asyncio.Task[None]] = {}
        self._pending: dict[WindowName, float] = {}
        self.twelvedata, self.exchange = SourceState(), SourceState()
        self._left = BudgetLeft(0, 0)
        key = pool.settings.twelve_data_api_key
        self._budget = CandleBudget(pool.state_redis, key, pool.clock.now) if key else None
        self.has_exchange = find_spec("ccxt") is not None

    def use(self, uses: Mapping[WindowName, Use]) -> None:
        """Says which windows agents look at."""
        self._uses = uses

    async def run(self) -> None:
        """Until it is canceled."""
        async with httpx.AsyncClient() as client:
            source = TwelveDataCandles(
                self._pool.settings.twelvedata_url,
                self._pool.settings.twelve_data_api_key,
                self._pool.clock.now,
                client,
            )
            await self._begin()
            try:
                while True:
                    try:
                        await self._step(source)
                    except AWAY as error:
                        logger.warning("candles wait, Redis does not answer: %s", error)
                    await asyncio.sleep(STEP_S)
            finally:
                for task in self._running.values():
                    task.cancel()
                await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _begin(self) -> None:
        try:
            await self._store.clear_requests()
        except AWAY as error:
            logger.warning("Redis does not answer: %s", error)

    async def _step(self, source: TwelveDataCandles) -> None:
        now = self._pool.clock.now()
        for answer in await self._store.answers():
            await self._take_answer(answer, now)
        self._pending = {n: at for n, at in self._pending.items() if now - at < PENDING_S}
        if now - self._sights_at >= SIGHT_EVERY_S:
            self._sights_at = now
            await self._look(now)
        asked = await self._store.asked(now)
        fetched_at = await self._store.fetched_at() if asked or self._uses else {}
        todo = errands(asked, self._uses, self._sights, fetched_at, now)
        wanted = {errand.name for errand in todo}
        for each in asked:
            if each.name not in wanted:  # fetched while it was asked for
                await self._store.drop_asked(each.name)
        await self._dispatch(todo, source, now)
        if now - self._reported_at >= REPORT_EVERY_S:
            self._reported_at = now
            await self._report()

    async def _dispatch(self, todo: list[Errand], source: TwelveDataCandles, now: float) -> None:
        for errand in todo:
            name = errand.name
            if name in self._running or name in self._pending:
                continue
            if errand.wants_volume and await self._send(errand, now):
                continue
            if await self._may_ask_twelvedata(errand, now):
                self._running[name] = asyncio.create_task(self._fetch(name, source))
            else:
                await self._send(errand, now)

    async def _may_ask_twelvedata(self, errand: Errand, now: float) -> bool:
        """Whether TwelveData is to be asked now; then the request is counted."""
        if self._budget is None or len(self._running) >= AT_ONCE:
            return False
        if not self.twelvedata.may(errand.name, now):
            return False
        if not errand.urgent and (self._left.day < DAY_RESERVE or self._may_send(errand, now)):
            return False
        if not await self._take_off(errand):
            return False
        if await self._budget.take():
            return True
        await self._store.land(errand.name)
        return False

    async def _take_off(self, errand: Errand) -> bool:
        # What was fetched while this step was under way is not under way any more, and not in what
        # the step knows either.
        return await self._store.take_off(errand.name, self._pool.name, errand.fetched_at)

    async def _fetch(self, name: WindowName, source: TwelveDataCandles) -> None:
        state = self.twelvedata
        state.requests += 1
        try:
            candles = await source.fetch(*name)
            state.answered(self._pool.clock.now())
            await self._store.put(name, candles)
        except CandleError as error:
            self._note(state, name, error)
            await self._land(name)
        except AWAY as error:
            logger.warning("candles of %s %s were not stored: %s", *name, error)
        finally:
            del self._running[name]

    async def _land(self, name: WindowName) -> None:
        try:
            await self._store.land(name)
        except AWAY as error:
            logger.warning("Redis does not answer: %s", error)

    def _note(self, state: SourceState, name: WindowName, error: CandleError) -> None:
        """What an error means for the requests after it."""
        state.failed(name, error, self._pool.clock.now())
        logger.warning("%s", error)

    def _may_send(self, errand: Errand, now: float) -> bool:
        return (
            self.has_exchange
            and len(self._pending) < PENDING_MAX
            and self.exchange.may(errand.name, now)
        )

    async def _send(self, errand: Errand, now: float) -> bool:
        """Has the exchange's process fetch it; False where that is of no use now."""
        if not self._may_send(errand, now):
            return False
        if not await self._take_off(errand):
            return False
        self._pending[errand.name] = now
        self.exchange.requests += 1
        await self._store.request([errand.name])
        return True

    async def _take_answer(self, answer: ExchangeAnswer, now: float) -> None:
        name = (answer.symbol, answer.timeframe)
        self._pending.pop(name, None)
        if not answer.problem:
            self.exchange.answered(now)
            return
        kind = NoSuchCandles if answer.is_final else CandleError
        self._note(self.exchange, name, kind(answer.problem))
        await self._store.land(name)

    async def _look(self, now: float) -> None:
        """What agents see of their windows."""
        frame = await self._pool.market.newest()
        if frame is None:
            return
        names = [n for n in self._uses if frame.find(n[0]) >= 0 and n[1] in TIMEFRAMES]
        try:
            windows = await self._pool.market.windows(names, frame)
        except WindowGone as error:
            logger.warning("gaps are looked for later: %s", error)
            return
        self._sights = {
            name: WindowSight(window.candles[TIME, : -1 if window.has_forming else None])
            for name, window in windows.items()
        }

    async def _report(self) -> None:
        sources = []
        if self._budget is not None:
            self._left = await self._budget.left()
            left = {"minute": self._left.minute, "day": self._left.day}
            sources.append(self.twelvedata.report("twelvedata", budget_left=left))
        if self.has_exchange:
            name, waiting = self._pool.settings.exchange, len(self._pending)
            told = self.exchange.report(name, waiting=waiting)
            if (trouble := await self._store.exchange_trouble(name)) is not None:
                told |= {"failing": True, "last_error": trouble, "errors": told["errors"] or 1}
            sources.append(told)
        await self._store.tell({"at": self._pool.clock.now(), "sources": sources})
