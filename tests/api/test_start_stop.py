"""Start and stop over a running pool: safe to repeat, and the newest close_position counts."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from adapters.db import agents
from adapters.settings import Settings
from api.hub import Hub
from tests.api.conftest import Account
from tests.conftest import wait_for
from tests.integration.pool import TestPool, open_test_pool

HOLDING: dict[str, Any] = {
    "symbol": "BTC/USDT",
    "strategy_name": "simple_momentum",
    "strategy_params": {"threshold": 0.01},
    "risk_params": {"stop_loss_pct": 50, "take_profit_pct": 50},
}
"""Opens at once and holds."""
LOSING = HOLDING | {"risk_params": {"fee_bps": 50, "max_session_loss_usd": 0.01}}
"""Its entry fee alone is more than it may lose."""


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[TestPool]:
    async with open_test_pool(settings) as test_pool:
        test_pool.start()
        yield test_pool


class Played:
    """An agent of a test, asked over REST."""

    def __init__(self, account: Account, hub: Hub, agent_id: str) -> None:
        self.http: httpx.AsyncClient = account.http
        self.path = f"/api/agents/{agent_id}"
        self._hub = hub
        self._ids = account.user_id, UUID(agent_id)

    async def epoch(self) -> int:
        """Of the newest wanted state."""
        found = await agents.get_agent(self._hub.database, *self._ids)
        assert found is not None
        return found.epoch

    async def until(self, status: str, *, is_open: bool) -> None:
        """Waits for a status with or without a position."""

        async def reached() -> bool:
            told = (await self.http.get(f"{self.path}/status")).json()
            return (told["status"], told["position"] is not None) == (status, is_open)

        await wait_for(reached, seconds=20, what=f"{status}, open: {is_open}")

    async def say(self, verb: str, **body: Any) -> dict[str, Any]:
        """Start or stop; answers the agent."""
        answer = await self.http.post(f"{self.path}/{verb}", json=body)
        assert answer.status_code == 200, answer.text
        agent: dict[str, Any] = answer.json()
        return agent


async def play(alice: Account, hub: Hub, body: dict[str, Any]) -> Played:
    """A new agent."""
    answer = await alice.http.post("/api/agents", json=body)
    assert answer.status_code == 201, answer.text
    return Played(alice, hub, answer.json()["id"])


async def test_stop_keeps_the_position_or_closes_it(
    pool: TestPool, alice: Account, hub: Hub
) -> None:
    agent = await play(alice, hub, HOLDING)
    await agent.until("running", is_open=True)
    assert await agent.epoch() == 1
    await agent.say("start")
    assert await agent.epoch() == 1  # it runs already
    assert (await agent.say("stop", close_position=False))["status"] == "stopped"
    await agent.until("stopped", is_open=True)
    await agent.say("stop", close_position=False)
    assert await agent.epoch() == 2
    await agent.say("stop")  # now it is to be closed
    await agent.until("stopped", is_open=False)
    for close_position in (True, False):
        await agent.say("stop", close_position=close_position)
    assert await agent.epoch() == 3  # there is nothing left to close
    started = await agent.say("start")
    assert (started["status"], await agent.epoch()) in [("creating", 4), ("running", 4)]
    await agent.until("running", is_open=True)
    await agent.say("start")
    assert await agent.epoch() == 4


async def test_one_that_a_limit_stopped_starts_anew(
    pool: TestPool, alice: Account, hub: Hub
) -> None:
    agent = await play(alice, hub, LOSING)
    await agent.until("stopped", is_open=False)
    told = (await agent.http.get(agent.path)).json()
    assert told["status_detail"] == "the session's loss reached max_session_loss_usd"
    stopped = await agent.say("stop")
    assert (stopped["status"], await agent.epoch()) == ("stopped", 1)
    await agent.say("start")
    assert await agent.epoch() == 2
    trades = f"{agent.path}/trades"

    async def lost_again() -> bool:
        told = (await agent.http.get(trades)).json()["trades"]
        return len(told) == 2 and all(trade["close_reason"] for trade in told)

    await wait_for(lost_again, seconds=20)
    await agent.until("stopped", is_open=False)
    reasons = [trade["close_reason"] for trade in (await agent.http.get(trades)).json()["trades"]]
    assert reasons == ["session_loss", "session_loss"]
    page = (await agent.http.get(f"{trades}?limit=1")).json()
    rest = (await agent.http.get(f"{trades}?limit=1&cursor={page['next']}")).json()
    assert page["trades"] + rest["trades"] == (await agent.http.get(trades)).json()["trades"]
    assert rest["next"] is None


async def test_an_edit_starts_nothing_that_a_limit_has_stopped(
    pool: TestPool, alice: Account, hub: Hub
) -> None:
    agent = await play(alice, hub, LOSING)
    await agent.until("stopped", is_open=False)
    body = {"name": "edited", "risk_params": {"max_session_loss_usd": None}}
    assert (await agent.http.patch(agent.path, json=body)).json()["status"] == "stopped"
    assert await agent.epoch() == 2

    async def applied() -> bool:
        found = await agents.unapplied(hub.database, 0, 10)
        lines = (await agent.http.get(f"{agent.path}/logs?level=init")).json()["entries"]
        return not found and len(lines) == 2

    await wait_for(applied, seconds=20)
    told = (await agent.http.get(agent.path)).json()
    assert (told["status"], told["name"]) == ("stopped", "edited")
    assert told["status_detail"] == "the session's loss reached max_session_loss_usd"
    assert len((await agent.http.get(f"{agent.path}/trades")).json()["trades"]) == 1
    await agent.say("start")
    await agent.until("running", is_open=True)


async def test_edits_of_one_that_runs(pool: TestPool, alice: Account, hub: Hub) -> None:
    agent = await play(alice, hub, HOLDING | {"strategy_params": {"threshold": 1.0}})
    await agent.until("running", is_open=False)
    edited = await agent.http.patch(agent.path, json={"risk_params": {"leverage": 7}})
    assert edited.json()["status"] == "running"  # and not `creating` while it is on its way
    await agent.http.patch(agent.path, json={"strategy_params": {"threshold": 0.01}})
    await agent.until("running", is_open=True)
    position = (await agent.http.get(f"{agent.path}/status")).json()["position"]
    assert position["leverage"] == 7
    for body in ({"symbol": "ETH"}, {"risk_params": {"leverage": 8}}):
        refused = await agent.http.patch(agent.path, json=body)
        assert (refused.status_code, refused.json()["detail"]) == (
            409,
            "symbol and leverage can't change while a position is open",
        )
    epoch = await agent.epoch()
    moved = await agent.http.patch(agent.path, json={"risk_params": {"take_profit_pct": 60}})
    assert moved.status_code == 200

    async def nearer() -> bool:
        told = (await agent.http.get(f"{agent.path}/status")).json()["position"]
        ratio = told["take_profit_price"] / told["entry_price"] - 1
        return bool(abs(abs(ratio) - 0.6) < 1e-9)

    await wait_for(nearer, seconds=10)
    assert await agent.epoch() == epoch + 1
    assert (await agent.http.get(agent.path)).json()["status"] == "running"


async def test_kill_all_over_a_running_pool(pool: TestPool, alice: Account, hub: Hub) -> None:
    holding = [await play(alice, hub, HOLDING) for _ in range(6)]
    await holding[0].until("running", is_open=True)
    kept = holding[0]
    await kept.say("stop", close_position=False)
    answer = await alice.http.post("/api/agents/kill-all", json={"confirm": "KILL_ALL"})
    assert answer.json() == {"stopped": 6}
    for agent in holding:
        await agent.until("stopped", is_open=False)

    async def met() -> bool:
        return not await agents.unapplied(hub.database, 0, 1)

    await wait_for(met, seconds=10)
    again = await alice.http.post("/api/agents/kill-all", json={"confirm": "KILL_ALL"})
    assert again.json() == {"stopped": 0}
