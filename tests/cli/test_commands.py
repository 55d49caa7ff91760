"""The parts of the command besides `up`: each in the foreground, each refusing in one line."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.settings import load_settings
from adapters.vault import Vault
from cli.main import app
from cli.parts import product_parts
from tests.cli.running_up import ROOT

SECRETS = {
    "ARTIC_JWT_SECRET": "j" * 32,
    "ARTIC_INTERNAL_SECRET": "i" * 16,
    "ARTIC_MASTER_KEY": "A" * 43,
    "ARTIC_DATABASE_URL": "postgres://u:p@127.0.0.1:1/d",
    "ARTIC_REDIS_URL": "redis://127.0.0.1:1/0",
}


NAME = "TWELVE_DATA_API_KEY"


def test_a_secret_is_sealed_for_the_hub_that_has_shown_its_key() -> None:
    vault = Vault("A" * 43)
    told = json.dumps({"key_id": vault.key_id, "public_key": vault.public_key})
    done = CliRunner().invoke(app, ["seal", NAME, "--to", told], input="a key of mine\n")
    assert done.exit_code == 0 and "a key of mine" not in done.output
    body = json.loads(done.stdout)
    assert body["key_name"] == NAME
    assert vault.open_sent(NAME, body["encrypted_value"]) == "a key of mine"


@pytest.mark.parametrize("told", ["", "{}", "[]", '{"key_id": "a", "public_key": "AAAA"}'])
def test_a_secret_is_sealed_for_nobody_else(told: str) -> None:
    done = CliRunner().invoke(app, ["seal", NAME, "--to", told], input="a key of mine")
    assert done.exit_code == 1 and "GET /api/secrets/public-key" in done.stderr


async def artic(*arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Runs the command without any setting of this machine: status, stdout, stderr."""
    told = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ARTIC_ENV_FILE": ""}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli.main",
        *arguments,
        stdout=PIPE,
        stderr=PIPE,
        env=told | (environment or {}),
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.parametrize("command", ["hub", "worker", "migrate"])
async def test_a_missing_setting_stops_it_and_is_named(command: str) -> None:
    status, out, err = await artic(command)
    assert status == 1
    assert out == ""
    assert err.startswith("error: ARTIC_DATABASE_URL is not set: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("missing", sorted(SECRETS))
async def test_every_secret_has_to_be_told(missing: str) -> None:
    told = {key: value for key, value in SECRETS.items() if key != missing}
    status, _, err = await artic("hub", environment=told)
    assert status == 1
    assert err.startswith(f"error: {missing} is not set: ")


@pytest.mark.parametrize(
    ("arguments", "becomes"),
    [
        (["hub"], ["-m", "api"]),
        (["worker"], ["-m", "workers", "run", "--queues", "tick,market,ledger,chores"]),
        (["worker", "--queues", "ledger"], ["-m", "workers", "run", "--queues", "ledger"]),
    ],
)
def test_a_part_becomes_its_process(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], becomes: list[str]
) -> None:
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(os, "execve", lambda program, command, environment: ran.append(command))
    for key, value in SECRETS.items():
        monkeypatch.setenv(key, value)
    CliRunner().invoke(app, arguments)
    assert [list(command[2:]) for command in ran] == [becomes]


async def test_it_shows_its_flags() -> None:
    status, out, _ = await artic("up", "--help", environment={"COLUMNS": "100", "NO_COLOR": "1"})
    assert status == 0
    flags = "--host --port --shim-port --workers --data-dir --price-source --no-demo"
    assert [flag for flag in flags.split() if flag not in out] == []


async def test_it_migrates_an_outside_database(database_url: str) -> None:
    status, out, err = await artic("migrate", environment={"ARTIC_DATABASE_URL": database_url})
    assert (status, err) == (0, "")
    assert out.count("\n") == 1


async def test_a_database_that_is_away_is_one_line() -> None:
    told = {"ARTIC_DATABASE_URL": SECRETS["ARTIC_DATABASE_URL"]}
    status, _, err = await artic("migrate", environment=told)
    assert status == 1
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_the_agent_endpoint_is_told_no_secret_but_its_own(tmp_path: Path) -> None:
    settings = load_settings(SECRETS | {"ARTIC_DATA_DIR": str(tmp_path), "ARTIC_ENV_FILE": ""})
    parts = product_parts(settings)
    assert sorted(parts.shim.environment) == [
        "ARTIC_HUB_URL",
        "ARTIC_INTERNAL_SECRET",
        "ARTIC_LOG_FORMAT",
        "ARTIC_LOG_LEVEL",
        "ARTIC_SHIM_HOST",
        "ARTIC_SHIM_PORT",
    ]
    assert parts.hub.command[2:] == ("-m", "api")
    assert parts.pause.command[2:] == ("-m", "workers", "pause")
    assert [part.name for part in parts.workers] == ["worker 1", "worker 2"]
