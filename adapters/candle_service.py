"""Candles for whoever asks the hub: fresh ones, or somebody else's, or old ones that say so.

Of a live source: what was fetched in the last minute; else it is asked for, and waited for some
seconds; else the bars that agents see, built from prices; else the old ones. Of a function of the
slot: its own bars.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from uuid import UUID

import numpy as np

from adapters.candle_store import CandleStore
from adapters.candles import CANDLES_FRESH_S, FetchedCandles, WindowName
from adapters.market_store import WindowGone
from adapters.own_candles import OwnCandles
from adapters.price_desk import PriceDesk
from adapters.redis_client import AWAY, Redis
from adapters.settings import Settings
from engine.frames import TIME, TIMEFRAME_NAMES, TIMEFRAMES, Floats, Frame

WAIT_S: Final = 4.0
"""How long an answer waits for candles to be fetched; callers wait five seconds."""
RUSH: Final = 200
RUSH_WAIT_S: Final = 1.0
"""The same while more callers than that wait, of candles that are there as agents see them: all
have to be answered after it, which takes half a millisecond each, and longer on a busy machine."""
POLL_S: Final = 0.1
SHARED_S: Final = 1.0
"""So long the same answer is given again, as long as its candles are fresh."""
SHARED_MAX: Final = 1_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class ServedCandles:
    """bars f8[N, 6], oldest first, the unfinished one last where it is known; volume may be NaN.

    fetched_at: Unix seconds, of the source; stale: longer ago than a minute. encoded: answers made
    of them, by their number of bars; many callers get the same.
    """

    source: str
    fetched_at: float
    stale: bool
    bars: Floats
    encoded: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Waiter:
    """Those of this process who wait for the same candles, and since when the last of them does."""

    is_over: asyncio.Future[None]
    since: float = 0.0


class OwnKeys(Protocol):
    """Keys that users have put in for themselves."""

    async def twelve_data_key(self, user_id: UUID) -> str | None:
        """A user's own key of TwelveData, None without one."""


