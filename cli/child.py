"""One process under the supervisor: its log, its restarts, its end."""

import asyncio
import contextlib
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from pathlib import Path

from adapters.processes import append_log, launch_command, log_tail, write_pid
from cli.parts import Part, python_path
from cli.restarts import Restarts
from cli.terminal import say

_WAITS_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Before the next start. Not longer: a part may die of another one that is away, and is needed as
soon as that is back.
"""
_HURRIED_STOP_S = 1.0
_KILL_WAIT_S = 5.0
_LAST_WORDS_S = 1.0
_ONE_AGENT = "HUB_AGENT_ID"
"""Would make the agent endpoint that of a single agent."""
_LINE_BYTES_MAX = 65_536
_ALARMING = re.compile(rb'^\S+ +(WARNING|ERROR|CRITICAL)\b|"level": ?"(warning|error|critical)"')


class Child:
    """A part that runs. Its output goes to a log file; warnings and errors show on the terminal,
    too.
    """

    def __init__(self, part: Part, data_dir: Path, hurry: asyncio.Event) -> None:
        self.part = part
        file_name = part.name.replace(" ", "-")
        self.log_path = data_dir / "logs" / f"{file_name}.log"
        self._pid_path = data_dir / "run" / f"{file_name}.pid"
        self._hurry = hurry
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the process."""
        self._process = await asyncio.create_subprocess_exec(
            *launch_command(self.part.command),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=_environment(self.part),
            start_new_session=True,  # so that Ctrl-C reaches us alone, and we stop things in order
        )
        write_pid(self._pid_path, self._process.pid)
        self._reader = asyncio.create_task(self._collect(self._process))

    async def wait(self) -> int:
        """Waits for the end of the process; its status, negative for a signal."""
        assert self._process is not None
        status = await self._process.wait()
        if self._reader is not None:  # a grandchild may hold the pipe open; its words can wait
            await asyncio.wait({self._reader}, timeout=_LAST_WORDS_S)
        return status

    def has_ended(self) -> bool:
        """Whether the process ended by itself."""
        return self._process is not None and self._process.returncode is not None

    async def keep_running(self) -> None:
        """Starts the process again whenever it ends, later and later if it does not live long."""
        clock = asyncio.get_running_loop().time
        restarts, started = Restarts(_WAITS_S), clock()
        while True:
            status = await self.wait()
            delay_s = restarts.wait_s(clock() - started)
            how = ending(status) if status <= 0 else f"{ending(status)}: {self.last_words()}"
            say(f"{self.part.name} ended ({how}); starting it again in {delay_s:g} s")
            await asyncio.sleep(delay_s)
            started = clock()
            try:
                await self.start()
            except OSError as error:  # no room for a process; the next round tries again
                say(f"{self.part.name} cannot be started: {error.strerror}")

    async def stop(self) -> None:
        """SIGTERM, then time to finish, then SIGKILL."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            if not await self._ends_in_time(process):
                say(f"{self.part.name} does not stop; killing it")
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        async with asyncio.timeout(_KILL_WAIT_S):
            await self.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it had started itself, if anything
        self._pid_path.unlink(missing_ok=True)

    def last_words(self) -> str:
        """The end of its log, for an error message."""
        return log_tail(self.log_path, lines=1)

    async def _ends_in_time(self, process: Process) -> bool:
        end = asyncio.create_task(process.wait())
        hurry = asyncio.create_task(self._hurry.wait())
        try:
            await asyncio.wait(
                {end, hurry}, timeout=self.part.stop_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not end.done() and hurry.done():
                await asyncio.wait({end}, timeout=_HURRIED_STOP_S)
            return end.done()
        finally:
            end.cancel()
            hurry.cancel()

    async def _collect(self, process: Process) -> None:
        assert process.stdout is not None
        rest = b""
        while chunk := await process.stdout.read(_LINE_BYTES_MAX):
            with contextlib.suppress(OSError):  # a full disk must not stop the process
                append_log(self.log_path, chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._show(line)
            rest = rest[-_LINE_BYTES_MAX:]

    def _show(self, line: bytes) -> None:
        if _ALARMING.search(line):
            say(f"{self.part.name} | {line.decode(errors='replace')}")


def ending(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"status {status}"
    return f"killed by {signal.Signals(-status).name}"


def _environment(part: Part) -> dict[str, str]:
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("ARTIC_") and key != _ONE_AGENT
    }
    path = python_path(os.environ.get("PYTHONPATH", ""))
    return kept | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"} | dict(part.environment)
