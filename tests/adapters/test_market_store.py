"""Frames and anchors in a real Redis: one frame for each slot, made in it or never."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from adapters import redis_keys as keys
from adapters.embedded_redis import EmbeddedRedis
from adapters.market_scripts import BARS_KEPT, Candidate, MarketScripts
from adapters.market_store import FrameAnswer, MarketStore
from adapters.price_simulated import SimulatedPrices
from adapters.prices import Anchor, PriceSource
from adapters.redis_client import Redis, command, open_redis
from engine.frames import ClosedBar, Frame, encode_frame, laid_number, next_frame
from tests.adapters.market import frame_after, long_up, now_slot, replay, until

Told = list[tuple[str, int, Mapping[str, float]]]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async for client in long_up(redis_url):
        yield client


def candidate(slot: int, built_on: int | None = None) -> Candidate:
    source = SimulatedPrices()
    anchor = source.anchor(None, 0, slot, resumed=True)
    frame, _ = next_frame(None, source.pieces(None, slot, anchor), slot, source.name)
    bar = ClosedBar("BTC/USDT", "1m", laid_number(slot) + 1, np.ones(6))
    return Candidate(encode_frame(frame), built_on, anchor, [bar])


async def test_a_frame_is_made_in_its_slot_and_kept(redis: Redis) -> None:
    store = MarketStore(redis, SimulatedPrices())
    frame = await frame_after(store, redis)
    assert frame.source == "simulated"
    assert frame.price[0] == SimulatedPrices().prices(np.array([frame.slot]))[0, 0]
    assert (frame.publish_time == frame.slot).all()
    again = await MarketStore(redis, SimulatedPrices()).frame(frame.slot)
    assert again.frame is not None
    assert encode_frame(again.frame) == encode_frame(frame)
    assert (await store.frame(frame.slot)).frame is frame
    newest = await MarketStore(redis, SimulatedPrices()).newest()
    assert newest is not None and newest.slot == frame.slot
    assert 590 < await command(redis, "TTL", keys.market_frame(frame.slot)) <= 600
    assert {key[:15] for key in await command(redis, "KEYS", "*")} == {b"artic:{market}:"}


async def test_frames_follow_one_another(redis: Redis) -> None:
    store = MarketStore(redis, SimulatedPrices())
    one = await frame_after(store, redis)
    two = await frame_after(store, redis, one.slot)
    three = await frame_after(MarketStore(redis, SimulatedPrices()), redis, two.slot)
    if one.slot // 86_400 == three.slot // 86_400:
        grew = three.forming[:, 6, 5] - two.forming[:, 6, 5]
        assert (grew > 0).all()
        assert np.array_equal(three.forming[:, 6, :2], one.forming[:, 6, :2])
    assert (three.closed >= one.closed).all()
    assert (three.closed[:, 0] == one.closed[:, 0] + three.slot // 60 - one.slot // 60).all()


async def test_two_makers_make_one_frame(redis: Redis) -> None:
    """Two processes that would make different frames, each asked by several jobs at once."""

    async def race() -> list[Frame] | None:
        slot = await now_slot(redis) + 1
        stores = [MarketStore(redis, SimulatedPrices(seed)) for seed in range(2)]

        async def ask(store: MarketStore) -> FrameAnswer | None:
            answer = await store.frame(slot)
            return None if answer.kind == "early" else answer

        jobs = [until(partial(ask, store)) for store in stores * 5]
        frames = [answer.frame for answer in await asyncio.gather(*jobs) if answer.frame]
        assert len(frames) in {0, 10}  # none, if the machine slept through the slot
        return frames

    frames = await until(race)
    assert len({encode_frame(frame) for frame in frames}) == 1
    stored = await command(redis, "GET", keys.market_frame(frames[0].slot))
    assert stored == encode_frame(frames[0])


async def test_racing_candidates_one_is_stored(redis: Redis) -> None:
    scripts = MarketScripts(redis)

    async def race() -> list[str]:
        slot = await now_slot(redis)
        replies = await asyncio.gather(*(scripts.store(slot, candidate(slot)) for _ in range(6)))
        return [reply.kind for reply in replies] if replies[0].kind != "never" else []

    kinds = await until(race)
    assert sorted(kinds) == ["frame"] * 5 + ["stored"]
    assert await command(redis, "LLEN", keys.market_bars("BTC/USDT", "1m")) == 1


async def test_too_early_and_too_late(redis: Redis) -> None:
    store = MarketStore(redis, SimulatedPrices())
    await frame_after(store, redis)
    slot = await now_slot(redis)
    early = await store.frame(slot + 3)
    assert (early.kind, early.frame) == ("early", None)
    assert slot <= early.now < slot + 3
    assert (await store.frame(slot - 5)).kind == "never"
    assert await command(redis, "EXISTS", keys.market_frame(slot - 5)) == 0


async def test_a_candidate_that_comes_late_is_not_stored(redis: Redis) -> None:
    slot = await now_slot(redis) - 1
    before = await command(redis, "KEYS", "*")
    assert (await MarketScripts(redis).store(slot, candidate(slot))).kind == "never"
    assert await command(redis, "KEYS", "*") == before


async def test_a_candidate_built_on_another_frame_is_not_stored(redis: Redis) -> None:
    newest = await now_slot(redis) - 5
    await command(redis, "SET", keys.market_newest(), newest)
    scripts = MarketScripts(redis)

    async def offer() -> str:
        slot = await now_slot(redis)
        kind = (await scripts.store(slot, candidate(slot, built_on=newest - 1))).kind
        assert kind in {"retry", "never"}
        reply = await scripts.look(slot)
        return reply.kind if reply.newest == newest else ""

    assert await until(offer) == "make"
    assert await command(redis, "GET", keys.market_newest()) == str(newest).encode()
    assert not await command(redis, "KEYS", "*bars*")


async def test_time_that_runs_backwards_makes_no_frame_below_the_newest(redis: Redis) -> None:
    slot = await now_slot(redis)
    await command(redis, "SET", keys.market_newest(), slot + 100)
    answer = await MarketStore(redis, SimulatedPrices()).frame(slot)
    assert answer.kind == "never"


async def test_broken_arguments_write_nothing(redis: Redis) -> None:
    slot = await now_slot(redis)
    bad = candidate(slot)
    frame_script = MarketScripts(redis)._frame
    names = [
        keys.market_meta(), keys.market_newest(), keys.market_frame(slot), keys.market_anchor(),
        keys.market_bars("BTC/USDT", "1m"),
    ]  # fmt: skip
    args = [slot, "", bad.frame, 600, BARS_KEPT, "", "", "", b"x" * 57]
    for wrong in (args, args[:-1], ["x", *args[1:]]):
        answer = await frame_script(keys=names, args=wrong)
        assert answer[0] == b"arguments"
    assert await command(redis, "KEYS", "*") == [keys.market_meta().encode()]


async def test_another_run_of_redis_makes_no_frame_in_the_slot_it_came_up(redis: Redis) -> None:
    frame = await frame_after(MarketStore(redis, SimulatedPrices()), redis)
    store = MarketStore(redis, SimulatedPrices())
    slot = await now_slot(redis)
    await command(redis, "HSET", keys.market_meta(), "run_id", "0" * 40)
    # What the run before had made and was not lost is still the frame of its slot ...
    kept = await store.frame(frame.slot)
    assert kept.frame is not None
    # ... and from this first look on, the slot in which Redis came up gets none.
    born = int(await command(redis, "HGET", keys.market_meta(), "born_slot"))
    assert born >= slot
    await command(redis, "DEL", keys.market_frame(born), keys.market_newest())
    fresh = MarketStore(redis, SimulatedPrices())
    assert (await fresh.frame(born)).kind == "never"
    assert not await command(redis, "EXISTS", keys.market_frame(born))
    assert (await frame_after(fresh, redis)).slot > born


async def test_a_restarted_redis_drops_what_a_process_remembers(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, durable=True)
    client = open_redis(await server.start())
    store = MarketStore(client, SimulatedPrices())
    try:
        born = await now_slot(client)
        assert (await store.frame(born)).kind == "never"
        first = await frame_after(store, client, born)
        window = await store.window("BTC/USDT", "1m", first)
        await server.stop()
        await client.aclose()
        await server.start()
        born = await now_slot(client) + 1
        assert (await store.frame(born)).kind in {"early", "never"}
        # An orderly stop loses nothing: the frame is read again, and it is the same.
        again = await store.frame(first.slot)
        assert again.frame is not None and again.frame is not first
        assert encode_frame(again.frame) == encode_frame(first)
        other = await store.window("BTC/USDT", "1m", again.frame)
        assert np.array_equal(other.candles, window.candles)
        # The first frame of the new run is one that nobody can have seen before.
        frame = await frame_after(store, client, first.slot)
        assert frame.slot > int(await command(client, "HGET", keys.market_meta(), "born_slot"))
    finally:
        await client.aclose()
        await server.stop()


async def test_an_anchor_is_told_and_taken_up_again(redis: Redis, tmp_path: Path) -> None:
    told: Told = []

    async def on_anchor(source: str, slot: int, position: Mapping[str, float]) -> None:
        told.append((source, slot, position))

    async def of_record(source: str) -> Anchor | None:
        kept = [Anchor.at(*one) for one in told if one[0] == source]
        return kept[-1] if kept else None

    source = replay(tmp_path, speed=60.0)
    store = MarketStore(redis, source, on_anchor=on_anchor, anchor_of_record=of_record)
    frame = await frame_after(store, redis)
    assert told[0] == (source.identity, frame.slot, {"seconds": 60.0, "speed": 60.0})
    anchored = await command(redis, "HGETALL", keys.market_anchor())
    assert anchored[b"source"].decode() == source.identity
    assert int(anchored[b"slot"]) == frame.slot - 1
    start, begun = frame.candle_time[0], frame.slot
    frame = await frame_after(store, redis, begun)
    assert frame.candle_time[0] == start + 60 * (frame.slot - begun)
    assert len(told) == 1 or frame.slot % 60 == 0

    # Redis is lost, and with it the newest frame's place; the record is up to a minute old.
    told[:] = [(source.identity, frame.slot - 500, {"seconds": 600.0, "speed": 60.0})]
    run_id = await command(redis, "HGET", keys.market_meta(), "run_id")
    await command(redis, "FLUSHALL")
    await command(redis, "HSET", keys.market_meta(), "run_id", run_id, "born_slot", 0)
    store.seen_run_id("another")
    frame = await frame_after(store, redis)
    assert frame.candle_time[0] == start - 60 + 600 + 61 * 60
    assert told[-1][1:] == (frame.slot, {"seconds": 600.0 + 61 * 60, "speed": 60.0})


async def test_a_recording_goes_on_where_it_was_when_redis_comes_back(
    redis: Redis, tmp_path: Path
) -> None:
    source = replay(tmp_path, speed=60.0)
    store = MarketStore(redis, source)
    newest = await frame_after(store, redis, (await frame_after(store, redis)).slot)
    await command(redis, "HSET", keys.market_meta(), "run_id", "0" * 40)
    frame = await frame_after(MarketStore(redis, source), redis, newest.slot)
    assert frame.slot > newest.slot + 1
    assert frame.candle_time[0] == newest.candle_time[0] + 60
    assert frame.closed[0, 0] == newest.closed[0, 0] + 1
    anchored = await command(redis, "HGETALL", keys.market_anchor())
    assert int(anchored[b"slot"]) == frame.slot - 1


async def test_a_record_that_cannot_be_read_begins_nothing_anew(
    redis: Redis, tmp_path: Path
) -> None:
    async def away(source: str) -> Anchor | None:
        raise ConnectionError(source)

    store = MarketStore(redis, replay(tmp_path, 60.0), anchor_of_record=away)
    with pytest.raises(ConnectionError):
        await frame_after(store, redis)
    assert not await command(redis, "EXISTS", keys.market_anchor(), keys.market_newest())


async def test_another_source_begins_anew_and_says_so(
    redis: Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sources: list[PriceSource] = [replay(tmp_path, 60.0), replay(tmp_path, 60.0, seed=2)]
    first = await frame_after(MarketStore(redis, sources[0]), redis)
    with caplog.at_level(logging.WARNING):
        second = await frame_after(MarketStore(redis, sources[1]), redis, first.slot)
    assert "prices come from replay:BTCUSDT_3000_2.csv now" in caplog.text
    assert (second.closed >= laid_number(second.slot)).all()
    assert second.candle_time[0] == first.candle_time[0]  # both are at their first minute