class CandleService:
    """One for each hub process; clock: Unix seconds of Redis."""

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        prices: PriceDesk,
        clock: Callable[[], float],
        own_keys: OwnKeys,
    ) -> None:
        self._prices = prices
        self._clock = clock
        self._own_keys = own_keys
        self.store = CandleStore(redis)
        self.own = OwnCandles(settings.twelvedata_url, redis, self.store, clock)
        self._serving: dict[tuple[WindowName, UUID | None], asyncio.Task[ServedCandles | None]] = {}
        self._waiting: dict[WindowName, _Waiter] = {}
        self._callers = 0
        self._shared: dict[WindowName, tuple[ServedCandles, float]] = {}
        self._poll: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Ends what is under way."""
        tasks = [*self._serving.values(), *([] if self._poll is None else [self._poll])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.own.close()

    async def candles(
        self, symbol: str, timeframe: str, user_id: UUID, frame: Frame | None
    ) -> ServedCandles | None:
        """The best there is within some seconds; None where there was never anything.

        frame: the newest one, of a function source. Those who ask for the same at once get one
        answer.
        """
        name = (symbol, timeframe)
        if self._prices.live is None:
            return await self._seen(name, frame, self._clock())
        if (shared := self._fresh(name)) is not None:
            return shared
        own = await self._own_key(user_id)
        whose = None if own is None else user_id
        serving = self._serving.get((name, whose))
        if serving is None:
            serving = asyncio.create_task(self._serve(name, own))
            self._serving[name, whose] = serving
            serving.add_done_callback(lambda _: self._serving.pop((name, whose), None))
        self._callers += 1
        try:
            return await asyncio.shield(serving)
        finally:
            self._callers -= 1

    def _fresh(self, name: WindowName) -> ServedCandles | None:
        served, until = self._shared.get(name, (None, 0.0))
        if served is None or asyncio.get_running_loop().time() > until:
            return None
        return served if self._clock() - served.fetched_at <= CANDLES_FRESH_S else None

    def _share(self, name: WindowName, served: ServedCandles) -> ServedCandles:
        if len(self._shared) >= SHARED_MAX:
            self._shared.clear()
        self._shared[name] = served, asyncio.get_running_loop().time() + SHARED_S
        return served

    async def told_of_own(self, user_id: UUID) -> dict[str, Any] | None:
        """How the user's own key is doing; None without one, or where no live source is."""
        own = None if self._prices.live is None else await self._own_key(user_id)
        return None if own is None else await self.own.told(*own)

    async def _own_key(self, user_id: UUID) -> tuple[UUID, str] | None:
        key = await self._own_keys.twelve_data_key(user_id)
        return None if key is None else (user_id, key)

    async def _serve(self, name: WindowName, own: tuple[UUID, str] | None) -> ServedCandles | None:
        now = self._clock()
        kept = (await self.store.get([name])).get(name)
        if kept is None or now - kept.fetched_at > CANDLES_FRESH_S:
            await self._prices.follow(name[0])
            until = asyncio.get_running_loop().time() + WAIT_S
            if own is None or not await self.own.fetch(name, *own):
                await self._wait(name, now, until)
            kept = (await self.store.get([name])).get(name)
        now = self._clock()
        if kept is not None and now - kept.fetched_at <= CANDLES_FRESH_S:
            return self._share(name, _fetched(kept, name[1], stale=False, now=now))
        seen = await self._seen(name, await self._prices.market.newest(), now)
        if kept is None or (seen is not None and seen.fetched_at > kept.fetched_at):
            return seen
        return _fetched(kept, name[1], stale=True, now=now)

    async def _seen(
        self, name: WindowName, frame: Frame | None, now: float
    ) -> ServedCandles | None:
        """What agents see in a frame; None where it has nothing of this symbol."""
        if frame is None or frame.find(name[0]) < 0:
            return None
        try:
            window = await self._prices.market.window(*name, frame)
        except WindowGone:
            return None
        if not window.candles.shape[1]:
            return None
        moment = float(frame.slot)
        if self._prices.live is not None:
            # Frames are made each second, also of prices that came long ago.
            moment = min(moment, float(frame.publish_time[frame.find(name[0])]))
            if math.isnan(moment):
                return None
        is_stale = moment < now - CANDLES_FRESH_S
        return ServedCandles(frame.source, moment, is_stale, window.candles.T)

    async def _wait(self, name: WindowName, now: float, until: float) -> None:
        """Asks for candles and waits until they are there, or it has been too long.

        until: by the clock of the event loop.
        """
        loop = asyncio.get_running_loop()
        waiter = self._waiting.setdefault(name, _Waiter(loop.create_future()))
        waiter.since = loop.time()
        await self.store.ask(name, now)
        if self._poll is None or self._poll.done():
            self._poll = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout_at(until):
                await asyncio.shield(waiter.is_over)
        except TimeoutError:
            return

    async def _watch(self) -> None:
        """Tells those who wait, for as long as somebody does: one look for all of them."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            try:
                fetched_at = await self.store.fetched_at()
            except AWAY as error:
                log.warning("Redis does not answer: %s", error)
                fetched_at = {}
            oldest = self._clock() - CANDLES_FRESH_S
            in_rush = await self._newest() if self._callers > RUSH else None
            for name, waiter in list(self._waiting.items()):
                patience_s = RUSH_WAIT_S if _shows(in_rush, name) else WAIT_S
                if fetched_at.get(name, 0.0) >= oldest or loop.time() > waiter.since + patience_s:
                    del self._waiting[name]
                    waiter.is_over.set_result(None)
            await asyncio.sleep(POLL_S)

    async def _newest(self) -> Frame | None:
        try:
            return await self._prices.market.newest()
        except AWAY as error:
            log.warning("Redis does not answer: %s", error)
            return None


def _shows(frame: Frame | None, name: WindowName) -> bool:
    """Whether a frame has a bar of these candles."""
    if frame is None or (place := frame.find(name[0])) < 0:
        return False
    return bool(np.isfinite(frame.forming[place, TIMEFRAME_NAMES.index(name[1]), TIME]))


def _fetched(candles: FetchedCandles, timeframe: str, *, stale: bool, now: float) -> ServedCandles:
    """With the unfinished bar, as long as it is unfinished."""
    bars, forming = candles.bars, candles.forming
    if forming is not None and forming[TIME] + TIMEFRAMES[timeframe] > now:
        bars = np.concatenate([bars, forming[None]])
    return ServedCandles(candles.source, candles.fetched_at, stale, bars)
