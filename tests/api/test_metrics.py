"""Metrics over REST: the record's trades, and nobody else's."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from adapters.db.connection import connection
from api.hub import Hub
from tests.api.conftest import Account
from tests.api.test_agents import make

FIELDS = [
    "trades", "wins", "losses", "win_rate", "total_pnl_usd", "fees_usd", "profit_factor",
    "sharpe", "sortino", "max_drawdown_usd", "max_drawdown_pct", "exposure", "turnover_usd",
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
    assert (await bob.http.get(path)).status_code == 404
