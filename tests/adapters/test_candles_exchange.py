"""Candles of two exchanges through the real ccxt."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest

from adapters.candles import CandleError, NoSuchCandles
from adapters.candles_exchange import ExchangeCandles
from adapters.exchange_ccxt import open_exchange
from engine.frames import TIME, VOLUME
from tests.servers.exchanges import ExchangeServer, serving
from tests.servers.hashkey import HashKeyServer
from tests.servers.kraken import KrakenServer

EXCHANGES: dict[str, Callable[[], ExchangeServer]] = {
    "hashkey": HashKeyServer,
    "kraken": KrakenServer,
}


@asynccontextmanager
async def candles_of(name: str) -> AsyncIterator[tuple[ExchangeCandles, ExchangeServer]]:
    async with serving(EXCHANGES[name]()) as server:
        exchange = open_exchange(name, server.url)
        try:
            yield ExchangeCandles(exchange, time.time), server
        finally:
            await exchange.close()


async def test_an_answer_without_candles_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async with candles_of("hashkey") as (source, server):
        for bars in ([], [(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)]):
            monkeypatch.setattr(server, "bars", lambda base, seconds, limit, bars=bars: bars)
            with pytest.raises(CandleError, match="has sent no candles of BTC/USDT 5m") as raised:
                await source.fetch("BTC/USDT", "5m")
            assert not isinstance(raised.value, NoSuchCandles)  # it may have some soon


@pytest.mark.parametrize("name", EXCHANGES)
async def test_bars_with_volumes_closed_and_unfinished_apart(name: str) -> None:
    async with candles_of(name) as (source, server):
        candles = await source.fetch("BTC/USDT", "5m")
        assert candles.source == name
        assert len(candles.bars) == 500 and candles.has_volume
        assert (np.diff(candles.bars[:, TIME]) == 300).all()
        theirs = server.bars("BTC", 300, 3)
        assert candles.bars[-1].tolist() == list(theirs[-2])
        assert candles.forming is not None and candles.forming.tolist() == list(theirs[-1])
        assert candles.forming[VOLUME] > 0
        dollars = await source.fetch("BTC/USD", "5m")  # which it has in USDT only
        assert np.array_equal(dollars.bars, candles.bars)
        with pytest.raises(NoSuchCandles, match="no candles of NOPE/USDT 5m"):
            await source.fetch("NOPE/USDT", "5m")
        server.refuse = (503, "Service Unavailable")
        with pytest.raises(CandleError, match=f"{name}: ExchangeNotAvailable"):
            await source.fetch("BTC/USDT", "5m")
