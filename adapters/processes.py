"""Child processes of this machine: start, stop, and find what a killed supervisor left behind.

A child gets a death signal (Linux), so that it ends when its supervisor does. Its pid is written
down together with its moment of birth, so that a pid which the system gave to somebody else later
is never signalled.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.errors import AdapterError

_LAUNCHER = str(Path(__file__).with_name("child_launcher.py"))
_HAS_PROC = Path("/proc/self/stat").exists()
_POLL_S = 0.02
_KILL_WAIT_S = 5.0
_LOG_BYTES_MAX = 10_000_000


class ProcessError(AdapterError):
    """A process could not be started, or ended when it should not. The text is one plain line."""


@dataclass(frozen=True)
class Account:
    """The system user that a server runs as."""

    name: str
    uid: int
    gid: int


def launch_command(
    command: Sequence[str],
    *,
    account: Account | None = None,
    when_parent_dies: signal.Signals = signal.SIGTERM,
) -> list[str]:
    """The command that becomes `command`, under that account, and gets that signal when we die
    (Linux).

    Where the system has no death signal (macOS), `stop_leftover` does the work at the next start.
    """
    who = [str(account.uid), str(account.gid)] if account else ["-", "-"]
    start = [sys.executable, "-I", "-S", _LAUNCHER, str(int(when_parent_dies)), str(os.getpid())]
    return [*start, *who, *command]


def start_process(
    command: Sequence[str],
    *,
    log_path: Path,
    env: Mapping[str, str],
    account: Account | None = None,
    when_parent_dies: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Starts a server in a session of its own, both outputs appended to `log_path`; no terminal,
    no input.
    """
    start_log(log_path)
    with log_path.open("ab") as log:
        try:
            return subprocess.Popen(
                launch_command(command, account=account, when_parent_dies=when_parent_dies),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(env),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise ProcessError(f"cannot start {command[0]}: {error.strerror}") from error


def start_log(log_path: Path) -> None:
    """Makes the log's folder, and moves a log that has grown too long aside (one older one is
    kept).
    """
    log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if log_path.exists() and log_path.stat().st_size > _LOG_BYTES_MAX:
        log_path.replace(log_path.with_name(log_path.name + ".1"))


def append_log(log_path: Path, text: bytes) -> None:
    """Adds to a log that is kept from growing without end."""
    start_log(log_path)
    with log_path.open("ab") as log:
        log.write(text)


def log_tail(log_path: Path, lines: int = 3) -> str:
    """The last lines of a log in one line, for an error message."""
    try:
        with log_path.open("rb") as log:
            log.seek(max(0, log_path.stat().st_size - 8192))
            text = log.read().decode(errors="replace")
    except OSError:
        return "no log"
    last = [line.strip() for line in text.splitlines()[-lines:] if line.strip()]
    return " / ".join(last) or "empty log"


async def stop_process(
    process: subprocess.Popen[bytes], number: signal.Signals, seconds: float
) -> None:
    """Sends `number`, waits up to `seconds`, then kills. Returns when the process is gone."""
    if process.poll() is None:
        process.send_signal(number)
        if not await _until(lambda: process.poll() is not None, seconds):
            process.kill()
    await _until(lambda: process.poll() is not None, _KILL_WAIT_S)


def write_pid(pid_path: Path, pid: int) -> None:
    """Remembers a child for the supervisor of the next start."""
    pid_path.parent.mkdir(parents=True, exist_ok=True)
    pid_path.write_text(f"{pid} {process_birth(pid)}\n")


def living_pid(pid_path: Path) -> int | None:
    """The remembered process, if that very process still runs."""
    try:
        pid_text, birth = pid_path.read_text().strip().split(" ", 1)
        pid = int(pid_text)
    except (FileNotFoundError, ValueError):
        return None
    return pid if process_birth(pid) == birth else None


async def stop_leftover(pid_path: Path, number: signal.Signals, seconds: float) -> bool:
    """Stops the process that a supervisor left behind; True if there was one."""
    pid = living_pid(pid_path)
    if pid is not None:
        await stop_stray(pid, number, seconds)
    pid_path.unlink(missing_ok=True)
    return pid is not None


async def stop_stray(pid: int, number: signal.Signals, seconds: float) -> None:
    """Stops a process that is not our child: `number`, then kill. ProcessError if it stays."""
    birth = process_birth(pid)
    for step, wait_s in ((number, seconds), (signal.SIGKILL, _KILL_WAIT_S)):
        _send(pid, step)
        if await _until(lambda: process_birth(pid) != birth, wait_s):
            return
    raise ProcessError(f"process {pid} of an earlier run does not end; stop it by hand")


def process_birth(pid: int) -> str | None:
    """What tells this process from any other that ever had its pid; None when there is no such
    process.
    """
    if _HAS_PROC:
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        # [0] is the state (Z: dead, not yet reaped), [19] the start in ticks since boot
        return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"
    shown = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() or None


def process_command(pid: int) -> str:
    """The command line of a process; empty when there is no such process."""
    if _HAS_PROC:
        try:
            return (
                Path(f"/proc/{pid}/cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
            )
        except OSError:
            return ""
    return subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


async def _until(is_done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True
