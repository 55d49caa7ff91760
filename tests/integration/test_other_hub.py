"""A hub that knows only containers, and whose agents run in the pool: it starts them, and is told
of them as its own containers would tell it, whatever happens to it or to ours meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from adapters.db import users
from adapters.settings import Settings
from tests.agent_shim.test_process import running
from tests.api.serving import ServedHub, serve
from tests.conftest import wait_for
from tests.integration.pool import TestPool, open_test_pool
from tests.servers.old_hub import SECRET, OldHub

SLOW = pytest.mark.slow
OWNER = "other-hubs@example.com"
POOL_SECRET = "pool-" * 4
START = {
    "symbol": "BTCUSDT",
    "amount_usdt": 50,
    "leverage": 2,
    "poll_seconds": 1,
    "tp_pct": 0.04,
    "sl_pct": 0.02,
    "risk_profile": "moderate",
    "primary_timeframe": "1m",
    "live_mode": False,
    "tp_sl_mode": "fixed",
    "supervisor_interval_seconds": 60,
    "llm_provider": "openai",
    "indicators": ["rsi", "macd"],
}
"""What hubs in the field send, with everything in it."""
TRADES_OFTEN = {
    "strategy_name": "simple_momentum",
    "strategy_params": {"threshold": 0.01, "lookback": 2},
    "risk_params": {"stop_loss_pct": 0.002, "take_profit_pct": 0.002},
}


@dataclass
class Neighbours:
    """An old hub, our pool with a worker, and our hub, which may be ended and begun again."""

    old: OldHub
    settings: Settings
    pool: TestPool
    owner: UUID
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    served: ServedHub | None = None
    outside_id: UUID = field(default_factory=uuid4)

    @property
    def hub(self) -> ServedHub:
        assert self.served is not None
        return self.served

    async def begin(self) -> None:
        """Our hub listens, where it did before."""
        self.served = await self.stack.enter_async_context(serve(self.settings))

    async def end(self) -> None:
        """And ends."""
        await self.stack.aclose()
        self.served = None

    @property
    def environment(self) -> dict[str, str]:
        """What the old hub starts a container with."""
        return {
            "HUB_URL": self.old.url,
            "HUB_AGENT_ID": str(self.outside_id),
            "INTERNAL_SECRET": SECRET,
            "SYMBOL": "BTC/USDT",
            "POOL_URL": f"http://127.0.0.1:{self.hub.port}",
            "POOL_SECRET": POOL_SECRET,
        }

    def container(self) -> Any:
        """The process in it, and the old hub as its caller."""
        return running(self.environment, host=f"artic-agent-{self.outside_id}:8000")

    def http(self) -> httpx.AsyncClient:
        """The owner at our hub."""
        return self.hub.http(self.hub.hub.tokens.issue(self.owner, uuid4()))

    async def agent_id(self) -> str:
        """What the agent is called in the pool."""
        async with self.http() as owner:
            agents: list[dict[str, Any]] = (await owner.get("/api/agents")).json()
        assert len(agents) == 1
        return str(agents[0]["id"])

    async def trade_often(self) -> None:
        """A strategy and exits that open and close every few seconds."""
        agent_id = await self.agent_id()
        async with self.http() as owner:
            changed = await owner.patch(f"/api/agents/{agent_id}", json=TRADES_OFTEN)
        assert changed.status_code == 200, changed.text

    async def on_record(self) -> list[tuple[str, float, float | None]]:
        """(side, entry, exit) as each report has it, out of our record, oldest first."""
        agent_id = await self.agent_id()
        async with self.http() as owner:
            page = (await owner.get(f"/api/agents/{agent_id}/trades?limit=1000")).json()
        told: list[tuple[str, float, float | None]] = []
        for trade in reversed(page["trades"]):
            told.append((trade["side"], trade["entry_price"], None))
            if trade["closed_at"] is not None:
                told.append((trade["side"], trade["entry_price"], trade["exit_price"]))
        return told

    def heard(self) -> list[tuple[str, float, float | None]]:
        """The same as the old hub has heard it."""
        return [(t["side"], t["entry_price"], t.get("exit_price")) for t in self.old.trades]

    async def has_heard_all(self) -> bool:
        """Whether the old hub knows of every trade, each once and in order."""
        return self.heard() == await self.on_record()


@asynccontextmanager
async def neighbours(settings: Settings) -> AsyncIterator[Neighbours]:
    """All of them, up."""
    old = OldHub()
    await old.start()
    told = replace(
        settings, pool_secret=POOL_SECRET, shim_owner=OWNER, callback_hubs=old.url, hub_port=0
    )
    try:
        async with open_test_pool(told) as pool:
            pool.start()
            owner = await users.create_user(pool.pool.database, OWNER, "no hash")
            both = Neighbours(old, told, pool, owner.id)
            await both.begin()
            try:
                yield both
            finally:
                await both.end()
    finally:
        await old.stop()


@pytest.fixture
async def both(settings: Settings) -> AsyncIterator[Neighbours]:
    async with neighbours(settings) as found:
        yield found


async def test_the_old_hub_is_told_what_its_containers_tell(both: Neighbours) -> None:
    old, name = both.old, str(both.outside_id)
    async with both.container() as container:
        assert (await container.get("/health")).json() == {"ok": True, "running": False}
        started = await container.post("/start", json=START)
        assert started.json() == {
            "started": True,
            "symbol": "BTC/USDT",
            "live_mode": False,
            "tp_sl_mode": "fixed",
            "supervisor_interval_seconds": None,
        }
        await both.trade_often()
        await wait_for(lambda: len(old.statuses[name]) >= 12, seconds=30)
        await wait_for(lambda: len(old.trades) >= 2, seconds=60, what="it opened and closed")

        def levels() -> set[str]:
            return {line["level"] for line in old.lines[name]}

        await wait_for(lambda: {"init", "start", "warn", "tick", "action"} <= levels(), seconds=20)
        asked = (await container.get("/status")).json()
        last = old.statuses[name][-1]
        assert set(last) <= set(asked) and last["running"] is True and last["symbol"] == "BTC/USDT"

        assert (await container.post("/stop")).json()["stopped"] is True
        await wait_for(lambda: old.statuses[name][-1]["running"] is False, seconds=10)
        await wait_for(both.has_heard_all, seconds=20)
    assert old.mistakes == []
    ticks = [line for line in old.lines[name] if line["level"] == "tick"]
    assert len(old.connections) <= 8
    assert old.calls_of_logs <= len(old.lines[name]), "lines come together"
    assert len(ticks) >= 10
    warned = [line["message"] for line in old.lines[name] if line["level"] == "warn"]
    assert warned == [
        "not served here and left out: indicators, llm_provider, risk_profile,"
        " supervisor_interval_seconds"
    ]


@pytest.mark.parametrize(
    "trouble",
    ["down", pytest.param("failing", marks=SLOW), pytest.param("slow", marks=SLOW)],
)
async def test_no_trade_is_lost_while_the_old_hub_is_away(both: Neighbours, trouble: str) -> None:
    old = both.old
    async with both.container() as container:
        assert (await container.post("/start", json=START)).status_code == 200
        await both.trade_often()
        await wait_for(lambda: len(old.trades) >= 1, seconds=60)
        if trouble == "down":
            await old.stop()
        elif trouble == "failing":
            old.fails = 500
        else:
            old.held = asyncio.Event()
        before = len(old.trades)

        async def traded() -> bool:
            return len(await both.on_record()) >= before + 3

        await wait_for(traded, seconds=90)
        if trouble == "down":
            await both.end()  # and ours is begun anew meanwhile
            await both.begin()
            await old.start()
        elif trouble == "failing":
            old.fails = None
        elif old.held is not None:
            old.held.set()
        await wait_for(both.has_heard_all, seconds=60)
    assert old.mistakes == []
