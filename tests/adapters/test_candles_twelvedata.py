"""TwelveData's answers, right and wrong, against a server that speaks its format."""

import time
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest

from adapters.candles import BudgetSpent, CandleError, KeyRefused, NoSuchCandles
from adapters.candles_twelvedata import TwelveDataCandles
from engine.frames import TIME, TIMEFRAMES, VOLUME
from tests.servers.twelvedata import KEY, TwelveDataServer, twelvedata


@pytest.fixture
async def server() -> AsyncIterator[TwelveDataServer]:
    async with twelvedata() as server:
        yield server


@pytest.fixture
async def source(server: TwelveDataServer) -> AsyncIterator[TwelveDataCandles]:
    async with httpx.AsyncClient() as client:
        yield TwelveDataCandles(server.url, KEY, time.time, client)


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
async def test_bars_of_every_timeframe(
    server: TwelveDataServer, source: TwelveDataCandles, timeframe: str
) -> None:
    seconds = TIMEFRAMES[timeframe]
    candles = await source.fetch("BTC/USDT", timeframe)
    assert (candles.source, len(candles.bars)) == ("twelvedata", 500)
    assert (np.diff(candles.bars[:, TIME]) == seconds).all()
    assert candles.newest + seconds <= candles.fetched_at < candles.newest + 2 * seconds + 1
    assert tuple(candles.bars[-1, 1:5]) == server.bar("BTC", candles.newest, seconds)
    assert np.isnan(candles.bars[:, VOLUME]).all() and not candles.has_volume
    assert candles.forming is not None and candles.forming[TIME] == candles.newest + seconds
    assert [(k, s) for _, k, s, _ in server.asked] == [(KEY, "BTC/USD")]
    assert source.minute_left == 7


async def test_without_the_unfinished_bar(
    server: TwelveDataServer, source: TwelveDataCandles
) -> None:
    server.with_unfinished = False
    candles = await source.fetch("ETH/USD", "1h")
    assert candles.forming is None and len(candles.bars) == 500


@pytest.mark.parametrize("as_200", [False, True])
@pytest.mark.parametrize(
    ("refusal", "kind", "says"),
    [
        ((401, "**apikey** parameter is incorrect or not specified."), KeyRefused, "the key"),
        ((403, "available exclusively with individual plans"), KeyRefused, "the key"),
        ((404, "**symbol** or **figi** parameter is missing"), NoSuchCandles, "no BTC/USDT"),
        ((400, "**symbol** or **figi** parameter is missing"), NoSuchCandles, "no BTC/USDT"),
        ((401, f"the key {KEY} is unknown"), KeyRefused, r"the key \*\*\* is unknown"),
        ((500, "internal"), CandleError, "answers 500: internal"),
    ],
)
async def test_errors_come_as_status_or_inside_of_an_answer(
    server: TwelveDataServer,
    source: TwelveDataCandles,
    refusal: tuple[int, str],
    kind: type[CandleError],
    says: str,
    as_200: bool,
) -> None:
    server.refuse, server.errors_as_200 = refusal, as_200
    with pytest.raises(kind, match=says) as raised:
        await source.fetch("BTC/USDT", "1m")
    assert type(raised.value) is kind


@pytest.mark.parametrize("as_200", [False, True])
async def test_a_spent_budget_says_until_when(
    server: TwelveDataServer, source: TwelveDataCandles, as_200: bool
) -> None:
    server.errors_as_200 = as_200
    server.credits.update({(KEY, int(time.time() // 60) + n): 8 for n in range(2)})
    with pytest.raises(BudgetSpent, match="current minute") as minute:
        await source.fetch("BTC/USDT", "1m")
    assert 0 < minute.value.until - time.time() <= 60 and minute.value.until % 60 == 0
    server.day_is_spent = True
    with pytest.raises(BudgetSpent, match="for the day") as day:
        await source.fetch("BTC/USDT", "1m")
    assert day.value.until % 86_400 == 0 and day.value.until > time.time()


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (502, b"<html>Bad Gateway</html>", "answers 502: <html>Bad Gateway</html>"),
        (200, b"<html>login</html>", "answers 502"),
        (200, b'{"values": [{"datetime": "soon"}], "status": "ok"}', "answers 502"),
        (200, b'{"values": [{"datetime":"soon","open":"1","high":"1","low":"1","close":"1"}]}',
         "cannot be read"),
        (200, b"\xff\xfe", "answers 502"),
        (200, b'{"status": "error", "message": "no code"}', "answers 502: no code"),
        (200, b'{"code": 500, "message": "no status"}', "answers 500: no status"),
        (200, b'{"meta": {}, "status": "ok"}', "sent no candles of BTC/USDT 1m"),
        (200, b'{"values": [], "status": "ok"}', "sent no candles of BTC/USDT 1m"),
    ],
)  # fmt: skip
async def test_what_is_no_answer(
    server: TwelveDataServer, source: TwelveDataCandles, status: int, body: bytes, says: str
) -> None:
    server.raw = (status, body)
    with pytest.raises(CandleError, match=says):
        await source.fetch("BTC/USDT", "1m")


@pytest.mark.parametrize(
    "body",
    [
        b'{"code": 429, "message": "You have run out of API credits for the day."}',
        b'{"code": "429", "message": "You have run out of API credits for the day.",'
        b' "status": "error"}',
    ],
)
async def test_a_code_in_a_body_counts_however_it_is_written(
    server: TwelveDataServer, source: TwelveDataCandles, body: bytes
) -> None:
    server.raw = (200, body)
    with pytest.raises(BudgetSpent, match="for the day"):
        await source.fetch("BTC/USDT", "1m")


async def test_an_answer_that_drips_is_given_up(server: TwelveDataServer) -> None:
    """Each byte in time, and never a whole answer."""
    server.drips = True
    async with httpx.AsyncClient() as client:
        source = TwelveDataCandles(server.url, KEY, time.time, client, timeout_s=0.3)
        with pytest.raises(CandleError, match="does not answer"):
            await source.fetch("BTC/USDT", "1m")


async def test_a_server_that_is_away(server: TwelveDataServer, source: TwelveDataCandles) -> None:
    await server.wire.stop()
    with pytest.raises(CandleError, match="does not answer"):
        await source.fetch("BTC/USDT", "1m")
