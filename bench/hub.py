"""`python -m bench.hub`: how fast the hub answers, beside a bare application in the same run.

Fifty clients at once on one machine, so that everybody shares its cores: what counts is the
ratio. Bare and hub take turns, and each figure is the median of the rounds. Without --strict
figures below the aims are said and do not fail the run.
"""

import argparse
import asyncio
import json
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from adapters.processes import log_tail, start_process, stop_process
from bench import machine
from bench.http_load import Load, load, request_bytes
from bench.hub_client import Account, new_account
from bench.seeding import Fleet, seed, settled
from bench.stack import ROOT, BenchError, Stack, free_ports, measured, running_stack
from bench.tables import table

RATIO_MIN = 0.5
LIST_MS_MAX = 150.0
SOCKETS_S_MAX = 10.0
CLIENTS_CORES_MAX = 0.8
"""Clients that take more of a core than this may be slower than the server they measure."""
CLIENTS = 50
LISTED = 100
INTERVAL_S = 60
"""Of the seeded agents: the pool's own work is not what is measured."""
LONG_LISTS = 20
WARM_UP_S = 0.5
HANDSHAKES_AT_ONCE = 100
READY_S = 20.0
STOP_S = 10.0
CREATE = {"symbol": "BTC/USDT", "strategy_name": "momentum_breakout", "auto_start": False}


@dataclass(frozen=True, slots=True)
class Server:
    """One of the two that are compared: where it listens and its process."""

    name: str
    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Round:
    """One turn of a server: what the clients saw and the CPU that the server took for an answer."""

    seen: Load
    cpu_us: float


async def measure(options: argparse.Namespace) -> int:
    """One run. The exit status."""
    figures: dict[str, Any] = {
        "clients": CLIENTS,
        "rounds": options.rounds,
        "seconds_each": options.seconds,
    }
    async with (
        running_stack(workers=1, keep=options.keep) as stack,
        bare_app(stack) as bare,
        new_account(stack.hub_url) as account,
    ):
        hub_pid = stack.pid_of("hub")
        assert hub_pid is not None
        servers = (bare, Server("hub", stack.hub_url, hub_pid))
        agent_id = await _seeded(stack, account, LISTED)
        calls = {
            "get_agent": ("GET", f"/api/agents/{agent_id}", None),
            "get_status": ("GET", f"/api/agents/{agent_id}/status", None),
            f"list_of_{LISTED}": ("GET", "/api/agents", None),
            "create": ("POST", "/api/agents", CREATE),
        }
        for name, (method, path, body) in calls.items():
            request = request_bytes(method, path, token=account.token, body=body)
            figures |= await _compared(name, servers, request, options)
        figures |= await _sockets(stack, options.sockets)
        figures |= await _long_list(stack, options.agents)
        figures["complaints"] = len(stack.errors())
    return report(figures, options.strict)


async def _compared(
    name: str, servers: tuple[Server, Server], request: bytes, options: argparse.Namespace
) -> dict[str, Any]:
    """One call on both servers in turns."""
    rounds: dict[str, list[Round]] = {server.name: [] for server in servers}
    for _ in range(options.rounds):
        for server in servers:
            rounds[server.name].append(await _round(server, request, options.seconds))
    shown: dict[str, Any] = {f"{name}_{where}": _shown(done) for where, done in rounds.items()}
    speeds = zip(rounds["hub"], rounds["bare"], strict=True)
    ratios = [hub.seen.per_second / bare.seen.per_second for hub, bare in speeds]
    shown[f"{name}_ratio"] = round(statistics.median(ratios), 3)
    shown[f"{name}_ratios"] = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return shown


async def _round(server: Server, request: bytes, seconds: float) -> Round:
    warm_up = min(WARM_UP_S, seconds)
    await load(server.url, lambda: request, clients=CLIENTS, seconds=warm_up)
    began = machine.cpu_seconds([server.pid])
    seen = await load(server.url, lambda: request, clients=CLIENTS, seconds=seconds)
    return Round(seen, 1e6 * (machine.cpu_seconds([server.pid]) - began) / seen.answers)


@asynccontextmanager
async def bare_app(stack: Stack) -> AsyncIterator[Server]:
    """The bare application on a port of its own."""
    port, _ = free_ports()
    log_path = stack.folder / "bare.log"
    command = [sys.executable, "-P", "-m", "uvicorn", "bench.bare_app:app", "--port", str(port)]
    command += ["--no-access-log", "--log-level", "warning"]
    process = start_process(command, log_path=log_path, env={"PYTHONPATH": str(ROOT)})
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + READY_S
        while not await _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"the bare application does not serve: {log_tail(log_path)}")
            await asyncio.sleep(0.05)
        yield Server("bare", url, process.pid)
    finally:
        await stop_process(process, signal.SIGTERM, STOP_S)


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(f"{url}/api/agents")).status_code == 200
    except httpx.TransportError:
        return False


