"""What a measurement shows on the terminal: progress while it runs, a table at the end."""

import asyncio
import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

_STEP_S = 0.25
_WIDTH = 100


async def show_progress(what: str, seconds: float) -> None:
    """Waits, with a bar where somebody looks on."""
    end = time.monotonic() + seconds
    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task(what, total=seconds)
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _STEP_S))
            progress.update(task, completed=seconds - left)


def table(figures: Mapping[str, Any], title: str) -> str:
    """Figures as text, one line each; a group of figures in one line."""
    shown = Table(title=title, show_header=False, title_justify="left")
    for name, value in figures.items():
        shown.add_row(name.replace("_", " "), _text(value))
    console = Console(width=_WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(shown)
    return capture.get()


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
