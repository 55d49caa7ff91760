"""What `auto` comes to, once for all processes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from adapters import price_choice, redis_keys
from adapters.errors import FeedError
from adapters.live_frames import LivePrices
from adapters.price_choice import (
    PriceChoice,
    check_prices,
    forget_choice,
    open_prices,
    says,
    settle,
    settled,
)
from adapters.price_desk import PriceDesk
from adapters.price_simulated import SimulatedPrices
from adapters.prices import PriceSourceError
from adapters.redis_client import Redis, command, open_redis
from adapters.settings import Settings


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


class Exchange:
    """Says why it cannot be used, "" when it can; counts who asks."""

    def __init__(self, problem: str = "") -> None:
        self.problem = problem
        self.asked = 0

    async def probe(self) -> str:
        self.asked += 1
        await asyncio.sleep(0)
        return self.problem


@pytest.fixture
def auto(settings: Settings) -> Settings:
    return replace(settings, price_source="auto")


async def test_pyth_if_there_is_a_key(auto: Settings, redis: Redis) -> None:
    exchange = Exchange()
    told, choice = await settle(replace(auto, pyth_api_key="k"), redis, exchange.probe)
    assert (told.price_source, exchange.asked) == ("pyth", 0)
    assert says(told, choice) == "prices are streamed from Pyth: its key is set"


async def test_the_exchange_if_it_answers(auto: Settings, redis: Redis) -> None:
    told, choice = await settle(auto, redis, Exchange().probe)
    assert told.price_source == "exchange"
    assert says(told, choice) == (
        "prices are streamed from the exchange hashkey: no key of Pyth is set, and the exchange"
        " answers"
    )


@pytest.mark.parametrize("problem", ["did not answer within 5 s", "cannot be used: no such host"])
async def test_simulated_else(auto: Settings, redis: Redis, problem: str) -> None:
    told, choice = await settle(auto, redis, Exchange(problem).probe)
    assert told.price_source == "simulated"
    assert says(told, choice) == (
        "prices are simulated (seeded random walks; no market is asked): no key of Pyth is set,"
        f" and the exchange hashkey {problem}"
    )


async def test_a_probe_that_breaks_is_no_answer(auto: Settings, redis: Redis) -> None:
    async def broken() -> str:
        raise FeedError("it broke")

    told, _ = await settle(auto, redis, broken)
    assert told.price_source == "simulated"


async def test_all_processes_take_what_one_has_settled(auto: Settings, redis: Redis) -> None:
    exchanges = [Exchange("" if n % 2 else "is away") for n in range(6)]
    all_told = await asyncio.gather(*(settle(auto, redis, e.probe) for e in exchanges))
    assert sum(exchange.asked for exchange in exchanges) == 1
    assert len({told.price_source for told, _ in all_told}) == 1
    # One that starts later, with a key of its own, does not change it for itself alone.
    late, _ = await settle(replace(auto, pyth_api_key="k"), redis, Exchange().probe)
    assert late.price_source == all_told[0][0].price_source
    await forget_choice(redis)
    assert await settled(redis) is None
    await command(redis, "DEL", redis_keys.market_choosing())
    again, _ = await settle(replace(auto, pyth_api_key="k"), redis, Exchange().probe)
    assert again.price_source == "pyth"


async def test_one_that_dies_while_it_decides_stops_nobody(
    auto: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await command(redis, "SET", redis_keys.market_choosing(), "1", "PX", 200)
    told, _ = await settle(auto, redis, Exchange().probe)
    assert told.price_source == "exchange"
    await forget_choice(redis)
    monkeypatch.setattr(price_choice, "GIVE_UP_S", 0.2)
    with pytest.raises(PriceSourceError, match="nobody has settled on a price source"):
        await settle(auto, redis, Exchange().probe)


async def test_the_hub_takes_up_what_the_workers_settle(auto: Settings, redis: Redis) -> None:
    desk = PriceDesk(auto, redis, lambda: 0.0)
    await desk.learn()
    assert (desk.source, desk.symbols, desk.says) == (None, None, None)
    assert (await desk.market.frame(1)).kind == "never"  # it makes no frame of nothing
    await price_choice.keep_choice(redis, PriceChoice("simulated", "no network"))
    await desk.learn()
    assert isinstance(desk.source, SimulatedPrices) and desk.market.source is desk.source
    assert desk.symbols is not None and desk.says is not None and "no network" in desk.says
    await price_choice.keep_choice(redis, PriceChoice("exchange", "it answers"))
    await desk.learn()
    assert desk.live is not None and desk.live.name == "hashkey"
    await desk.live.table.know_symbols("hashkey", ["BTC/USDT"])
    await desk.learn()
    assert desk.symbols == ("BTC/USDT",)


def test_a_named_source_never_falls_back(settings: Settings, redis: Redis) -> None:
    with pytest.raises(PriceSourceError, match="pyth needs a key: set ARTIC_PYTH_API_KEY"):
        check_prices(replace(settings, price_source="pyth"))
    own = replace(settings, price_source="pyth", pyth_url="http://hermes.example")
    source = open_prices(own, redis)
    assert isinstance(source, LivePrices) and source.name == "pyth"
    assert says(replace(settings, price_source="replay:a.csv@60")) == (
        "prices are replayed from a.csv@60"
    )
