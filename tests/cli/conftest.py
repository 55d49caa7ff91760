"""What the tests of the command share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data folder that is not there yet, where the database's system user can reach it."""
    with tempfile.TemporaryDirectory(prefix="artic-test-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "data"


@pytest.fixture
def outside(postgres_server: str, redis_server: str) -> dict[str, str]:
    """Settings that name running servers, so that `up` starts none."""
    return {"ARTIC_DATABASE_URL": postgres_server, "ARTIC_REDIS_URL": redis_server}
