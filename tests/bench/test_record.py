"""The short set lands between the marks of the document, and nothing else of it changes."""

import sys
from pathlib import Path

import pytest

from bench.record import BEGIN, END, Done, figures_in, last_line, written


def test_a_second_run_takes_the_place_of_the_first(tmp_path: Path) -> None:
    document = tmp_path / "measurements.md"
    document.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    figures = {"missed": 0, "lag_ms_p99": 14, "failed": [], "strict": True, "other": 5}
    shown = {"missed", "lag_ms_p99", "failed", "strict"}.__contains__
    for day in ("2026-01-01", "2026-01-02"):
        done = [Done("density", 61.2, 0, figures), Done("kill", 40.0, 1)]
        assert written(document, done, day, shown)
    text = document.read_text()
    assert text.startswith(f"before\n{BEGIN}\n") and text.endswith(f"\n{END}\nafter\n")
    assert "| density | 61 | passed | missed 0, lag ms p99 14 |" in text
    assert "| kill | 40 | FAILED |  |" in text
    assert "2026-01-01" not in text


def test_a_document_without_marks_stays_as_it_is(tmp_path: Path) -> None:
    document = tmp_path / "measurements.md"
    document.write_text("before\n")
    assert not written(document, [Done("density", 1.0, 0)], "2026-01-01", lambda name: True)
    assert document.read_text() == "before\n"


def test_the_last_line_is_kept_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with last_line() as said:
        print("a table")
        print('{"missed": 0}', flush=True)
        sys.stdout.write("\n")
    assert figures_in(said.line) == {"missed": 0}
    assert capsys.readouterr().out.startswith("a table\n")
    assert figures_in("no figures") == {}
