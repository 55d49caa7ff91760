"""Signals and readings of a slot: the first value stays, and everybody reads the same bits."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from adapters import redis_keys as keys
from adapters.market_store import MarketStore, Signals
from adapters.price_simulated import SimulatedPrices
from adapters.redis_client import Redis, command
from adapters.slot_readings import (
    read_readings,
    read_signals,
    reading_bits,
    signal_bits,
)
from engine.frames import Floats, Ints
from tests.adapters.market import long_up, now_slot

NONE = np.array([], np.int64)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async for client in long_up(redis_url):
        yield client


def signals(*values: float, cannot_run: int | None = None) -> Signals:
    """Signals with these values; the one at that place is of a strategy that cannot run."""
    unable = np.zeros(len(values), np.bool_)
    if cannot_run is not None:
        unable[cannot_run] = True
    return Signals(np.array(values), unable)


def bits(values: Floats) -> Ints:
    """NaN equals NaN there, and 0.0 is not -0.0."""
    return values.view(np.int64)


@given(
    arrays.arrays(np.float64, st.integers(0, 20), elements=st.floats(-1, 1) | st.just(np.nan)),
    st.data(),
)
def test_signals_come_back_bit_for_bit(values: Floats, data: st.DataObject) -> None:
    unable = data.draw(arrays.arrays(np.bool_, len(values)))
    stored = signal_bits(Signals(values, unable))
    assert (stored != 0).all()
    read = read_signals(stored)
    expected = np.where(unable, 0.0, values) + 0.0
    assert np.array_equal(bits(read.values), bits(expected))
    assert np.array_equal(read.cannot_run, unable)
    assert read.known.all()


@given(arrays.arrays(np.float64, st.integers(0, 20)))
def test_readings_come_back_whatever_they_are(values: Floats) -> None:
    stored = reading_bits(values)
    read, known = read_readings(stored)
    assert known.all() and (stored != 0).all()
    assert np.array_equal(read, values, equal_nan=True)
    gaps, nowhere = read_readings(np.zeros(3, np.int64))
    assert np.isnan(gaps).all() and not nowhere.any()


async def test_the_first_signal_of_a_plan_stays(redis: Redis) -> None:
    store = MarketStore(redis, SimulatedPrices())
    slot = await now_slot(redis)
    ids = np.array([2, 3, 7, 900])
    said = signals(0.0, np.nan, 0.5, 0.0, cannot_run=3)
    mine = await store.put_readings(slot, ids, said, NONE, np.array([]))
    assert mine.ours
    assert np.array_equal(mine.signals.value, [0.0, np.nan, 0.5, 0.0], equal_nan=True)
    again = signals(9.0, 9.0, 0.25, 9.0)
    theirs = await store.put_readings(slot, np.array([2, 3, 4, 7]), again, NONE, np.array([]))
    assert not theirs.ours
    assert np.array_equal(theirs.signals.value, [0.0, np.nan, 0.25, 0.5], equal_nan=True)
    stored = await store.get_signals(slot)
    assert np.flatnonzero(stored.known).tolist() == [2, 3, 4, 7, 900]
    assert np.flatnonzero(stored.cannot_run).tolist() == [900]
    assert np.array_equal(stored.values[ids], mine.signals.value, equal_nan=True)
    assert np.isnan(stored.values[[0, 1, 5, 899]]).all()
    assert not np.signbit(stored.values[[2, 900]]).any()
    assert 590 < await command(redis, "TTL", keys.market_signals(slot)) <= 600
    assert len((await store.get_signals(slot + 1)).known) == 0


async def test_readings_stay_beside_the_signals(redis: Redis) -> None:
    store = MarketStore(redis, SimulatedPrices())
    slot = await now_slot(redis)
    ids, windows = np.array([4, 9]), np.array([0, 8])
    await store.put_readings(slot, ids, signals(0.1, 0.2), windows, np.array([0.01, np.nan]))
    later = await store.put_readings(
        slot, np.array([5]), signals(0.3), np.array([7, 8]), np.array([0.02, 0.03])
    )
    assert np.array_equal(later.atr_fraction, [0.02, np.nan], equal_nan=True)
    stored, fractions, settled = await store.get_readings(slot, np.array([4, 5, 6, 9, 2000]))
    assert np.array_equal(stored.values, [0.1, 0.3, np.nan, 0.2, np.nan], equal_nan=True)
    assert stored.known.tolist() == [True, True, False, True, False]
    assert np.flatnonzero(settled).tolist() == [0, 7, 8]
    assert np.array_equal(fractions[[0, 7, 8]], [0.01, 0.02, np.nan], equal_nan=True)
    assert 590 < await command(redis, "TTL", keys.market_readings(slot)) <= 600
    nothing, _, none_settled = await store.get_readings(slot + 1, ids)
    assert not nothing.known.any() and not none_settled.any()


async def test_racing_workers_get_the_same_signals(redis: Redis) -> None:
    random = np.random.default_rng(1)
    slot = await now_slot(redis)
    store = MarketStore(redis, SimulatedPrices())

    async def worker() -> dict[int, float]:
        ids = np.sort(random.permutation(np.arange(1, 400))[:250])
        said = Signals(random.normal(size=250), np.zeros(250, np.bool_))
        settled = await store.put_readings(slot, ids, said, NONE, np.array([]))
        return dict(zip(ids.tolist(), settled.signals.value.tolist(), strict=True))

    answers = await asyncio.gather(*(worker() for _ in range(8)))
    stored = (await store.get_signals(slot)).values
    for answer in answers:
        assert all(stored[plan_id] == value for plan_id, value in answer.items())
