"""GET /api/market/candles on simulated prices, whose candles are a function of the slot."""

import numpy as np

from adapters.price_simulated import SimulatedPrices
from api.hub import Hub
from engine.frames import TIME, TIMEFRAMES
from tests.api.conftest import Account
from tests.conftest import wait_for


async def test_candles_are_those_of_the_source(alice: Account, hub: Hub) -> None:
    async def frame_made() -> bool:
        return (await hub.sights.frame(hub.clock.slot())) is not None

    await wait_for(frame_made)
    answer = await alice.http.get(
        "/api/market/candles", params={"symbol": "eth-usdt", "timeframe": "15m", "limit": 40}
    )
    assert answer.status_code == 200
    told = answer.json()
    assert list(told) == ["symbol", "timeframe", "source", "fetched_at", "stale", "candles"]
    assert (told["symbol"], told["timeframe"]) == ("ETH/USDT", "15m")
    assert (told["source"], told["stale"]) == ("simulated", False)
    candles = told["candles"]
    assert len(candles) == 40
    assert list(candles[0]) == ["time", "open", "high", "low", "close", "volume"]
    times = np.array([candle["time"] for candle in candles])
    assert (np.diff(times) == TIMEFRAMES["15m"]).all()
    expected = SimulatedPrices().history("ETH/USDT", "15m", float(times[-1]), 39)
    assert times[:-1].tolist() == expected[:, TIME].tolist()
    assert [candle["close"] for candle in candles[:-1]] == expected[:, 4].tolist()
    whole = await alice.http.get(
        "/api/market/candles", params={"symbol": "ETH", "timeframe": "15m"}
    )
    assert len(whole.json()["candles"]) == 500


async def test_without_a_frame_there_are_none_yet(alice: Account, hub: Hub) -> None:
    answer = await alice.http.get(
        "/api/market/candles", params={"symbol": "ETH", "timeframe": "15m"}
    )
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "every source of candles of ETH/USDT" in answer.json()["detail"]
