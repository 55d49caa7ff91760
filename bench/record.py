"""The short set as it last ran, written into docs/measurements.md between two marks.

A measurement prints its figures as JSON in its last line; that line is read back here, so that
what stands in the document is what was printed.
"""

import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from bench import machine

BEGIN, END = "<!-- short set: begin -->", "<!-- short set: end -->"
_SHOWN_MAX = 16
"""Figures of one measurement that are shown; all of them are in its own output."""


class LastLine(io.TextIOBase):
    """Passes on what is printed, and keeps the last whole line."""

    def __init__(self, to: TextIO) -> None:
        self._to = to
        self._open = ""
        self.line = ""

    def write(self, text: str) -> int:
        """What print calls."""
        *whole, self._open = (self._open + text).split("\n")
        for line in whole:
            if line.strip():
                self.line = line
        return self._to.write(text)

    def flush(self) -> None:
        """The same."""
        self._to.flush()


@dataclass(frozen=True, slots=True)
class Done:
    """One measurement: seconds, exit status, figures by name."""

    name: str
    seconds: float
    status: int
    figures: Mapping[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def last_line() -> Iterator[LastLine]:
    """What is printed inside goes to the terminal, too."""
    kept = LastLine(sys.stdout)
    with contextlib.redirect_stdout(kept):
        yield kept


def figures_in(line: str) -> dict[str, Any]:
    """The figures of a measurement's last line; none where it is no JSON object."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def written(path: Path, done: Sequence[Done], today: str, shown: Callable[[str], bool]) -> bool:
    """Puts a table of these between the marks of a document; False where it has none.

    shown: which figures, by name.
    """
    text = path.read_text(encoding="utf-8")
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        return False
    lines = [f"Last run of `make bench`: {today}, {machine.described()}.", ""]
    lines += ["| measurement | s | check | figures |", "|---|---|---|---|"]
    for each in done:
        figures = [
            f"{name.replace('_', ' ')} {value}"
            for name, value in each.figures.items()
            if shown(name) and isinstance(value, int | float) and not isinstance(value, bool)
        ]
        check = "FAILED" if each.status else "passed"
        told = ", ".join(figures[:_SHOWN_MAX])
        lines.append(f"| {each.name} | {each.seconds:.0f} | {check} | {told} |")
    body = "\n".join(lines)
    path.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}", encoding="utf-8")
    return True
