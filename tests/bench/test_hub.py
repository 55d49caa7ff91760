"""What the measurement of the hub makes of its figures; and, slow, that it runs as it is told."""

import json
import subprocess
import sys
from typing import Any

import pytest

from bench.hub import report

GOOD: dict[str, Any] = {
    "get_status_hub": {"per_s": 6000, "clients_cores": 0.3},
    "get_status_ratio": 0.5,
    "long_list_p50_ms": 149.9,
    "sockets_connected_s": 9.9,
}
BELOW = [
    ({"get_status_ratio": 0.49}, "GET status at 0.49 of bare, aim 0.5"),
    ({"long_list_p50_ms": 150.0}, "long list in 150.0 ms, aim 150"),
    ({"sockets_connected_s": 10.0}, "sockets in 10.0 s, aim 10"),
    (
        {"get_status_hub": {"per_s": 6000, "clients_cores": 0.9}},
        "get_status_hub: the clients took 0.9 of a core",
    ),
]


def test_good_figures_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(GOOD, strict=True) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert json.loads(said.out.splitlines()[-1]) == GOOD | {"below": []}


@pytest.mark.parametrize(("figures", "words"), BELOW)
def test_a_figure_below_its_aim_is_said_and_fails_a_strict_run(
    figures: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(GOOD | figures, strict=True) == 1
    strict = capsys.readouterr()
    assert strict.err == f"FAILED: {words}\n"
    assert json.loads(strict.out.splitlines()[-1])["below"] == [words]
    assert report(GOOD | figures, strict=False) == 0
    assert capsys.readouterr().err == f"below the aim: {words}\n"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_strict_run_fails_when_an_aim_is_missed() -> None:
    """A list of 10 takes far less than 150 ms; no list takes less than none."""
    program = (
        "import sys, bench.hub as hub; hub.LIST_MS_MAX = float(sys.argv[1]); hub.RATIO_MIN = 0.0;"
        "hub.CLIENTS_CORES_MAX = 9.0;"
        "sys.exit(hub.main('--seconds 0.3 --rounds 1 --agents 10 --sockets 5 --strict'.split()))"
    )
    for most_ms, status in (("150", 0), ("0", 1)):
        command = [sys.executable, "-c", program, most_ms]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        figures = json.loads(done.stdout.splitlines()[-1])
        assert figures["complaints"] == 0
        assert figures["get_status_bare"]["per_s"] > figures["get_status_hub"]["per_s"] > 0
        assert len(figures["below"]) == status
