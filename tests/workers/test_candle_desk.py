"""The desk that fetches candles, against a TwelveData that counts and an exchange's process."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from uuid import uuid4

import numpy as np
import pytest

from adapters.candle_service import CandleService, OwnKeys
from adapters.candle_store import CandleStore, ExchangeAnswer
from adapters.candles import FetchedCandles, NoSuchCandles, WindowName
from adapters.live_frames import LivePrices
from adapters.live_table import SeenPrice
from adapters.price_desk import PriceDesk
from adapters.settings import Settings
from engine.frames import TIME
from tests.conftest import wait_for
from tests.servers.twelvedata import KEY, TwelveDataServer, twelvedata
from workers.__main__ import open_pool
from workers.candle_desk import CandleDesk
from workers.candle_plan import Use
from workers.context import PoolContext

BTC, ETH, SOL = ("BTC/USDT", "1m"), ("ETH/USDT", "1m"), ("SOL/USDT", "1h")
USER = uuid4()


@pytest.fixture
async def server() -> AsyncIterator[TwelveDataServer]:
    bases = {f"C{n}": 100.0 for n in range(20)} | {"BTC": 64_000.0, "ETH": 3e3, "SOL": 150.0}
    async with twelvedata(bases=bases) as server:
        yield server


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine answers later."""
    monkeypatch.setattr("adapters.candle_service.WAIT_S", 10.0)


@pytest.fixture
def live(settings: Settings, server: TwelveDataServer) -> Settings:
    return replace(
        settings,
        price_source="pyth",
        pyth_url="http://127.0.0.1:1",
        twelvedata_url=server.url,
        twelve_data_api_key=KEY,
    )


class NoKeys:
    """Nobody has a key of their own."""

    async def twelve_data_key(self, user_id: object) -> str | None:
        return None


class Office:
    """A desk that works, and what the hub has on its side."""

    def __init__(self, pool: PoolContext, desk: CandleDesk, keys: OwnKeys) -> None:
        self.pool = pool
        self.desk = desk
        self.store = CandleStore(pool.state_redis)
        prices = PriceDesk(pool.settings, pool.state_redis, pool.clock.now)
        self.service = CandleService(pool.settings, pool.state_redis, prices, pool.clock.now, keys)

    async def source_of(self, name: WindowName) -> str | None:
        """Who has answered for these candles, None while nobody has."""
        found = (await self.store.get([name])).get(name)
        return None if found is None else found.source

    async def fetched_from(self, name: WindowName, source: str) -> None:
        async def check() -> bool:
            return await self.source_of(name) == source

        await wait_for(check, seconds=10, what=f"{name} from {source}")


@asynccontextmanager
async def office(
    settings: Settings, *, exchange: bool = False, keys: OwnKeys | None = None
) -> AsyncIterator[Office]:
    async with open_pool(settings) as pool:
        assert isinstance(pool.market.source, LivePrices)
        desk = CandleDesk(pool, CandleStore(pool.state_redis))
        desk.has_exchange = exchange
        task = asyncio.create_task(desk.run())
        office = Office(pool, desk, keys or NoKeys())
        try:
            yield office
        finally:
            await office.service.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_many_who_ask_at_once_are_one_request(
    live: Settings, server: TwelveDataServer
) -> None:
    async with office(live) as of:
        answers = await asyncio.gather(
            *(of.service.candles(*name, USER, None) for name in (BTC, ETH) * 20)
        )
        assert {answer.source for answer in answers if answer} == {"twelvedata"}
        assert all(answer is not None and not answer.stale for answer in answers)
        assert sorted(s for _, _, s, _ in server.asked) == ["BTC/USD", "ETH/USD"]
        again = await of.service.candles(*BTC, USER, None)
        assert again is not None and again.fetched_at in {a.fetched_at for a in answers if a}
        assert len(server.asked) == 2


