"""Agents on streamed prices: a real pool, a real stream, and a service that stops."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from adapters.db.connection import connection
from adapters.settings import Settings
from engine.frames import PRICE_STALE_S
from engine.rows import RowFlag
from tests.conftest import wait_for
from tests.integration.pool import open_test_pool
from tests.servers.hermes import KEY, HermesServer, hermes


@pytest.fixture
async def server() -> AsyncIterator[HermesServer]:
    async with hermes() as server:
        yield server


async def test_an_agent_sees_the_stream_and_is_told_when_it_stops(
    settings: Settings, server: HermesServer
) -> None:
    btc = server.feeds["BTC"]
    btc.publish_time = lambda: time.time() - 7
    live = replace(settings, price_source="pyth", pyth_url=server.url, pyth_api_key=KEY)
    async with open_test_pool(live) as pool:
        pool.start()
        agent = await pool.create("BTC/USDT")

        async def frame_has(price: float, stale: bool) -> bool:
            frame = await pool.pool.market.newest()
            if frame is None or (place := frame.find("BTC/USDT")) < 0:
                return False
            age = frame.slot - frame.publish_time[place]
            return bool(frame.price[place] == price and (age > PRICE_STALE_S) == stale)

        async def stale_was_said() -> bool:
            row = await pool.row(agent)
            return row is not None and bool(row["flags"] & RowFlag.STALE_SAID)

        await wait_for(lambda: frame_has(61409.93501, stale=False), seconds=15)
        btc.price = 61500.0
        await wait_for(lambda: frame_has(61500.0, stale=False))
        # The service goes on sending, and publishes nothing new: stale, however fresh it comes.
        stopped = btc.publish_time()
        btc.publish_time = lambda: stopped
        await wait_for(lambda: frame_has(61500.0, stale=True), seconds=10)
        await wait_for(stale_was_said)
        btc.publish_time = time.time
        await wait_for(lambda: frame_has(61500.0, stale=False))

        async def fresh_was_said() -> bool:
            return not await stale_was_said()

        await wait_for(fresh_was_said)

        # Told to the owner, once each: before its first price, the agent had none either.
        async def lines() -> list[str]:
            asked = (
                "SELECT message FROM logs WHERE agent_id = $1 AND message LIKE 'price is %'"
                " ORDER BY seq"
            )
            async with connection(pool.pool.database) as con:
                return [row["message"] for row in await con.fetch(asked, agent.id)]

        row = await pool.row(agent)

        async def on_record() -> bool:
            asked = "SELECT seq FROM shard_rows WHERE shard = $1 AND row = $2"
            async with connection(pool.pool.database) as con:
                return bool(await con.fetchval(asked, agent.shard, agent.row) >= int(row["seq"]))

        await wait_for(on_record)
        told = await lines()
        stale = "price is stale: no entry and no exit until it is fresh"
        assert told and told == [stale, "price is fresh again"] * (len(told) // 2)
