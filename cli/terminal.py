"""What a person at the terminal reads: plain lines, and one line on stderr for what went wrong."""

import os
import sys
from pathlib import Path
from typing import TextIO


class CommandError(Exception):
    """The command cannot go on, for a reason that the person can mend. The text is one line."""


def say(line: str) -> None:
    """Prints a line now."""
    _print(line, sys.stdout)


def complain(error: object) -> None:
    """Prints what went wrong as one line on stderr."""
    _print(f"error: {' '.join(str(error).split())}", sys.stderr)


def _print(line: str, stream: TextIO) -> None:
    try:
        print(line, file=stream, flush=True)
    except OSError:
        # a terminal that was closed is no reason to stop the servers out of order
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
