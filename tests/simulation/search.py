"""Many seeds at once: a process for each core, with a database of its own on one server."""

import asyncio
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from adapters.db.migrate import migrate
from adapters.embedded_postgres import EmbeddedPostgres
from tests.simulation.planted import BY_NAME, Fault, Moved, Sight, planted
from tests.simulation.real_side import RealSide
from tests.simulation.run import run, shrunk
from tests.simulation.schedule import FaultKind, draw

Item = TypeVar("Item")
Found = TypeVar("Found")

_side: list[RealSide] = []
"""The database of this process, once it has one."""


def on_every_core(
    work: Callable[[RealSide, Item], Found], items: Iterable[Item]
) -> Iterator[Found]:
    """What work(side, item) answers for each item, in the order in which it comes.

    work has to live in a module that a new process can import: not in `__main__`.
    """
    processes = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    with _databases(processes) as urls:
        waiting = context.Queue()
        for url in urls:
            waiting.put(url)
        with ProcessPoolExecutor(processes, context, _connect, (waiting,)) as pool:
            for done in as_completed([pool.submit(_beside, work, item) for item in items]):
                yield done.result()


def run_seed(kinds: list[FaultKind], side: RealSide, seed: int) -> tuple[str, dict[str, int]]:
    """'' or the failure with as few steps as it takes, and what happened how often."""
    outcome = run(draw(seed, kinds), side)
    return str(shrunk(outcome, side)) if outcome.violation else "", outcome.counts


def find_fault(seeds: range, side: RealSide, name: str) -> tuple[str, Sight | str]:
    """The first seed that sees a planted fault, and as what; or in words why there is none."""
    try:
        for seed in seeds:
            seen = seen_as(seed, side, BY_NAME[name])
            if seen:
                return name, Sight(seed, seen)
    except Moved as moved:
        return name, str(moved)
    return name, "not found"


def seen_as(seed: int, side: RealSide, fault: Fault) -> str:
    """What a seed breaks with a planted fault, '' for nothing."""
    violation = run(draw(seed), side, partial(planted, fault=fault)).violation
    return violation.splitlines()[0][:120] if violation else ""


def _connect(urls: "multiprocessing.Queue[str]") -> None:
    _side.append(RealSide(urls.get()))


def _beside(work: Callable[[RealSide, Item], Found], item: Item) -> Found:
    return work(_side[0], item)


@contextmanager
def _databases(count: int) -> Iterator[list[str]]:
    """Addresses of new, migrated databases."""
    with tempfile.TemporaryDirectory(prefix="artic-simulation-") as folder:
        Path(folder).chmod(0o711)
        server = EmbeddedPostgres(Path(folder), durable=False)
        url = asyncio.run(server.start())
        try:
            yield asyncio.run(_lay(url, count))
        finally:
            asyncio.run(server.stop())


async def _lay(url: str, count: int) -> list[str]:
    con = await asyncpg.connect(url)
    try:
        urls = []
        for number in range(count):
            await con.execute(f"CREATE DATABASE simulation_{number}")
            urls.append(urlunsplit(urlsplit(url)._replace(path=f"/simulation_{number}")))
    finally:
        await con.close()
    for each in urls:
        await migrate(each)
    return urls
