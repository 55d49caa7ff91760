"""Child processes: their end with ours, their leftovers, and pids that come again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.processes import (
    ProcessError,
    launch_command,
    living_pid,
    log_tail,
    process_birth,
    process_command,
    start_process,
    stop_leftover,
    stop_process,
    write_pid,
)
from tests.conftest import wait_for

PATIENT = "import signal; print('up', flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {PATIENT}"


def start(script: str, log_path: Path) -> subprocess.Popen[bytes]:
    """A child whose log tells when it is up."""
    return start_process([sys.executable, "-c", script], log_path=log_path, env=dict(os.environ))


async def test_a_child_ends_when_it_is_asked(tmp_path: Path) -> None:
    child = start(PATIENT, tmp_path / "log")
    await wait_for(lambda: log_tail(tmp_path / "log") == "up")
    await stop_process(child, signal.SIGTERM, 5)
    assert child.returncode == -signal.SIGTERM


async def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    child = start(STUBBORN, tmp_path / "log")
    await wait_for(lambda: log_tail(tmp_path / "log") == "up")
    await stop_process(child, signal.SIGTERM, 0.05)
    assert child.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="death signals are a thing of Linux")
async def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = f"""
import os, signal, sys
from pathlib import Path
from adapters.processes import start_process
command = [sys.executable, "-c", {PATIENT!r}]
child = start_process(command, log_path=Path({str(tmp_path / "log")!r}), env=dict(os.environ))
print(child.pid, flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        await wait_for(lambda: log_tail(tmp_path / "log") == "up")
        assert process_birth(child)
        process.kill()
        await wait_for(lambda: process_birth(child) is None)


async def test_a_program_that_is_not_there_says_so(tmp_path: Path) -> None:
    child = start_process(["/nowhere/program"], log_path=tmp_path / "log", env={})
    await wait_for(lambda: child.poll() is not None)
    said = log_tail(tmp_path / "log")
    assert said == "cannot start /nowhere/program: No such file or directory"


async def test_an_orphan_of_the_launcher_does_not_start(tmp_path: Path) -> None:
    command = launch_command(["/bin/echo", "started"])
    command[5] = "1"  # the pid of another parent than it has
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is gone" in done.stderr


async def test_a_leftover_is_stopped(tmp_path: Path) -> None:
    child = start(PATIENT, tmp_path / "log")
    write_pid(tmp_path / "pid", child.pid)
    assert living_pid(tmp_path / "pid") == child.pid
    assert await stop_leftover(tmp_path / "pid", signal.SIGTERM, 5)
    assert await wait_for(lambda: child.poll() is not None)
    assert not (tmp_path / "pid").exists()


async def test_a_leftover_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    child = start(STUBBORN, tmp_path / "log")
    await wait_for(lambda: log_tail(tmp_path / "log") == "up")
    write_pid(tmp_path / "pid", child.pid)
    assert await stop_leftover(tmp_path / "pid", signal.SIGTERM, 0.05)
    assert await wait_for(child.poll) == -signal.SIGKILL


@pytest.mark.parametrize("text", ["", "x", "12", "PID another-birth"])
async def test_nobody_else_is_stopped(tmp_path: Path, text: str) -> None:
    """A pid that the system gave to somebody else since, or a file cut off in the middle."""
    (tmp_path / "pid").write_text(text.replace("PID", str(os.getpid())))
    assert not await stop_leftover(tmp_path / "pid", signal.SIGKILL, 0.05)


def test_this_process_is_known() -> None:
    assert process_birth(os.getpid())
    assert sys.executable in process_command(os.getpid())
    assert process_birth(2**22 + 1) is None
    assert process_command(2**22 + 1) == ""


def test_a_log_that_grew_too_long_is_moved_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.processes._LOG_BYTES_MAX", 10)
    (tmp_path / "log").write_text("a long line of an earlier run\n")
    child = start_process(["/bin/echo", "new"], log_path=tmp_path / "log", env={})
    child.wait()
    assert log_tail(tmp_path / "log") == "new"
    assert log_tail(tmp_path / "log.1") == "a long line of an earlier run"


def test_the_end_of_a_log_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("one\n\ntwo\n three \nfour\n")
    assert log_tail(tmp_path / "log") == "two / three / four"
    assert log_tail(tmp_path / "log", lines=1) == "four"
    assert log_tail(tmp_path / "no-log") == "no log"


def test_no_process_is_an_error_with_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ProcessError, match="cannot start echo: No such file"):
        start_process(["echo"], log_path=tmp_path / "log", env={})
