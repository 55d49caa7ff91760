"""A market in a real Redis, and waiting for its frames."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from adapters import redis_keys as keys
from adapters.market_store import MarketStore
from adapters.price_replay import ReplayPrices, open_replay
from adapters.redis_client import Redis, command, open_redis
from engine.frames import Frame
from tests.adapters.test_price_replay import random_bars, write
from tests.conftest import wait_for

T = TypeVar("T")


async def long_up(redis_url: str) -> AsyncIterator[Redis]:
    """An empty Redis that has been up for long: its very first slot is over."""
    client = open_redis(redis_url)
    run_id = (await command(client, "INFO", "server"))["run_id"]
    await command(client, "HSET", keys.market_meta(), "run_id", run_id, "born_slot", 0)
    yield client
    await client.aclose()


async def now_slot(redis: Redis) -> int:
    return int((await command(redis, "TIME"))[0])


async def until(ask: Callable[[], Awaitable[T | None]]) -> T:
    """The first answer that is one."""
    found: list[T] = []

    async def check() -> bool:
        answer = await ask()
        if answer:
            found.append(answer)
        return bool(found)

    _: bool = await wait_for(check, what="an answer")
    return found[0]


async def frame_after(store: MarketStore, redis: Redis, slot: int = 0) -> Frame:
    """A frame of now, in a slot after the given one: the next, unless the machine is busy."""

    async def ask() -> Frame | None:
        now = await now_slot(redis)
        return (await store.frame(now)).frame if now > slot else None

    return await until(ask)


def replay(folder: Path, speed: float, bars: int = 3_000, seed: int = 1) -> ReplayPrices:
    path = write(folder / f"BTCUSDT_{bars}_{seed}.csv", random_bars(bars, seed=seed))
    return open_replay([path], speed)
