"""The market's scripts on a real Redis and on the one in memory, at the same second."""

import asyncio
import time
from dataclasses import replace

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adapters import redis_keys as keys
from adapters.market_scripts import Candidate, FrameReply, MarketScripts
from adapters.prices import Anchor
from adapters.redis_client import Redis, command, open_redis
from engine.frames import ClosedBar, laid_number
from tests.servers.memory_redis import MemoryRedis
from tests.servers.redis_wire import PlainLink, memory_client

Call = tuple[str, int, int]
"""What to do, a slot counted from now, and a small number that varies it."""

CALLS = st.tuples(
    st.sampled_from(["look", "store", "signals", "lay", "restart", "newest"]),
    st.integers(-2, 1),
    st.integers(0, 5),
)


async def call(redis: Redis, what: Call, now: int) -> object:
    """Makes one call and answers all that can be compared."""
    name, offset, vary = what
    slot, scripts = now + offset, MarketScripts(redis)
    if name == "look":
        return timeless(await scripts.look(slot))
    if name == "store":
        bar = ClosedBar("BTC/USDT", "1m", laid_number(slot) + vary, np.full(6, float(vary)))
        anchor = Anchor("a source", slot, float(vary), 1.0) if vary % 2 else None
        built_on = None if vary < 3 else now - vary
        candidate = Candidate(b"frame %d" % vary, built_on, anchor, [bar] * vary)
        return timeless(await scripts.store(slot, candidate))
    if name == "signals":
        ids = np.arange(vary, vary * 3 + 1, 1 + vary % 2)
        windows = np.arange(vary % 3, vary)
        given = np.arange(1, len(ids) + 1), np.arange(1, len(windows) + 1)
        signals, fractions, ours = await scripts.put_readings(now, ids, given[0], windows, given[1])
        return signals.tolist(), fractions.tolist(), ours
    if name == "lay":
        numbers = np.arange(laid_number(slot) - vary, laid_number(slot) + 1)
        bars = np.full((len(numbers), 6), float(vary))
        return await scripts.lay("BTC/USDT", "1m", numbers, bars)
    if name == "restart":
        return await command(
            redis, "HSET", keys.market_meta(), "run_id", "another", "born_slot", vary
        )
    return await command(redis, "SET", keys.market_newest(), now - vary)


def timeless(reply: FrameReply) -> FrameReply:
    return replace(reply, now=float(int(reply.now)))


@given(st.lists(CALLS, min_size=1, max_size=15))
@settings(max_examples=100, deadline=None)
def test_both_do_the_same(redis_server: str, calls: list[Call]) -> None:
    async def compare() -> None:
        async with open_redis(redis_server) as real:
            await real.flushall()
            run_id = str((await real.info("server"))["run_id"])
            memory = memory_client(PlainLink(MemoryRedis(time.time, run_id)))
            now = int(time.time())
            for each in calls:
                said = [await call(redis, each, now) for redis in (real, memory)]
                assume(int(time.time()) == now)
                assert said[0] == said[1]
            for key in await command(real, "KEYS", "*"):
                words = ("LRANGE", key, 0, -1) if b":bars:" in key else ("TTL", key)
                assert await command(real, *words) == await command(memory, *words)

    asyncio.run(compare())
