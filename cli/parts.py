"""The processes that `artic up` starts besides the two servers, as a table that tests exchange."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.processes import launch_command
from adapters.settings import Settings
from cli.terminal import CommandError

_STOP_WORKER_S = 15.0
_STOP_HUB_S = 10.0
_STOP_SHIM_S = 5.0
_FOR_SHIM = (
    "ARTIC_SHIM_HOST",
    "ARTIC_SHIM_PORT",
    "ARTIC_INTERNAL_SECRET",
    "ARTIC_LOG_LEVEL",
    "ARTIC_LOG_FORMAT",
)


@dataclass(frozen=True)
class Part:
    """One process: how it is called on the terminal, its command, what it is told, how long it
    may take to stop.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    stop_s: float


@dataclass(frozen=True)
class Parts:
    """Everything of ours that runs; `pause` runs once after the workers have stopped."""

    workers: tuple[Part, ...]
    hub: Part
    shim: Part
    pause: Part
    migrate: Callable[[str], Awaitable[object]]


MakeParts = Callable[[Settings], Parts]


def product_parts(settings: Settings) -> Parts:
    """The real ones. Each is told what it needs and no more: the agent endpoint gets no key and
    no database.
    """
    told = settings.environment()
    shim = {key: told[key] for key in _FOR_SHIM}
    shim["ARTIC_HUB_URL"] = settings.own_hub_url  # beside it, whatever name others use
    return Parts(
        workers=tuple(
            Part(f"worker {n}", module("workers", "run"), told, _STOP_WORKER_S)
            for n in range(1, settings.workers + 1)
        ),
        hub=Part("hub", module("api"), told, _STOP_HUB_S),
        shim=Part("agent endpoint", module("agent_shim"), shim, _STOP_SHIM_S),
        pause=Part("pause", module("workers", "pause"), told, _STOP_WORKER_S),
        migrate=migrate,
    )


async def migrate(database_url: str) -> None:
    """Brings the database to the newest schema, in a process of its own: a supervisor that had
    loaded the ORM would keep 30 MB of it for as long as it runs.

    Raises:
        CommandError: with the line that the process has said.
    """
    told = {"ARTIC_DATABASE_URL": database_url, "ARTIC_ENV_FILE": ""}
    path = {"PYTHONPATH": python_path(os.environ.get("PYTHONPATH", ""))}
    process = await asyncio.create_subprocess_exec(
        *launch_command(module("cli.main", "migrate")),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        env=dict(os.environ) | path | told,
        start_new_session=True,
    )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:  # Ctrl-C: what it has not finished is rolled back
            process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = said.decode(errors="replace").strip().splitlines()
        line = lines[-1] if lines else f"the migration ended with status {process.returncode}"
        raise CommandError(line.removeprefix("error: "))


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs one of our packages, whatever lies in the present folder (-P)."""
    return (sys.executable, "-P", "-m", name, *arguments)


def python_path(before: str) -> str:
    """PYTHONPATH of a child, so that it finds our packages where this one was found."""
    ours = str(Path(__file__).resolve().parent.parent)
    return f"{ours}:{before}" if before else ours
