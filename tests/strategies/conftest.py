"""Real candles for the tests of this room, from the folder that ARTIC_TEST_DATA names."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from strategies.base import Candles

REPOSITORY = Path(__file__).resolve().parents[2]


@cache
def _read(path: Path) -> Candles:
    return Candles.from_bars(np.loadtxt(path, delimiter=",", skiprows=1))


@pytest.fixture
def recorded() -> Callable[[str], Candles]:
    """Reads one recording by its file name; skips where the folder of recordings is not there."""
    folder = Path(os.environ.get("ARTIC_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"NOT CHECKED ON REAL CANDLES: no folder {folder}; set ARTIC_TEST_DATA to it")
    return lambda name: _read(folder / name)
