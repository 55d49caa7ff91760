"""What the papers say about settings and commands is true."""

import re
from pathlib import Path

from adapters.env_file import read_env_file
from adapters.settings import load_settings, settings_table

ROOT = Path(__file__).resolve().parents[1]


def test_the_table_in_the_readme_is_the_one_of_the_settings() -> None:
    """Mend it with `python -m adapters.settings`."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert settings_table() in readme


def test_the_example_of_an_env_file_is_right(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    used = re.sub(r"^#(?=ARTIC_\w+=\S)", "", text, flags=re.MULTILINE)
    (tmp_path / ".env").write_text(used)
    assert len(read_env_file(tmp_path / ".env")) > 5
    load_settings({"ARTIC_ENV_FILE": str(tmp_path / ".env")}, needs=())
    known = set(re.findall(r"ARTIC_\w+", settings_table()))
    assert set(re.findall(r"ARTIC_\w+", text)) <= known


def test_every_command_of_the_contributors_page_exists() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert len(page.splitlines()) <= 80
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b", page)) <= targets
