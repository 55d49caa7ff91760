"""The proof of bench.trades, short: the real stack, agents that trade, four accounts that agree."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.e2e


async def run_trades(*arguments: str) -> None:
    """bench.trades, and every check of it holds."""
    await run("bench.trades", *arguments)


async def run(measurement: str, *arguments: str) -> None:
    """Runs one as a process of its own and expects every check to hold."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", measurement, *arguments),
        cwd=ROOT,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()  # it stops its stack in order
            await process.wait()
    assert process.returncode == 0, said.decode()


async def test_every_trade_is_a_fact_once_and_the_right_one() -> None:
    await run_trades("--agents", "136", "--seconds", "22")


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_the_same_when_a_worker_is_killed() -> None:
    await run_trades("--agents", "136", "--seconds", "40", "--kill")


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_the_same_on_simulated_prices() -> None:
    await run_trades("--agents", "136", "--seconds", "40", "--simulated")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_new_row_schema_under_load() -> None:
    await run("bench.upgrade", "--agents", "300", "--seconds", "24")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_whatever_dies_the_same_trades() -> None:
    await run("bench.chaos", "--agents", "300", "--plans", "60", "--minutes", "0.6")
