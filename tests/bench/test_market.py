"""The measurements of the live market in a short form, as processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str) -> str:
    """What a measurement says; fails with its complaint when it does."""
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_service_that_breaks_costs_no_tick() -> None:
    said = run("bench.soak", "--seconds", "65", "--agents", "9")
    assert "disconnect 3, malformed event 6, stalled socket 1" in said


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_another_process_streams_within_three_seconds() -> None:
    said = run("bench.takeover", "--times", "4")
    assert "killed 2 times" in said and "stopped 2 times" in said


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_who_ask_at_once_are_answered_within_the_limits() -> None:
    said = run("bench.candle_rush", "--users", "8", "--symbols", "10", "--rushes", "2")
    assert "240" in said
