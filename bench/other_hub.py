"""`python -m bench.other_hub`: what a hub that knows only containers is told of agents in the pool.

Its agents tick every second. It answers each report after so many milliseconds, and counts: how
many statuses a second, the longest that one agent's status did not come, and whether a trade was
told twice or out of order.
"""

import argparse
import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
from aiohttp import web

from bench.hub_client import Account
from bench.machine import cpu_seconds
from bench.stack import SIMULATED, BenchError, Stack, free_ports, measured, running_stack
from bench.tables import show_progress, table

OWNER = {"email": "other-hubs@example.com", "password": "a long password"}
POOL_SECRET, THEIR_SECRET = "pool-" * 4, "theirs-" * 4
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT")
TRADES_OFTEN = {
    "strategy_name": "simple_momentum",
    "strategy_params": {"lookback": 2, "threshold": 0.01},
    "risk_params": {"stop_loss_pct": 0.01, "take_profit_pct": 0.01},
}
TRADING = 10
"""One of so many agents trades every second or two."""
AT_ONCE = 16
SETTLE_S = 5.0
TIMEOUT_S = 30.0


class TheirHub:
    """The other hub: it takes everything, slowly if it is told to."""

    def __init__(self) -> None:
        self.answers_after_s = 0.0
        self.trades: dict[str, list[str]] = defaultdict(list)
        self.begin()

    def begin(self) -> None:
        """Counts from now on."""
        self.since = time.monotonic()
        self.heard: Counter[str] = Counter()
        self.last: dict[str, float] = {}
        self.longest_s = 0.0

    async def status(self, request: web.Request) -> web.Response:
        """A status of one agent."""
        await asyncio.sleep(self.answers_after_s)
        now, agent = time.monotonic(), request.match_info["id"]
        self.longest_s = max(self.longest_s, now - self.last.get(agent, self.since))
        self.last[agent] = now
        self.heard["statuses"] += 1
        return web.json_response({"ok": True})

    async def trade(self, request: web.Request) -> web.Response:
        """A trade that opened or closed."""
        await asyncio.sleep(self.answers_after_s)
        body: dict[str, Any] = await request.json()
        told = self.trades[body["agent_id"]]
        event = request.headers["Idempotency-Key"]
        opened = event.removesuffix(":closed") + ":opened"
        if event in told or (event.endswith(":closed") and told[-1:] != [opened]):
            self.heard["twice or out of order"] += 1
        told.append(event)
        self.heard["trades"] += 1
        return web.json_response({"ok": True})

    async def logs(self, _: web.Request) -> web.Response:
        """Lines of one agent."""
        await asyncio.sleep(self.answers_after_s)
        self.heard["calls of logs"] += 1
        return web.json_response({"ok": True})


@asynccontextmanager
async def listening(port: int) -> AsyncIterator[TheirHub]:
    """That hub on a port of this machine."""
    hub = TheirHub()
    app = web.Application()
    app.router.add_post("/internal/agents/{id}/status", hub.status)
    app.router.add_post("/internal/trades", hub.trade)
    app.router.add_post("/internal/logs", hub.logs)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield hub
    finally:
        await runner.cleanup()


async def start_agents(stack: Stack, account: Account, their_url: str, count: int) -> None:
    """As containers of that hub would: introduced, then started; some trade often."""
    gate = asyncio.Semaphore(AT_ONCE)
    headers = {"X-Internal-Secret": POOL_SECRET}
    async with httpx.AsyncClient(
        base_url=stack.hub_url, headers=headers, timeout=TIMEOUT_S, trust_env=False
    ) as pool:

        async def start(number: int) -> None:
            told = {"hub_url": their_url, "internal_secret": THEIR_SECRET}
            told["symbol"] = SYMBOLS[number % len(SYMBOLS)]
            async with gate:
                made = await pool.put(f"/internal/hosted/{uuid4()}", json=told)
                if made.status_code != 200:
                    raise BenchError(f"the pool takes no agent: {made.text[:300]}")
                agent_id = made.json()["agent_id"]
                if number % TRADING == 0:
                    changed = await account.rest.patch(f"/api/agents/{agent_id}", json=TRADES_OFTEN)
                    changed.raise_for_status()
                await account.post(f"/api/agents/{agent_id}/start")

        await asyncio.gather(*(start(number) for number in range(count)))


async def heard_in(hub: TheirHub, stack: Stack, seconds: float) -> dict[str, Any]:
    """What their hub is told meanwhile, and what it costs ours."""
    pids = [pid for pid in [stack.pid_of("hub")] if pid is not None]
    hub.begin()
    cpu = cpu_seconds(pids)
    await show_progress("measuring", seconds)
    cpu = cpu_seconds(pids) - cpu
    if hub.heard["twice or out of order"]:
        raise BenchError("a trade was told twice or out of order")
    return {
        "statuses a second": round(hub.heard["statuses"] / seconds),
        "longest without one of an agent, s": round(hub.longest_s, 1),
        "trades told a second": round(hub.heard["trades"] / seconds, 1),
        "CPU of our hub, %": round(100 * cpu / seconds),
    }


async def measure(counts: Sequence[int], delays_ms: Sequence[float], seconds: float) -> int:
    """Every number of agents against every slowness of their hub. The exit status."""
    port, _ = free_ports()
    their_url = f"http://127.0.0.1:{port}"
    told = {
        "ARTIC_POOL_SECRET": POOL_SECRET,
        "ARTIC_SHIM_OWNER": OWNER["email"],
        "ARTIC_CALLBACK_HUBS": their_url,
        "ARTIC_AGENTS_PER_USER": "100000",
    }
    figures: dict[str, Any] = {}
    async with (
        listening(port) as hub,
        running_stack(SIMULATED, workers=1, told=told) as stack,
        httpx.AsyncClient(base_url=stack.hub_url, timeout=TIMEOUT_S, trust_env=False) as rest,
    ):
        account = Account(rest, "", stack.hub_url)
        token = (await account.post("/auth/register", OWNER))["access_token"]
        rest.headers["Authorization"] = f"Bearer {token}"
        running = 0
        for count in counts:
            hub.answers_after_s = 0.0
            await start_agents(stack, account, their_url, count - running)
            running = count
            for delay_ms in delays_ms:
                hub.answers_after_s = delay_ms / 1000
                case = f"{count} agents, it answers after {delay_ms:g} ms"
                await show_progress(case, SETTLE_S)
                figures[case] = await heard_in(hub, stack, seconds)
    print(table(figures, "what another hub is told"))
    return 0


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--delays-ms", type=float, nargs="+", default=[0.0, 20.0, 200.0])
    parser.add_argument("--seconds", type=float, default=10.0)
    told = parser.parse_args()
    raise SystemExit(measured(measure(told.agents, told.delays_ms, told.seconds)))


if __name__ == "__main__":
    main()
