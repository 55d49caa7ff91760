"""`artic up` as a process of its own, as a person has it in a terminal."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import wait_for

ROOT = Path(__file__).resolve().parents[2]
READY = "Ctrl-C stops everything."
_READY_S = 60.0
_END_S = 40.0


@dataclass
class RunningUp:
    """The process, what it has printed so far (and on stderr), and the journal of the stand-ins."""

    process: Process
    data_dir: Path
    journal_path: Path
    lines: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def until(self, text: str, seconds: float = _READY_S) -> str:
        """The first line with this text, also if it was printed before."""
        try:
            await wait_for(
                lambda: self._has(text) or self.process.returncode is not None, seconds=seconds
            )
        except AssertionError as error:
            raise AssertionError(f"no {text!r} in {self.lines} {self.errors}") from error
        found = [line for line in self.lines if text in line]
        assert found, f"ended before {text!r}: {self.errors}"
        return found[0]

    async def end(self, number: signal.Signals | None = None) -> int:
        """Sends a signal if one is given, and waits for the end; the exit status."""
        if number is not None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), _END_S)

    def _has(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def journal(self) -> list[str]:
        """What happened to the stand-ins, in order."""
        return self.journal_path.read_text().splitlines() if self.journal_path.exists() else []

    def started(self, role: str) -> list[int]:
        """Process ids of the stand-ins of that role, in order of their start."""
        return [
            int(line.split()[2]) for line in self.journal() if line.startswith(f"{role} started")
        ]


@asynccontextmanager
async def running_up(
    data_dir: Path, *flags: str, environment: dict[str, str] | None = None
) -> AsyncIterator[RunningUp]:
    """Starts it on free ports, without any setting of this machine; kills it if the test has not
    ended it.
    """
    journal_path = data_dir.with_name(data_dir.name + ".journal")
    hub_port, shim_port = free_ports()
    told = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "ARTIC_ENV_FILE": "",
        "ARTIC_DATA_DIR": str(data_dir),
        "ARTIC_HUB_PORT": str(hub_port),
        "ARTIC_SHIM_PORT": str(shim_port),
        "STAND_IN_JOURNAL": str(journal_path),
    } | (environment or {})
    script = Path(__file__).with_name("stand_in_up.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), "up", *flags, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=told
    )
    running = RunningUp(process, data_dir, journal_path)
    assert process.stdout is not None
    assert process.stderr is not None
    readers = [
        asyncio.create_task(_collect(process.stdout, running.lines)),
        asyncio.create_task(_collect(process.stderr, running.errors)),
    ]
    try:
        yield running
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.gather(*readers, running.end())


async def refusal(data_dir: Path, *flags: str, environment: dict[str, str] | None = None) -> str:
    """The one line with which it does not start."""
    async with running_up(data_dir, *flags, environment=environment) as running:
        status = await running.end()
    assert status == 1, running.lines
    assert len(running.errors) == 1, running.errors
    return running.errors[0]


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on now."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        return one.getsockname()[1], two.getsockname()[1]


async def _collect(stream: asyncio.StreamReader, lines: list[str]) -> None:
    async for line in stream:
        lines.append(line.decode().rstrip())
