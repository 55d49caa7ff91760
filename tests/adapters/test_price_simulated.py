"""Simulated prices: a function of seed, symbol and slot, alike whichever way they are asked for."""

import numpy as np
import pytest

from adapters.price_simulated import SYMBOLS, SimulatedPrices
from adapters.prices import open_source
from engine.frames import CLOSE, HIGH, LOW, OPEN, TIME, TIMEFRAMES, VOLUME, encode_frame
from tests.adapters.following import Follower

SLOT = 1_900_000_001


def test_fifty_symbols_with_levels_that_people_know() -> None:
    assert len(set(SYMBOLS)) == 50
    assert SYMBOLS[:3] == ("BTC/USDT", "ETH/USDT", "SOL/USDT")
    prices = SimulatedPrices().prices(np.array([SLOT]))[0]
    assert 30_000 < prices[0] < 140_000
    assert (prices > 0).all()
    assert prices.min() < 1e-4 < 1e4 < prices.max()


def test_a_price_is_a_function_of_seed_symbol_and_slot() -> None:
    slots = np.arange(SLOT, SLOT + 50)
    together = SimulatedPrices(3).prices(slots)
    apart = np.concatenate([SimulatedPrices(3).prices(slots[i : i + 1]) for i in range(50)])
    assert np.array_equal(together, apart)
    assert not np.array_equal(together, SimulatedPrices(4).prices(slots))


def test_the_same_prices_for_ever() -> None:
    """Whoever changes these numbers makes every recorded run of a seed unrepeatable."""
    prices = SimulatedPrices(7).prices(np.array([1_700_000_000, 1_900_000_000]))
    assert prices[:, [0, 1, 2, 5, 47]].tolist() == [
        [78348.81, 2566.9, 137.822, 0.212885, 7.5684e-06],
        [74001.02, 2973.69, 150.169, 0.11198, 1.1419e-05],
    ]


def test_prices_move_like_crypto() -> None:
    random = np.random.default_rng(5)
    source = SimulatedPrices(1)
    for lag, low, high in (
        (1, 5e-5, 4e-4),
        (60, 4e-4, 3e-3),
        (3_600, 3e-3, 2e-2),
        (86_400, 1e-2, 0.1),
    ):
        slots = random.integers(1_700_000_000, 2_000_000_000, 1_500)
        returns = np.log(source.prices(slots + lag) / source.prices(slots))
        deviation = returns.std(axis=0)
        assert (deviation > low).all() and (deviation < high).all(), (lag, deviation)
    year = source.prices(np.arange(1_700_000_000, 1_732_000_000, 40_000))
    assert (year.max(axis=0) / year.min(axis=0) < 12).all()


def test_prices_lie_on_ticks_and_rarely_stand_still() -> None:
    prices = SimulatedPrices(1).prices(np.arange(SLOT, SLOT + 1_000))
    assert np.array_equal(np.round(prices, 10), prices)
    assert np.array_equal(np.round(prices[:, 0], 2), prices[:, 0])
    assert (np.diff(prices, axis=0) == 0).mean() < 0.05


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BONK/USDT"])
def test_history_is_what_frames_would_have_built(symbol: str) -> None:
    follower = Follower(SimulatedPrices(2))
    follower.follow(range(SLOT, SLOT + 700))
    for timeframe in ("1m", "5m"):
        built = follower.built(symbol, timeframe)[1:]
        end = built[-1, TIME] + TIMEFRAMES[timeframe]
        history = follower.source.history(symbol, timeframe, end, len(built))
        assert np.array_equal(history[:, [TIME, OPEN, CLOSE]], built[:, [TIME, OPEN, CLOSE]])
        np.testing.assert_allclose(history[:, VOLUME], built[:, VOLUME], rtol=1e-6)
        # A longer bar is looked at every few seconds only.
        assert (history[:, HIGH] <= built[:, HIGH]).all()
        assert (history[:, LOW] >= built[:, LOW]).all()
        if timeframe == "1m":
            assert np.array_equal(history[:, :VOLUME], built[:, :VOLUME])


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_every_timeframe_has_500_bars_of_history(timeframe: str) -> None:
    source, seconds = SimulatedPrices(), TIMEFRAMES[timeframe]
    history = source.history("SOL/USDT", timeframe, SLOT)
    assert history.shape == (500, 6)
    assert np.array_equal(np.diff(history[:, TIME]), np.full(499, seconds))
    assert 0 <= SLOT - (history[-1, TIME] + seconds) < seconds
    assert (history[:, LOW] <= history[:, [OPEN, CLOSE]].min(axis=1)).all()
    assert (history[:, HIGH] >= history[:, [OPEN, CLOSE]].max(axis=1)).all()
    assert np.array_equal(history[1:, OPEN], history[:-1, CLOSE])
    assert (history[:, VOLUME] > 0).all()
    assert (history[:, LOW] > 0).all()


def test_missing_frames_change_no_candle() -> None:
    source = SimulatedPrices(2)
    punctual, late = Follower(source), Follower(source)
    punctual.follow(range(SLOT, SLOT + 301))
    late.follow([SLOT, SLOT + 1, SLOT + 40, SLOT + 300])
    assert np.array_equal(punctual.frames[-1].price, late.frames[-1].price)
    one, other = punctual.frames[-1].forming, late.frames[-1].forming
    assert np.array_equal(one[..., :VOLUME], other[..., :VOLUME], equal_nan=True)
    bars = punctual.built("ETH/USDT", "1m")
    assert len(bars) == 5
    assert np.array_equal(bars[:, :VOLUME], late.built("ETH/USDT", "1m")[:, :VOLUME])


def test_after_an_hour_without_frames_windows_are_laid_anew() -> None:
    source = SimulatedPrices(2)
    late = Follower(source)
    late.follow([SLOT, SLOT + 3_601])
    alone = Follower(source)
    alone.follow([SLOT + 3_601])
    assert encode_frame(late.frames[-1]) == encode_frame(alone.frames[-1])
    carried = Follower(source)
    frame = carried.follow([SLOT, SLOT + 3_600])
    assert carried.bars and (frame.closed[:, 0] == carried.frames[0].closed[:, 0] + 60).all()


def test_at_a_full_day_no_bar_has_begun() -> None:
    day = SLOT - SLOT % 86_400
    frame = Follower(SimulatedPrices()).follow([day])
    assert np.isnan(frame.forming).all()
    assert (frame.price > 0).all()


def test_every_second_trades() -> None:
    follower = Follower(SimulatedPrices(9))
    follower.follow(range(SLOT, SLOT + 100))
    assert (follower.built("XRP/USDT", "1m")[:, VOLUME] > 0).all()
    for before, after in zip(follower.frames, follower.frames[1:], strict=False):
        grew = after.forming[:, 6, VOLUME] - before.forming[:, 6, VOLUME]
        assert (grew > 0).all()


def test_unknown_symbols_are_unknown() -> None:
    source = open_source("simulated")
    assert "FOO/USDT" not in source.symbols
    with pytest.raises(KeyError):
        source.history("FOO/USDT", "1m", SLOT)
    with pytest.raises(KeyError):
        source.history("BTC/USDT", "2m", SLOT)


def test_a_seed_makes_a_source_of_its_own() -> None:
    assert open_source("auto").identity == open_source("simulated").identity == "simulated:0"
    assert open_source("simulated:12").identity == "simulated:12"
