"""Recordings: the bars built while one is played are the recorded ones, at any speed."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.price_replay import ReplayPrices, open_replay
from adapters.prices import Anchor, PriceSourceError, open_source
from adapters.recording import group_bars, load_recording, symbol_of
from engine.frames import TIME, TIMEFRAMES, Floats
from tests.adapters.following import Follower

SLOT = 1_900_000_001
FIRST = 1_700_006_400  # a day begins
HEADER = "time,open,high,low,close,volume"
TEST_DATA = Path(os.environ.get("ARTIC_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def random_bars(count: int, bar_s: int = 60, seed: int = 1, start: int = FIRST) -> Floats:
    random = np.random.default_rng(seed)
    body = np.round(100 + np.cumsum(random.normal(0, 0.3, (count, 2)), axis=0), 2)
    high = np.round(body.max(axis=1) + random.random(count), 2)
    low = np.round(body.min(axis=1) - random.random(count), 2)
    time = start + bar_s * np.arange(count)
    volume = np.round(random.random(count) * 20, 5)
    return np.stack([time, body[:, 0], high, low, body[:, 1], volume], axis=1)


def write(path: Path, bars: Floats) -> Path:
    rows = [",".join([f"{row[0]:.0f}", *(repr(float(v)) for v in row[1:])]) for row in bars]
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def source_of(folder: Path, bars: Floats, speed: float, name: str = "BTCUSDT_x") -> ReplayPrices:
    return open_replay([write(folder / f"{name}.csv", bars)], speed)


def recorded(bars: Floats, timeframe: str, upto: float) -> Floats:
    """Whole bars of a timeframe out of minutes."""
    grouped = group_bars(bars, TIMEFRAMES[timeframe])
    return grouped[grouped[:, TIME] + TIMEFRAMES[timeframe] <= upto]


@pytest.mark.parametrize("speed", [1.0, 7.3, 59.0, 60.0, 61.0, 45.5, 240.0, 3_600.0, 7_777.7])
def test_bars_built_at_any_speed_are_the_recorded_ones(tmp_path: Path, speed: float) -> None:
    bars = random_bars(3_000)
    follower = Follower(source_of(tmp_path, bars, speed))
    slots = min(int(2_500 * 60 / speed) + 3, 700)
    frame = follower.follow(range(SLOT, SLOT + slots))
    upto = frame.candle_time[0]
    assert np.array_equal(follower.window("BTC/USDT", "1m"), recorded(bars, "1m", upto))
    for timeframe in TIMEFRAMES:
        window = follower.window("BTC/USDT", timeframe)
        whole = recorded(bars, timeframe, upto)
        assert np.array_equal(window[:, :5], whole[:, :5])
        np.testing.assert_allclose(window[:, 5], whole[:, 5], rtol=1e-12)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(speed=st.floats(0.3, 500), gaps=st.lists(st.integers(1, 9), max_size=60))
def test_missing_frames_change_no_bar(tmp_path: Path, speed: float, gaps: list[int]) -> None:
    bars = random_bars(1_500)
    follower = Follower(source_of(tmp_path, bars, speed))
    slots = (SLOT + np.cumsum([0, *gaps])).tolist()
    frame = follower.follow(slots)
    upto = frame.candle_time[0]
    assert np.array_equal(follower.window("BTC/USDT", "1m"), recorded(bars, "1m", upto))
    # The forming bars, too, are those of somebody who missed nothing.
    punctual = Follower(follower.source).follow(range(SLOT, slots[-1] + 1))
    assert np.array_equal(frame.forming[..., :5], punctual.forming[..., :5], equal_nan=True)
    np.testing.assert_allclose(frame.forming[..., 5], punctual.forming[..., 5], rtol=1e-9)
    assert frame.price == punctual.price


def test_within_a_bar_the_price_walks_by_its_color(tmp_path: Path) -> None:
    bars = random_bars(502)
    bars[500, 1:] = [10, 16, 7, 13, 60]  # up: low first
    bars[501, 1:] = [13, 16, 7, 10, 60]  # down: high first
    follower = Follower(source_of(tmp_path, bars, 10.0))
    follower.follow(range(SLOT, SLOT + 12))
    prices = [float(frame.price[0]) for frame in follower.frames]
    assert prices == [8.5, 7.0, 11.5, 16.0, 14.5, 13.0, 14.5, 16.0, 11.5, 7.0, 8.5, 10.0]
    assert [f.publish_time[0] for f in follower.frames] == list(range(SLOT, SLOT + 12))
    assert [f.candle_time[0] - bars[500, 0] for f in follower.frames] == list(range(10, 130, 10))
    forming = follower.frames[1].forming[0, 0]
    assert forming.tolist() == [bars[500, 0], 10.0, 10.0, 7.0, 7.0, 20.0]
    # A bar that is full has closed, and the next has not begun.
    assert np.isnan(follower.frames[5].forming[0, 0]).all()


def test_at_its_end_the_price_stays_and_turns_stale(tmp_path: Path) -> None:
    bars = random_bars(503)
    follower = Follower(source_of(tmp_path, bars, 50.0))
    follower.follow(range(SLOT, SLOT + 8))
    published = [frame.publish_time[0] - SLOT for frame in follower.frames]
    assert published == [0, 1, 2, 3, 3, 3, 3, 3]
    assert follower.frames[-1].price[0] == bars[-1, 4]
    assert follower.frames[-1].candle_time[0] == bars[-1, 0] + 60
    # Whoever has no frame before knows the same, as long as the anchor is older than the end.
    alone = Follower(follower.source, anchor=follower.anchor)
    again = alone.source.pieces(None, SLOT + 7, alone.anchor or Anchor("", 0, 0, 0))
    assert again.publish_time[0] == SLOT + 3
    # A restart long after it does not make it fresh.
    frame = follower.follow([SLOT + 5_000], resumed=True)
    assert frame.publish_time[0] == SLOT + 3
    assert frame.price[0] == bars[-1, 4]


def test_after_a_restart_it_goes_on_where_the_newest_frame_was(tmp_path: Path) -> None:
    bars = random_bars(3_000)
    follower = Follower(source_of(tmp_path, bars, 60.0))
    newest = follower.follow(range(SLOT, SLOT + 10))
    frame = follower.follow([SLOT + 100_000], resumed=True)
    assert frame.candle_time[0] == newest.candle_time[0] + 60
    assert follower.anchor is not None
    assert follower.anchor.slot == SLOT + 99_999
    # Nobody was there for a while: the same, without a restart of Redis.
    frame = follower.follow([SLOT + 100_060])
    assert frame.candle_time[0] == newest.candle_time[0] + 120
    # A hiccup is no pause: what was missed is caught up.
    frame = follower.follow([SLOT + 100_065])
    assert frame.candle_time[0] == newest.candle_time[0] + 420
    upto = frame.candle_time[0]
    assert np.array_equal(follower.window("BTC/USDT", "1m"), recorded(bars, "1m", upto))


def test_another_speed_goes_on_from_the_same_place(tmp_path: Path) -> None:
    bars = random_bars(3_000)
    slow = Follower(source_of(tmp_path, bars, 60.0))
    newest = slow.follow(range(SLOT, SLOT + 10))
    fast = Follower(source_of(tmp_path, bars, 300.0), [newest], slow.bars, slow.anchor)
    frame = fast.follow([SLOT + 10, SLOT + 11])
    assert frame.candle_time[0] == newest.candle_time[0] + 600
    assert np.array_equal(fast.window("BTC/USDT", "1m"), recorded(bars, "1m", frame.candle_time[0]))


def test_a_long_gap_lays_windows_anew(tmp_path: Path) -> None:
    bars = random_bars(3_000)
    follower = Follower(source_of(tmp_path, bars, 900.0))
    follower.follow(range(SLOT, SLOT + 3))
    number = follower.frames[-1].closed[0, 0]
    frame = follower.follow([SLOT + 9])
    assert frame.closed[0, 0] > number + 1
    assert not follower.bars
    upto = frame.candle_time[0]
    for timeframe in TIMEFRAMES:
        window = follower.window("BTC/USDT", timeframe)
        assert np.array_equal(window[:, :5], recorded(bars, timeframe, upto)[:, :5])


def test_time_without_bars_takes_no_time(tmp_path: Path) -> None:
    bars = random_bars(700)
    bars[600:, TIME] += 86_400
    follower = Follower(source_of(tmp_path, bars, 60.0))
    frame = follower.follow(range(SLOT, SLOT + 150))
    assert frame.candle_time[0] == bars[649, TIME] + 60
    assert np.array_equal(follower.window("BTC/USDT", "1m"), bars[:650])
    assert frame.forming[0, 6, TIME] == FIRST + 86_400
    assert np.array_equal(follower.window("BTC/USDT", "1d")[:, TIME], [FIRST])


def test_longer_bars_are_walked_minute_by_minute(tmp_path: Path) -> None:
    bars = random_bars(600, bar_s=3_600)
    follower = Follower(source_of(tmp_path, bars, 700.0))
    frame = follower.follow(range(SLOT, SLOT + 100))
    upto = frame.candle_time[0]
    hours = recorded(bars, "1h", upto)
    np.testing.assert_array_equal(follower.window("BTC/USDT", "1h")[:, :5], hours[:, :5])
    minutes = follower.window("BTC/USDT", "1m")
    assert len(minutes) == (upto - bars[0, TIME]) // 60
    np.testing.assert_array_equal(group_bars(minutes, 3_600)[: len(hours), :5], hours[:, :5])


def test_history_holds_nothing_that_is_still_to_come(tmp_path: Path) -> None:
    bars = random_bars(2_000)
    source = source_of(tmp_path, bars, 60.0)
    for timeframe, seconds in TIMEFRAMES.items():
        for upto in (FIRST - 1.0, FIRST + 1.0, FIRST + 30_000.0, FIRST + 59_999.5, FIRST + 9e9):
            history = source.history("BTC/USDT", timeframe, upto, 20)
            assert (history[:, TIME] + seconds <= upto).all()
            assert np.array_equal(history[:, :5], recorded(bars, timeframe, upto)[-20:, :5])
    with pytest.raises(KeyError):
        source.history("ETH/USDT", "1m", FIRST)


def test_several_recordings_start_together_each_at_its_own_time(tmp_path: Path) -> None:
    minutes = random_bars(520, seed=1)
    hours = random_bars(510, bar_s=3_600, seed=2, start=FIRST + 7_200)
    first = write(tmp_path / "BTCUSDT_1m.csv", minutes)
    second = write(tmp_path / "ETHUSD_1h.csv", hours)
    source = open_source(f"replay:{first}@600,{second}")
    assert source.symbols == ("BTC/USDT", "ETH/USD")
    follower = Follower(source)
    frame = follower.follow(range(SLOT, SLOT + 6))
    assert frame.candle_time.tolist() == [minutes[-1, TIME] + 60, hours[501, TIME]]
    assert (frame.publish_time - SLOT).tolist() == [1, 5]
    assert np.array_equal(follower.window("BTC/USDT", "1m"), minutes)
    assert np.array_equal(follower.window("ETH/USD", "1h")[:, :5], hours[:501, :5])


def test_another_file_of_the_same_name_is_not_carried_on(tmp_path: Path) -> None:
    follower = Follower(source_of(tmp_path, random_bars(3_000), 60.0))
    newest = follower.follow(range(SLOT, SLOT + 5))
    other = source_of(tmp_path, random_bars(3_000, start=FIRST + 7_200), 60.0)
    seen = other.pieces(newest, SLOT + 5, follower.anchor or Anchor("", 0, 0, 0))
    assert seen.opening is not None


@pytest.mark.parametrize(
    ("line", "text", "words"),
    [
        (3, "1700006460,1,2,0.5", "must be six numbers"),
        (3, "1700006460,1,2,0.5,1,x", "must be six numbers"),
        (3, "", "must be six numbers"),
        (4, "1700006520,nan,2,0.5,1,1", "finite"),
        (4, "1700006520,1,2,0.5,1,inf", "finite"),
        (5, "1700006580,3,2,0.5,1,1", "between low and high"),
        (5, "1700006580,1,2,1.5,1.7,1", "between low and high"),
        (5, "1700006580,1,2,0,1,1", "above zero"),
        (6, "1700006400,1,2,0.5,1,1", "ascend"),
        (6, "1700006640,1,2,0.5,1,-1", "negative"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: int, text: str, words: str) -> None:
    path = write(tmp_path / "BTCUSDT_x.csv", random_bars(510))
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines))
    with pytest.raises(PriceSourceError, match=f"BTCUSDT_x.csv line {line}: .*{words}"):
        load_recording(path)


def test_files_that_cannot_be_played_are_refused_by_name(tmp_path: Path) -> None:
    def refused(words: str, *paths: Path) -> None:
        with pytest.raises(PriceSourceError, match=words):
            open_replay(paths, 1.0)

    refused("BTCUSDT_no.csv: No such file", tmp_path / "BTCUSDT_no.csv")
    (tmp_path / "BTCUSDT").mkdir()
    refused("Is a directory", tmp_path / "BTCUSDT")
    refused("must begin with the symbol", write(tmp_path / "prices.csv", random_bars(501)))
    refused("needs more", write(tmp_path / "BTCUSDT_short.csv", random_bars(500)))
    refused("whole minutes", write(tmp_path / "BTCUSDT_30s.csv", random_bars(501, bar_s=30)))
    (tmp_path / "BTCUSDT_empty.csv").write_text("")
    refused("line 1: must be time,open", tmp_path / "BTCUSDT_empty.csv")
    (tmp_path / "BTCUSDT_header.csv").write_text(HEADER)
    refused("has 0 bars", tmp_path / "BTCUSDT_header.csv")
    (tmp_path / "BTCUSDT_bin.csv").write_bytes(b"\xff\xfe\x00")
    refused("no text file", tmp_path / "BTCUSDT_bin.csv")
    one = write(tmp_path / "BTCUSDT_a.csv", random_bars(501))
    two = write(tmp_path / "BTC-USDT_b.csv", random_bars(501))
    refused("are both BTC/USDT", one, two)


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("BTCUSDT_1m_2024.csv", "BTC/USDT"), ("ETHUSD_1m_coinbase_days.csv", "ETH/USD"),
        ("ethbtc.csv", "ETH/BTC"), ("BTC-USDC_x.csv", "BTC/USDC"), ("BTCBUSD_x.csv", "BTC/BUSD"),
        ("1000PEPEUSDT_x.csv", "1000PEPE/USDT"),
    ],
)  # fmt: skip
def test_the_symbol_is_the_prefix_of_the_file_name(name: str, symbol: str) -> None:
    assert symbol_of(Path("some") / name) == symbol


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("pyth", "unknown"), ("exchange", "unknown"), ("coinbase", "unknown"),
        ("", "unknown"), ("simulated:x", "unknown"), ("simulated:-1", "unknown"),
        ("replay:", "needs a file"), ("replay:a.csv,,b.csv", "needs a file"),
        ("replay:BTCUSDT.csv@0", "speed"), ("replay:BTCUSDT.csv@fast", "speed"),
        ("replay:BTCUSDT.csv@nan", "speed"), ("replay:BTCUSDT.csv@1e9", "speed"),
        ("replay:BTCUSDT.csv@2,ETHUSDT.csv@3", "one speed"),
    ],
)  # fmt: skip
def test_a_setting_that_names_no_source_is_refused(spec: str, words: str) -> None:
    with pytest.raises(PriceSourceError, match=words):
        open_source(spec)


def test_an_at_sign_in_a_folder_is_no_speed(tmp_path: Path) -> None:
    folder = tmp_path / "mine@home"
    folder.mkdir()
    path = write(folder / "BTCUSDT_x.csv", random_bars(501))
    for spec, speed in ((f"replay:{path}", 1.0), (f"replay:{path}@2.5", 2.5)):
        source = open_source(spec)
        assert isinstance(source, ReplayPrices)
        assert source.speed == speed


@pytest.mark.parametrize(
    ("file", "symbol", "own", "speed"),
    [
        ("BTCUSDT_1m_2024.csv", "BTC/USDT", "1m", 60.0),
        ("BTCUSDT_1m_2024.csv", "BTC/USDT", "1m", 7.3),
        ("BTCUSDT_15m_2024.csv", "BTC/USDT", "15m", 1_000.0),
        ("SOLUSDT_1h_2024_jan_feb.csv", "SOL/USDT", "1h", 5_000.0),
        ("ETHUSD_1m_coinbase_days.csv", "ETH/USD", "1m", 600.0),
    ],
)
def test_real_recordings_come_back_as_they_are(
    file: str, symbol: str, own: str, speed: float
) -> None:
    path = TEST_DATA / file
    if not path.exists():
        pytest.skip(f"no recorded data: {path} does not exist; set ARTIC_TEST_DATA to its folder")
    source = open_replay([path], speed)
    follower = Follower(source)
    frame = follower.follow(range(SLOT, SLOT + 600))
    recording = load_recording(path).bars
    upto = recording[recording[:, TIME] + TIMEFRAMES[own] <= frame.candle_time[0]]
    built = follower.built(symbol, own)
    assert len(built) > 50
    assert np.array_equal(follower.window(symbol, own)[:, :5], upto[:, :5])
    if own == "1m":
        assert np.array_equal(built, upto[-len(built) :])
