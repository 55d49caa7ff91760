"""The real stack in a temporary folder, for one measurement: servers, `artic up`, and a way in.

The servers write to disk as they do for anybody. Whatever happens, nothing is left running.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from adapters import redis_keys as keys
from adapters.db.connection import Database, close_database, connection, open_database
from adapters.embedded_postgres import EmbeddedPostgres
from adapters.embedded_redis import EmbeddedRedis
from adapters.env_file import read_env_file
from adapters.processes import living_pid, log_tail, start_process, stop_process
from adapters.redis_client import Redis, open_redis
from adapters.shard_store import ShardStore
from bench import machine
from engine.rows import ROW_SCHEMA

ROOT = Path(__file__).resolve().parents[1]
ARTIC = (sys.executable, "-P", "-m", "cli.main")
SIMULATED = "simulated"
RECORDING = "BTCUSDT_1m_2024.csv"
READY_S = 90.0
STOP_S = 60.0
_POLL_S = 0.05
_CANCEL_AGAIN_S = 0.5
_COMPLAINT = re.compile(r"\b(ERROR|CRITICAL|Traceback)\b")


class BenchError(Exception):
    """A measurement could not be made, or its check failed. One plain line."""


@dataclass(slots=True)
class Stack:
    """The running stack. Pids are asked anew each time: what dies is started again."""

    folder: Path
    redis: Redis
    database: Database
    shards: ShardStore
    redis_url: str
    hub_url: str
    postgres: EmbeddedPostgres
    redis_server: EmbeddedRedis
    up: "subprocess.Popen[bytes]"

    def environment(self) -> dict[str, str]:
        """For one more process of the pool: the settings that `artic up` has told to others."""
        told = read_env_file(self.folder / "up" / "run" / "settings.env")
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **told}

    @property
    def log_path(self) -> Path:
        """What `artic up` says on its terminal."""
        return self.folder / "up.log"

    def pid_of(self, part: str) -> int | None:
        """The process of a part of `artic up`: worker-1, hub, agent-endpoint."""
        return living_pid(self.folder / "up" / "run" / f"{part}.pid")

    def processes(self) -> dict[str, list[int]]:
        """Pids by part, servers and supervisor too."""
        found = {"supervisor": [self.up.pid]}
        for path in sorted((self.folder / "up" / "run").glob("*.pid")):
            pid = living_pid(path)
            if pid is not None:
                found[path.stem] = machine.tree(pid)
        for name, pid in (("redis", self.redis_server.pid), ("postgres", self.postgres.pid)):
            if pid is not None:
                found[name] = machine.tree(pid)
        return found

    def errors(self) -> list[str]:
        """What the processes have complained of so far."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        return [line for line in lines if _COMPLAINT.search(line)]

    async def sql(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Rows of one question to PostgreSQL."""
        async with connection(self.database) as con:
            return [tuple(row) for row in await con.fetch(query, *arguments)]


@asynccontextmanager
async def running_stack(
    price_source: str = SIMULATED,
    workers: int = 2,
    keep: bool = False,
    told: Mapping[str, str] | None = None,
) -> AsyncIterator[Stack]:
    """Starts everything and waits until the hub is ready.

    told: more settings. keep: leaves the folder with logs and data behind.

    Raises:
        BenchError: it does not start, or processes are left at the end.
    """
    folder = Path(tempfile.mkdtemp(prefix="artic-bench-"))
    folder.chmod(0o711)  # PostgreSQL runs as another user when we are root
    seen: set[int] = set()
    try:
        async with AsyncExitStack() as running:
            stack = await _start(folder, price_source, workers, running, told or {})
            try:
                yield stack
            finally:
                seen.update(pid for pids in stack.processes().values() for pid in pids)
        _check_nothing_left(seen)
    finally:
        if keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


async def _start(
    folder: Path,
    price_source: str,
    workers: int,
    running: AsyncExitStack,
    more: Mapping[str, str],
) -> Stack:
    postgres, redis_server = EmbeddedPostgres(folder), EmbeddedRedis(folder)
    running.push_async_callback(postgres.stop)
    database_url = await postgres.start()
    running.push_async_callback(redis_server.stop)
    redis_url = await redis_server.start()
    port, shim_port = free_ports()
    command = [*ARTIC, "up", "--no-demo"]
    command += ["--workers", str(workers), "--price-source", price_source]
    command += ["--port", str(port), "--shim-port", str(shim_port)]
    command += ["--data-dir", str(folder / "up")]
    told = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "ARTIC_ENV_FILE": "",
        "ARTIC_DATABASE_URL": database_url,
        "ARTIC_REDIS_URL": redis_url,
        "ARTIC_REQUESTS_PER_MINUTE": "0",
        **more,
    }
    up = start_process(command, log_path=folder / "up.log", env=told)
    running.push_async_callback(stop_process, up, signal.SIGTERM, STOP_S)
    hub_url = f"http://127.0.0.1:{port}"
    await _until_ready(up, folder / "up.log", hub_url)
    database = await open_database(database_url)
    running.push_async_callback(close_database, database)
    redis = open_redis(redis_url)
    running.push_async_callback(redis.aclose)
    while await redis.get(keys.market_newest()) is None:  # no slot has a frame before the first
        await asyncio.sleep(_POLL_S)
    schema = int(more.get("ARTIC_ROW_SCHEMA", ROW_SCHEMA))
    return Stack(
        folder,
        redis,
        database,
        ShardStore(redis, schema),
        redis_url,
        hub_url,
        postgres,
        redis_server,
        up,
    )


async def _until_ready(up: "subprocess.Popen[bytes]", log_path: Path, hub_url: str) -> None:
    deadline = time.monotonic() + READY_S
    async with httpx.AsyncClient(base_url=hub_url, trust_env=False) as hub:
        while True:
            if up.poll() is not None:
                raise BenchError(f"artic up has ended: {log_tail(log_path)}")
            if "Ctrl-C stops everything." in log_path.read_text(errors="replace"):
                (await hub.get("/health")).raise_for_status()
                return
            if time.monotonic() > deadline:
                raise BenchError(f"artic up is not ready: {log_tail(log_path)}")
            await asyncio.sleep(_POLL_S)


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancels tasks until they are done: a client library may take a cancel for a lost connection
    and go on.
    """
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on now."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        return one.getsockname()[1], two.getsockname()[1]


def _check_nothing_left(pids: set[int]) -> None:
    left = [pid for pid in pids if pid in machine.tree(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    if left:
        raise BenchError(f"{len(left)} processes of the stack were left and had to be killed")


def recordings_folder() -> Path | None:
    """The folder with recorded candles; None where there is none."""
    folder = Path(os.environ.get("ARTIC_TEST_DATA") or ROOT.parent / "shared" / "data")
    return folder if folder.is_dir() else None


def replay(speed: int) -> str:
    """The recording at so many times its speed, or simulated prices where there is none."""
    folder = recordings_folder()
    path = None if folder is None else folder / RECORDING
    if path is None or not path.is_file():
        print(f"no {RECORDING} (ARTIC_TEST_DATA): prices are simulated", file=sys.stderr)
        return SIMULATED
    return f"replay:{path}@{speed}"


def measured(
    measurement: Coroutine[Any, Any, int],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> int:
    """Runs a measurement to its end; SIGTERM stops it in order, as Ctrl-C does."""

    async def guarded() -> int:
        task = asyncio.ensure_future(measurement)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await task

    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(guarded())
    except BenchError as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped", file=sys.stderr)
        return 130
