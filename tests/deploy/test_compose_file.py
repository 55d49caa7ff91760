"""compose.yaml lets every setting through, and gives no service more than it needs."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.settings import load_settings, settings_table

ROOT = Path(__file__).resolve().parents[2]
FILES = ("compose.yaml", "compose.shims.yaml")
OF_OTHERS = {"ARTIC_WORKERS", "ARTIC_DATA_DIR", "ARTIC_ENV_FILE", "ARTIC_TEST_DATA"}
"""Settings that mean nothing there: of `artic up`, of tests, and of a file of settings."""
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / FILES[0]).read_text())["services"]


def test_every_setting_gets_through() -> None:
    services = [yaml.safe_load((ROOT / name).read_text())["services"] for name in FILES]
    given: dict[str, str] = {}
    for each in services:
        given |= each["hub"]["environment"]
    given |= SERVICES["shim"]["environment"]
    known = set(re.findall(r"^\| `(ARTIC_\w+)`", settings_table(), re.MULTILINE))
    # the two of the shim's address are its image's and the port's that Compose publishes
    assert known - given.keys() == OF_OTHERS | {
        "ARTIC_SHIM_HOST",
        "ARTIC_SHIM_PORT",
        "ARTIC_HUB_PORT",
    }
    left_out = {name: "" for name, value in given.items() if str(value).endswith(":-}")}
    assert load_settings(left_out, needs=()) == load_settings({}, needs=())


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"postgres", "redis"}))
def test_least_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service and "docker.sock" not in str(service.get("volumes"))


def test_nothing_is_published_beyond_this_machine_and_memory_is_bounded() -> None:
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert "mem_limit" in service or name == "migrate", name
