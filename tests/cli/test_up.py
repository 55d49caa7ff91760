"""`artic up` with stand-ins for our own processes: start, restart, stop, what is left behind."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from adapters.processes import process_birth
from tests.cli.running_up import READY, running_up
from tests.conftest import wait_for


async def test_ctrl_c_stops_everything_in_order(data_dir: Path) -> None:
    async with running_up(data_dir, "--workers", "2") as up:
        await up.until(READY)
        pids = [
            *up.started("worker"),
            *up.started("hub"),
            *up.started("shim"),
            *_server_pids(data_dir),
        ]
        assert len(pids) == 6
        assert await up.end(signal.SIGINT) == 0
    assert [line for line in up.journal() if "started" not in line] == [
        "shim stopped",
        "hub stopped",
        "worker stopped",
        "worker stopped",
        "paused",
    ]
    assert up.lines[-1] == "Stopped."
    assert [pid for pid in pids if process_birth(pid)] == []
    assert list((data_dir / "run").iterdir()) == []


async def test_the_next_start_finds_everything_as_it_was(data_dir: Path) -> None:
    async with running_up(data_dir) as up:
        made = await up.until("Demo account")
        await up.until(READY)
    secrets = (data_dir / "secrets.env").read_text()
    async with running_up(data_dir) as up:
        found = await up.until("Demo account")
    password = json.loads((data_dir / "demo.json").read_text())["password"]
    assert f"password {password}" in made
    assert "3 paper agents made" in made
    assert f"password {password}" in found
    assert "3 agents found" in found
    assert (data_dir / "secrets.env").read_text() == secrets
    for name in ("secrets.env", "demo.json", "postgres.password"):
        assert (data_dir / name).stat().st_mode & 0o777 == 0o600, name


async def test_it_says_what_is_where(data_dir: Path, outside: dict[str, str]) -> None:
    told = outside | {"ARTIC_HUB_PROT": "1"}
    async with running_up(data_dir, "--no-demo", environment=told) as up:
        await up.until(READY)
    assert up.errors == ["unknown setting ARTIC_HUB_PROT; did you mean ARTIC_HUB_PORT?"]
    assert up.lines[0] == f"Starting, with everything kept in {data_dir} ..."
    assert any(line.startswith("Hub ready on http://127.0.0.1:") for line in up.lines)
    assert "Prices are made up" in up.lines
    assert not any("Demo" in line for line in up.lines)
    assert "worker 1 | 12:00:00 WARNING worker: mind the step" in up.lines
    assert not any("nothing special" in line for line in up.lines)
    assert "nothing special" in (data_dir / "logs" / "worker-1.log").read_text()


async def test_outside_servers_are_left_alone(data_dir: Path, outside: dict[str, str]) -> None:
    async with running_up(data_dir, "--no-demo", environment=outside) as up:
        await up.until(READY)
        assert await up.end(signal.SIGTERM) == 0
    assert up.journal()[-1] == "paused"
    assert not (data_dir / "postgres").exists()
    assert not (data_dir / "redis").exists()


async def test_a_second_ctrl_c_hurries_and_skips_nothing(
    data_dir: Path, outside: dict[str, str]
) -> None:
    trouble = {"STAND_IN_TROUBLE": "worker ignores SIGTERM"}
    async with running_up(data_dir, "--no-demo", environment=outside | trouble) as up:
        await up.until(READY)
        up.process.send_signal(signal.SIGINT)
        await up.until("Stopping")
        await wait_for(lambda: "hub stopped" in up.journal())
        assert await up.end(signal.SIGINT) == 0
    assert "worker 1 does not stop; killing it" in up.lines
    assert up.journal()[-1] == "paused"
    assert [pid for pid in up.started("worker") if process_birth(pid)] == []


async def test_what_dies_is_started_again(data_dir: Path, outside: dict[str, str]) -> None:
    async with running_up(data_dir, "--no-demo", "--workers", "1", environment=outside) as up:
        await up.until(READY)
        os.kill(up.started("worker")[0], signal.SIGKILL)
        said = await up.until("worker 1 ended")
        assert said == "worker 1 ended (killed by SIGKILL); starting it again in 0.2 s"
        await wait_for(lambda: len(up.started("worker")) == 2)
        assert await up.end(signal.SIGINT) == 0
    assert [pid for pid in up.started("worker") if process_birth(pid)] == []


async def test_what_keeps_dying_is_started_later_and_later(
    data_dir: Path, outside: dict[str, str]
) -> None:
    trouble = {"STAND_IN_TROUBLE": "second worker dies"}
    async with running_up(
        data_dir, "--no-demo", "--workers", "1", environment=outside | trouble
    ) as up:
        await up.until(READY)
        os.kill(up.started("worker")[0], signal.SIGKILL)
        why = "status 1: RuntimeError: worker cannot"
        await up.until(f"worker 1 ended ({why}); starting it again in 0.5 s")
        await up.until(f"worker 1 ended ({why}); starting it again in 1 s")
        assert await up.end(signal.SIGINT) == 0


async def test_a_server_that_dies_is_started_again(data_dir: Path) -> None:
    async with running_up(data_dir, "--no-demo") as up:
        await up.until(READY)
        before = _server_pids(data_dir)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await up.until("PostgreSQL ended")
        await up.until("Redis ended")
        await up.until("PostgreSQL is back")
        await up.until("Redis is back")
        assert set(_server_pids(data_dir)).isdisjoint(before)
        assert await up.end(signal.SIGINT) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="death signals are a thing of Linux")
async def test_a_killed_supervisor_takes_its_children_along(data_dir: Path) -> None:
    async with running_up(data_dir, "--no-demo") as up:
        await up.until(READY)
        pids = [*up.started("worker"), *up.started("hub"), *_server_pids(data_dir)]
        await up.end(signal.SIGKILL)
        await wait_for(lambda: not any(process_birth(pid) for pid in pids), seconds=20)
    async with running_up(data_dir, "--no-demo") as up:
        await up.until(READY)


async def test_what_a_killed_supervisor_left_is_ended_by_the_next(
    data_dir: Path, outside: dict[str, str]
) -> None:
    """As on a system without death signals: the leftover is a process that we did not start."""
    async with running_up(data_dir, "--no-demo", environment=outside) as first:
        await first.until(READY)
        (pid,) = first.started("hub")
        kept = (data_dir / "run" / "hub.pid").read_text()
        assert kept == f"{pid} {process_birth(pid)}\n"
        other = data_dir.with_name("other")
        (other / "run").mkdir(parents=True)
        (other / "run" / "hub.pid").write_text(kept)
        async with running_up(other, "--no-demo", environment=outside) as second:
            await second.until(READY)
        assert "hub stopped" in first.journal()


async def test_a_demo_that_broke_off_is_completed_by_the_next_start(
    data_dir: Path, outside: dict[str, str]
) -> None:
    trouble = {"STAND_IN_TROUBLE": "second agent"}
    async with running_up(data_dir, environment=outside | trouble) as up:
        assert "503" in await up.until("No demo account")
        await up.until(READY)
    async with running_up(data_dir, environment=outside) as up:
        assert "3 paper agents made" in await up.until("Demo account")


def _server_pids(data_dir: Path) -> list[int]:
    return [
        int((data_dir / "run" / f"{name}.pid").read_text().split()[0])
        for name in ("postgres", "redis")
    ]
