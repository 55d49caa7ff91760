"""The processes that `artic up` starts besides the two servers, as a table that tests exchange."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.settings import Settings

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
    from adapters.db.migrate import migrate  # here, so that the other commands do not load the ORM

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


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs one of our packages, whatever lies in the present folder (-P)."""
    return (sys.executable, "-P", "-m", name, *arguments)


def python_path(before: str) -> str:
    """PYTHONPATH of a child, so that it finds our packages where this one was found."""
    ours = str(Path(__file__).resolve().parent.parent)
    return f"{ours}:{before}" if before else ours