async def _seeded(stack: Stack, account: Account, agents: int) -> str:
    """Gives the account so many agents; the id of one of them."""
    owner = UUID((await account.get("/api/me"))["id"])
    await seed(stack, Fleet(agents, min(agents, 100), INTERVAL_S), owner)
    await settled(stack)
    page = await account.get("/api/agents?limit=1")
    return str(page[0]["id"])


def _shown(rounds: list[Round]) -> dict[str, float]:
    """Medians over rounds; of the clients' share of a core the largest."""
    seen = [each.seen for each in rounds]
    return {
        "per_s": round(statistics.median(each.per_second for each in seen)),
        "p50_ms": round(statistics.median(each.p50_ms for each in seen), 2),
        "p99_ms": round(statistics.median(each.p99_ms for each in seen), 2),
        "cpu_us": round(statistics.median(each.cpu_us for each in rounds), 1),
        "clients_cores": round(max(each.clients_cores for each in seen), 2),
    }


async def _long_list(stack: Stack, agents: int) -> dict[str, Any]:
    """GET /api/agents by one client whose account has very many."""
    async with new_account(stack.hub_url) as account:
        await _seeded(stack, account, agents)
        request = request_bytes("GET", "/api/agents", token=account.token)
        first = await load(stack.hub_url, lambda: request, clients=1, answers=1)
        found = await load(stack.hub_url, lambda: request, clients=1, answers=LONG_LISTS)
    return {
        "long_list_agents": agents,
        "long_list_first_ms": round(first.p50_ms, 1),
        "long_list_p50_ms": round(found.p50_ms, 1),
        "long_list_p99_ms": round(found.p99_ms, 1),
    }


async def _sockets(stack: Stack, sockets: int) -> dict[str, Any]:
    """How long until so many clients are connected, each with its first message."""
    async with new_account(stack.hub_url) as account, AsyncExitStack() as running:
        await account.post("/api/agents", CREATE | {"auto_start": True})
        url = stack.hub_url.replace("http://", "ws://") + f"/ws?token={account.token}"
        gate = asyncio.Semaphore(HANDSHAKES_AT_ONCE)

        async def one() -> None:
            async with gate:
                socket: ClientConnection = await connect(
                    url, compression=None, ping_interval=None, proxy=None, open_timeout=30
                )
            running.callback(socket.transport.abort)  # a thousand handshakes of goodbye take long
            await socket.recv()

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(sockets)))
        took = time.perf_counter() - began
    return {"sockets": sockets, "sockets_connected_s": round(took, 2)}


def report(figures: dict[str, Any], strict: bool) -> int:
    """Prints the figures and what is below its aim; the exit status, 1 only where it is strict."""
    print(table(figures, "Hub"))
    below = []
    if figures["get_status_ratio"] < RATIO_MIN:
        below.append(f"GET status at {figures['get_status_ratio']} of bare, aim {RATIO_MIN}")
    if figures["long_list_p50_ms"] >= LIST_MS_MAX:
        below.append(f"long list in {figures['long_list_p50_ms']} ms, aim {LIST_MS_MAX:g}")
    if figures["sockets_connected_s"] >= SOCKETS_S_MAX:
        below.append(f"sockets in {figures['sockets_connected_s']} s, aim {SOCKETS_S_MAX:g}")
    for name, shown in figures.items():
        if isinstance(shown, dict) and shown["clients_cores"] > CLIENTS_CORES_MAX:
            below.append(f"{name}: the clients took {shown['clients_cores']} of a core")
    for each in below:
        print(f"{'FAILED' if strict else 'below the aim'}: {each}", file=sys.stderr)
    print(json.dumps(figures | {"below": below}))
    return 1 if below and strict else 0


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.hub", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load in each round")
    parser.add_argument("--rounds", type=int, default=5, help="of bare and hub in turns")
    parser.add_argument("--agents", type=int, default=10_000, help="in the long list")
    parser.add_argument("--sockets", type=int, default=1_000)
    parser.add_argument("--strict", action="store_true", help="fail below the aims")
    parser.add_argument("--keep", action="store_true", help="keep folder and logs")
    return measured(measure(parser.parse_args(argv)), uvloop.new_event_loop)


if __name__ == "__main__":
    raise SystemExit(main())
