"""A worker's file is touched while its loop turns, and only then."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from adapters.settings import Settings
from tests.conftest import wait_for
from workers.__main__ import main
from workers.alive import touch_while_alive

COMPOSE = Path(__file__).resolve().parents[2] / "compose.yaml"


async def test_it_is_touched_again_and_again(tmp_path: Path) -> None:
    file = tmp_path / "alive"
    task = asyncio.create_task(touch_while_alive(file, 0.01))
    await wait_for(file.exists)
    for _ in range(2):
        os.utime(file, (1.0, 1.0))
        await wait_for(lambda: file.stat().st_mtime > 1.0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("age_s", "found"), [(0, True), (60, False)])
def test_who_looks_tells_young_from_old(tmp_path: Path, age_s: int, found: bool) -> None:
    compose = yaml.safe_load(COMPOSE.read_text())
    look = compose["services"]["worker"]["healthcheck"]["test"][1].replace("$$", "$")
    file = tmp_path / "alive"
    assert look.count("/tmp/alive") == 1
    shell = ["sh", "-c", look.replace("/tmp/alive", str(file))]
    assert subprocess.run(shell, check=False).returncode == 1
    file.touch()
    at = time.time() - age_s
    os.utime(file, (at, at))
    assert (subprocess.run(shell, check=False).returncode == 0) == found


def test_a_file_that_cannot_be_written_is_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key, value in settings.environment().items():
        monkeypatch.setenv(key, value)
    assert main(["run", "--queues", "ledger", "--alive-file", "/nowhere/alive"]) == 1
    assert "--alive-file: [Errno 2]" in capsys.readouterr().err


async def test_a_worker_that_runs_touches_it(tmp_path: Path, settings: Settings) -> None:
    file = tmp_path / "alive"
    environment = {"PATH": os.environ["PATH"], **settings.environment()}
    words = ["-m", "workers", "run", "--queues", "ledger", "--alive-file", str(file)]
    worker = await asyncio.create_subprocess_exec(sys.executable, *words, env=environment)
    try:
        await wait_for(file.exists, seconds=10)
    finally:
        worker.terminate()
        assert await worker.wait() == 0
