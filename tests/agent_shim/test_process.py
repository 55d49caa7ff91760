"""The agent endpoint as a process of its own, in front of a hub on a real socket."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.agent_shim.stand_in_hub import AGENT, SECRET, StandInHub, free_port, listen
from tests.conftest import wait_for

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "agent_shim")


def environment(told: Mapping[str, str]) -> dict[str, str]:
    """Nothing of this machine but where Python is."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **told}


def is_listening(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def running(told: Mapping[str, str], host: str) -> AsyncIterator[httpx.AsyncClient]:
    """The process and a client of it; at the end it is asked to stop, and does."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *COMMAND, env=environment({**told, "ARTIC_SHIM_PORT": str(port)})
    )
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"Host": host}, trust_env=False
        ) as client:
            ready = wait_for(lambda: process.returncode or is_listening(port), seconds=20)
            assert await ready is True
            yield client
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) in (0, -signal.SIGTERM)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_gateway() -> None:
    hub = StandInHub()
    async with listen(hub.app) as port:
        told = {"ARTIC_HUB_URL": f"http://127.0.0.1:{port}", "ARTIC_INTERNAL_SECRET": SECRET}
        async with running(told, host=f"artic-agent-{AGENT}:8000") as client:
            answer = await client.get("/health")
            assert (answer.status_code, answer.json()) == (200, {"ok": True, "running": True})
            assert "server" not in answer.headers
            assert (await client.get("/health", headers={"Host": "evil"})).status_code == 421


async def test_one_agent() -> None:
    hub = StandInHub()
    async with listen(hub.app) as port:
        told = {
            "HUB_URL": f"http://127.0.0.1:{port}",
            "HUB_AGENT_ID": str(AGENT),
            "INTERNAL_SECRET": SECRET,
            "SYMBOL": "BTC/USDT",
            "ARTIC_LOG_FORMAT": "json",
        }
        async with running(told, host="127.0.0.1") as client:
            assert (await client.post("/stop")).json() == {"stopped": True, "closed": True}


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({}, "error: ARTIC_HUB_URL is not set: the hub's address, like http://127.0.0.1:9000\n"),
        (
            {"ARTIC_HUB_URL": "http://127.0.0.1:9000", "ARTIC_INTERNAL_SECRET": "short"},
            "error: ARTIC_INTERNAL_SECRET must have at least 16 characters\n",
        ),
        ({"HUB_AGENT_ID": "seven"}, "error: HUB_AGENT_ID must be a UUID\n"),
    ],
)
def test_a_wrong_setting_is_one_line(told: dict[str, str], line: str) -> None:
    ended = subprocess.run(
        COMMAND, env=environment(told), capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", line)


def test_a_port_that_cannot_be_had_is_one_line() -> None:
    told = {"ARTIC_HUB_URL": "http://127.0.0.1:9000", "ARTIC_INTERNAL_SECRET": SECRET}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            COMMAND,
            env=environment({**told, "ARTIC_SHIM_PORT": str(port)}),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    line = f"error: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", line)


def test_nothing_of_the_pool_is_loaded() -> None:
    """The image holds this package and h11; what costs memory stays out."""
    code = "import sys, agent_shim.__main__; print(*{name.split('.')[0] for name in sys.modules})"
    ended = subprocess.run(
        (sys.executable, "-c", code),
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    loaded = set(ended.stdout.split())
    assert {"agent_shim", "h11"} <= loaded
    frameworks = {"starlette", "uvicorn", "httpx", "anyio"}
    pool = {"engine", "strategies", "adapters", "workers", "api", "cli"}
    libraries = {"numpy", "talib", "redis", "arq", "asyncpg", "tortoise", "msgspec", "cryptography"}
    assert loaded & (pool | libraries | frameworks) == set()
