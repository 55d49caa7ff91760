"""Metrics over REST: the record's trades, and nobody else's."""

import asyncio
import contextlib
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from adapters.db.connection import connection
from api.hub import Hub
from api.trade_sums import StillSumming, Summed, TradeSums
from tests.api.conftest import Account
from tests.api.test_agents import make
from tests.conftest import wait_for

FIELDS = [
    "trades", "wins", "losses", "win_rate", "total_pnl_usd", "fees_usd", "profit_factor",
    "expectancy_usd", "sharpe", "sortino", "calmar", "max_drawdown_usd", "max_drawdown_pct",
    "exposure", "turnover_usd", "average_hold_seconds",
]  # fmt: skip


async def store(
    hub: Hub, user: UUID, agent: str, pnl: float | None, opened: float, closed: float | None
) -> None:
    """A trade in the record: 2 units at 50, closed at 60; times are Unix seconds."""
    async with connection(hub.database) as con:
        await con.execute(
            "INSERT INTO trades (id, agent_id, user_id, seq, symbol, side, strategy_name,"
            " quantity, leverage, entry_price, exit_price, fee_usd, pnl_usd, open_reason,"
            " close_reason, opened_at, closed_at, mode) VALUES ($1, $2, $3, 1, 'BTC/USDT',"
            " 'long', 's', 2, 1, 50, $4, 0.5, $5, 'signal', $6, $7, $8, 'paper')",
            uuid4(),
            UUID(agent),
            user,
            None if closed is None else 60,
            pnl,
            None if closed is None else "signal",
            datetime.fromtimestamp(opened, UTC),
            None if closed is None else datetime.fromtimestamp(closed, UTC),
        )


async def test_metrics(alice: Account, bob: Account, hub: Hub) -> None:
    agent = (await make(alice, risk_params={"max_position_usd": 100}))["id"]
    other = (await make(alice))["id"]
    path = f"/api/agents/{agent}/metrics"
    empty = (await alice.http.get(path)).json()
    assert list(empty) == FIELDS
    assert (empty["trades"], empty["win_rate"], empty["sharpe"]) == (0, None, None)
    now = hub.clock.now()
    day = 86_400
    await store(hub, alice.user_id, agent, 10.25, now - 3 * day, now - 3 * day + 3600)
    await store(hub, alice.user_id, agent, -4.0, now - 2 * day, now - 2 * day + 3600)
    await store(hub, alice.user_id, agent, None, now - 3600, None)
    await store(hub, alice.user_id, other, 99.0, now - 3600, now)
    found = (await alice.http.get(path)).json()
    assert list(found) == FIELDS
    assert (found["trades"], found["wins"], found["losses"], found["win_rate"]) == (2, 1, 1, 0.5)
    assert (found["total_pnl_usd"], found["fees_usd"]) == (6.25, 1.5)
    assert found["profit_factor"] == 2.5625
    assert (found["max_drawdown_usd"], found["turnover_usd"]) == (4.0, 540.0)
    assert found["sharpe"] > 0
    assert found["sortino"] > 0
    assert abs(found["exposure"] - 3 / 72) < 1e-3
    assert (found["expectancy_usd"], found["average_hold_seconds"]) == (3.125, 3600.0)
    assert found["calmar"] > 0
    assert (await bob.http.get(path)).status_code == 404


