"""Reads files of KEY=value lines, as `.env` files are.

Known: comments, empty lines, `export ` in front, and one pair of single or double quotes around a
value. Nothing is expanded: a `$` is a `$`.
"""

import re
from pathlib import Path

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_QUOTED = re.compile(r"""(['"])(.*)\1\s*(?:#.*)?""")


class EnvFileError(Exception):
    """The file cannot be read, or a line of it is no setting. The text is one line and shows no
    value.
    """


def read_env_file(path: Path) -> dict[str, str]:
    """All keys of the file; of a key that stands there twice, the last."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EnvFileError(f"cannot read {path}: {error}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise EnvFileError(f"{path} line {number} is not KEY=value")
        found[match[1]] = _unquoted(match[2])
    return found


def _unquoted(text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    return quoted[2] if quoted else re.split(r"\s#", f" {text}", maxsplit=1)[0].strip()
