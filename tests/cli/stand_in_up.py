"""`artic` with stand-ins in the table of what `up` starts: `python stand_in_up.py up [flags]`."""

import sys
from pathlib import Path

from adapters.settings import Settings
from cli.main import main
from cli.parts import Part, Parts

STOP_S = 3.0
STAND_INS = str(Path(__file__).with_name("stand_ins.py"))


async def migrate(url: str) -> None:
    """Stands for the migrations."""


def stand_in_parts(settings: Settings) -> Parts:
    """The table of the supervisor, with small processes in it."""
    told = settings.environment()

    def part(name: str, role: str) -> Part:
        return Part(name, (sys.executable, STAND_INS, role), told, STOP_S)

    workers = tuple(part(f"worker {n}", "worker") for n in range(1, settings.workers + 1))
    return Parts(
        workers, part("hub", "hub"), part("agent endpoint", "shim"), part("pause", "pause"), migrate
    )


if __name__ == "__main__":
    main(stand_in_parts)