async def test_metrics_of_the_fleet(alice: Account, bob: Account, hub: Hub) -> None:
    path = "/api/fleet/metrics"
    nothing = (await alice.http.get(path)).json()
    assert list(nothing) == ["agents", "capital_usd", "as_of", "metrics"]
    assert (nothing["agents"], nothing["capital_usd"]) == (0, 0.0)
    assert list(nothing["metrics"]) == FIELDS
    one = (await make(alice, risk_params={"max_position_usd": 100}))["id"]
    two = (await make(alice, risk_params={"max_position_usd": 300}))["id"]
    foreign = (await make(bob))["id"]
    now = hub.clock.now()
    await store(hub, alice.user_id, one, 10.0, now - 90_000, now - 86_400)
    await store(hub, alice.user_id, two, -4.0, now - 7200, now - 3600)
    await store(hub, bob.user_id, foreign, 99.0, now - 3600, now)
    found = (await alice.http.get(path)).json()
    assert (found["agents"], found["capital_usd"]) == (2, 400.0)
    metrics = found["metrics"]
    assert (metrics["trades"], metrics["total_pnl_usd"], metrics["profit_factor"]) == (2, 6.0, 2.5)
    assert metrics["max_drawdown_pct"] == 100 * 4 / 410
    alone = (await alice.http.get(f"/api/agents/{one}/metrics")).json()
    assert (alone["trades"], alone["total_pnl_usd"]) == (1, 10.0)
    assert (await bob.http.get(path)).json()["metrics"]["total_pnl_usd"] == 99.0
    assert (await alice.http.get(path, headers={"Authorization": ""})).status_code == 401


async def test_all_who_ask_at_once_share_one_question(alice: Account, hub: Hub) -> None:
    await make(alice)
    first = await asyncio.gather(*(hub.trade_sums.read(alice.user_id) for _ in range(20)))
    assert {id(summed) for summed in first} == {id(first[0])}
    again = await hub.trade_sums.read(alice.user_id)
    assert again is not first[0]
    assert again.traded.agents == 1


async def test_who_stops_waiting_stops_nobody_else(alice: Account, hub: Hub) -> None:
    await make(alice)
    impatient = asyncio.create_task(hub.trade_sums.read(alice.user_id))
    patient = asyncio.create_task(hub.trade_sums.read(alice.user_id))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).traded.agents == 1


async def store_many(hub: Hub, user: UUID, agent: str, trades: int) -> None:
    """Trades of a minute, one after another, the last one closed a minute ago."""
    async with connection(hub.database) as con:
        await con.execute(
            "INSERT INTO trades (id, agent_id, user_id, seq, symbol, side, strategy_name,"
            " quantity, leverage, entry_price, exit_price, fee_usd, pnl_usd, open_reason,"
            " close_reason, opened_at, closed_at, mode) SELECT gen_random_uuid(), $1, $2, n,"
            " 'BTC/USDT', 'long', 's', 2, 1, 50, 60, 0.5, 1, 'signal', 'signal',"
            " now() - (n + 1) * interval '1 minute', now() - n * interval '1 minute', 'paper'"
            " FROM generate_series(1, $3) n",
            UUID(agent), user, trades,
        )  # fmt: skip


async def test_very_many_trades_are_added_up_while_nobody_waits(alice: Account, hub: Hub) -> None:
    """As if nobody had patience, and a millisecond were long."""
    agent = (await make(alice))["id"]
    await store_many(hub, alice.user_id, agent, 5000)
    sums = TradeSums(hub.database, hub.clock, patience_s=0.0, short_s=0.001)
    with pytest.raises(StillSumming):
        await sums.read(alice.user_id)

    async def answered() -> Summed | None:
        with contextlib.suppress(StillSumming):
            return await sums.read(alice.user_id)
        return None

    first = await wait_for(answered)
    assert first is not None
    assert first.metrics.trades == 5000
    assert first.as_of <= hub.clock.now()
    await store_many(hub, alice.user_id, agent, 1)
    assert await sums.read(alice.user_id) is first


async def test_a_caller_is_told_to_come_again(
    alice: Account, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(alice)
    sums = TradeSums(hub.database, hub.clock, patience_s=0.0)
    monkeypatch.setattr(hub, "trade_sums", sums)
    told = await alice.http.get("/api/fleet/metrics")
    assert (told.status_code, told.headers["retry-after"]) == (503, "5")
    assert "still being added up" in told.json()["detail"]