async def test_what_came_while_a_step_was_decided_is_not_asked_for_again(
    live: Settings, server: TwelveDataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step whose answer of Redis is older than candles that came since: here every one is."""

    async def nothing_yet(store: CandleStore) -> dict[WindowName, float]:
        return {}

    monkeypatch.setattr(CandleStore, "fetched_at", nothing_yet)
    async with office(live) as of:
        for asked, name in enumerate((BTC, ETH, SOL), 1):
            of.desk.use({each: Use(1, needs_volume=False) for each in (BTC, ETH, SOL)[:asked]})
            await of.fetched_from(name, "twelvedata")
        assert [s for _, _, s, _ in server.asked] == ["BTC/USD", "ETH/USD", "SOL/USD"]


async def test_the_most_wanted_are_asked_for_and_the_rest_waits_for_the_next_minute(
    live: Settings, server: TwelveDataServer
) -> None:
    async with office(live) as of:
        names = [(f"C{n}/USDT", "5m") for n in range(12)]
        of.desk.use({name: Use(owners=n, needs_volume=False) for n, name in enumerate(names)})
        await wait_for(lambda: len(server.asked) == 8)
        assert {s for _, _, s, _ in server.asked} == {f"C{n}/USD" for n in range(4, 12)}
        await of.fetched_from(names[4], "twelvedata")
        report = await wait_for(of.store.told)
        assert report is not None and report["sources"][0]["source"] == "twelvedata"
        assert server.most_in(60) == 8 and not any(server.refuse or ())


async def test_a_source_that_answers_errors_alone_is_said_to_fail(
    live: Settings, server: TwelveDataServer
) -> None:
    server.refuse = (502, "Bad Gateway")
    async with office(live, exchange=True) as of:
        of.desk.use({BTC: Use(1, needs_volume=False)})
        why = "ARTIC_EXCHANGE cannot be used: no such exchange"
        await of.store.tell_exchange_trouble(live.exchange, why)

        async def said(**expected: object) -> bool:
            told = await of.store.told() or {"sources": []}
            return any(expected.items() <= each.items() for each in told["sources"])

        failing = partial(said, source="twelvedata", failing=True, last_message_at=None)
        await wait_for(failing, seconds=10)
        exchange = partial(said, source=live.exchange, failing=True, last_error=why)
        await wait_for(exchange, seconds=10)
        assert "502" in (of.desk.twelvedata.last_error or "")
        server.refuse = None
        of.desk.use({ETH: Use(1, needs_volume=False)})
        await of.fetched_from(ETH, "twelvedata")
        await wait_for(partial(said, source="twelvedata", failing=False), seconds=10)
        of.desk.twelvedata.failed(SOL, NoSuchCandles("it has none"), time.time())
        assert not of.desk.twelvedata.is_failing


async def test_a_spent_budget_leaves_it_to_the_exchange(
    live: Settings, server: TwelveDataServer
) -> None:
    server.refuse = (429, "You have run out of API credits for the day. 801 API credits were used")
    async with office(live, exchange=True) as of:
        await of.store.ask(BTC, of.pool.clock.now())
        request = await wait_for(of.store.next_request)
        assert request == BTC
        assert len(server.asked) == 1
        bars = np.array([[of.pool.clock.now() // 60 * 60 - 60, 1.0, 1.0, 1.0, 1.0, 5.0]])
        now = of.pool.clock.now()
        await of.store.put(BTC, FetchedCandles(source="hashkey", fetched_at=now, bars=bars))
        await of.store.answer(ExchangeAnswer(*BTC))
        # What the exchange lacks is not asked of it again and again.
        await of.store.ask(SOL, of.pool.clock.now())
        assert await wait_for(of.store.next_request) == SOL
        await of.store.answer(ExchangeAnswer(*SOL, "no such market", is_final=True))
        await wait_for(lambda: of.desk.exchange.errors == 1)
        served = await of.service.candles(*BTC, USER, None)
        assert served is not None and served.source == "hashkey"
        assert len(server.asked) == 1 and not await of.store.requests_waiting()


async def test_what_needs_volumes_goes_to_the_exchange(
    live: Settings, server: TwelveDataServer
) -> None:
    async with office(live, exchange=True) as of:
        of.desk.use({BTC: Use(1, needs_volume=True), ETH: Use(1, needs_volume=False)})
        assert await wait_for(of.store.next_request) == BTC
        await of.fetched_from(ETH, "twelvedata")
        assert [s for _, _, s, _ in server.asked] == ["ETH/USD"]


async def test_an_error_is_no_reason_to_ask_again_at_once(
    live: Settings, server: TwelveDataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.candle_service.WAIT_S", 0.5)
    server.raw = (502, b"Bad Gateway")
    async with office(live) as of:
        assert await of.service.candles(*BTC, USER, None) is None
        assert await of.service.candles(*BTC, USER, None) is None
        assert len(server.asked) == 1
        assert of.desk.twelvedata.last_error == "TwelveData answers 502: Bad Gateway"


async def test_old_candles_say_that_they_are_old(
    live: Settings, server: TwelveDataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.candle_service.WAIT_S", 0.3)
    server.raw = (502, b"Bad Gateway")
    async with office(live) as of:
        then = of.pool.clock.now() - 300
        bars = np.array([[then // 60 * 60, 1.0, 1.0, 1.0, 1.0, 5.0]])
        await of.store.put(BTC, FetchedCandles(source="twelvedata", fetched_at=then, bars=bars))
        served = await of.service.candles(*BTC, USER, None)
        assert served is not None and served.stale and served.fetched_at == then
        assert served.source == "twelvedata"


async def test_a_gap_in_what_agents_see_is_refilled(
    live: Settings, server: TwelveDataServer
) -> None:
    async with office(live) as of:
        source = of.pool.market.source
        assert isinstance(source, LivePrices)
        await source.table.use([BTC[0]])
        last = of.pool.clock.now() // 60 * 60 - 180
        times = last - 60.0 * np.arange(40)[::-1]
        seen = np.delete(times, [30, 31, 32])  # nothing was streamed in these minutes
        bars = np.array([(t, 100.0, 101.0, 99.0, 100.0, np.nan) for t in seen])
        # Fetched last before the bar after the gap had closed: nobody has asked since.
        before = FetchedCandles(source="twelvedata", fetched_at=last - 330.0, bars=bars)
        await of.store.put(BTC, before)
        of.desk.use({BTC: Use(1, needs_volume=False)})

        async def seen_times() -> list[float]:
            answer = await of.pool.market.frame(int(of.pool.clock.now()))
            if answer.frame is None or answer.frame.find(BTC[0]) < 0:
                return []
            window = await of.pool.market.window(*BTC, answer.frame)
            closed: list[float] = window.candles[TIME].tolist()
            return closed[:-1] if window.has_forming else closed

        async def has_gap() -> bool:
            return set(seen) <= set(known := await seen_times()) and not set(times) <= set(known)

        async def has_none() -> bool:
            return set(times) <= set(await seen_times())

        await wait_for(has_gap, seconds=10, what="a window with a gap")
        await wait_for(has_none, seconds=20, what="a window without one")
        assert [(s, i) for _, _, s, i in server.asked] == [("BTC/USD", "1min")]


async def test_bars_of_prices_that_stopped_say_since_when(
    live: Settings, server: TwelveDataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames go on being made each second, of the last price that came."""
    monkeypatch.setattr("adapters.candle_service.WAIT_S", 0.3)
    server.raw = (502, b"Bad Gateway")
    async with office(live) as of:
        source = of.pool.market.source
        assert isinstance(source, LivePrices)
        await source.table.use([BTC[0]])
        assert await source.table.hold("me", 60_000)

        async def published(age_s: float) -> float:
            then = of.pool.clock.now() - age_s
            assert await source.table.write(
                "me", [SeenPrice(BTC[0], 9.0, 9.0, 9.0, 9.0, 1.0, then, 0.1)]
            )

            async def framed() -> bool:
                answer = await of.pool.market.frame(int(of.pool.clock.now()))
                frame = answer.frame
                if frame is None or (place := frame.find(BTC[0])) < 0:
                    return False
                return bool(frame.publish_time[place] == then)

            await wait_for(framed, seconds=10)
            return then

        for _ in range(2):  # the first frame has no bars: it knows no price before
            await published(0.0)
        fresh = await wait_for(lambda: of.service.candles(*BTC, USER, None))
        assert fresh is not None and (fresh.source, fresh.stale) == ("pyth", False)
        then = await published(300.0)
        old = await of.service.candles(*BTC, USER, None)
        assert old is not None and (old.source, old.stale) == ("pyth", True)
        assert old.fetched_at == then


class OneKey:
    """One user has a key of their own."""

    async def twelve_data_key(self, user_id: object) -> str | None:
        return "theirs" if user_id == USER else None


async def test_a_users_own_key_has_its_own_budget(live: Settings, server: TwelveDataServer) -> None:
    server.keys.add("theirs")
    async with office(live, keys=OneKey()) as of:
        names = [(f"C{n}/USDT", "5m") for n in range(10)]
        served = await asyncio.gather(*(of.service.candles(*n, USER, None) for n in names))
        assert all(served)
        by_key = [key for _, key, _, _ in server.asked]
        assert by_key.count("theirs") == 8 and by_key.count(KEY) == 2
        assert len({s for _, _, s, _ in server.asked}) == len(server.asked) == 10


async def test_a_key_of_ones_own_that_hangs_costs_no_more_time_than_without(
    live: Settings, server: TwelveDataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.candle_service.WAIT_S", 1.0)
    monkeypatch.setattr("adapters.own_candles.TIMEOUT_S", 0.3, raising=False)
    server.held = asyncio.Event()
    async with office(live, keys=OneKey()) as of:
        began = time.monotonic()
        assert await of.service.candles(*BTC, USER, None) is None
        assert time.monotonic() - began < 4.0
        # The pool has been asked meanwhile: of a key that hangs nobody waits for long.
        assert [key for _, key, _, _ in server.asked] == ["theirs", KEY]
        server.held.set()
