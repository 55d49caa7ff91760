"""The exchange's process as the worker sees it: started when somebody needs it, and started again.

ccxt takes 100 MB, so it lives in a process of its own, which ends by itself when nothing is asked
of it for a while. It writes the live table in the name of the worker that holds the lease, and it
dies with that worker.
"""

import asyncio
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from adapters.live_table import LiveTable
from adapters.processes import launch_command
from adapters.redis_client import AWAY
from adapters.settings import ENV_FILE_KEY, Settings

logger = logging.getLogger(__name__)

NEEDED_SETTINGS: Final = (
    "ARTIC_REDIS_URL",
    "ARTIC_EXCHANGE",
    "ARTIC_EXCHANGE_URL",
    "ARTIC_PRICE_SOURCE",
    "ARTIC_PRICE_JUMP_PCT",
    "ARTIC_LOG_LEVEL",
    "ARTIC_LOG_FORMAT",
)
"""All that it is told: no database, no keys."""
LOOK_EVERY_S: Final = 0.3
BACKOFF_S: Final = (0.5, 2.0, 5.0, 15.0, 60.0)
STEADY_S: Final = 60.0
STOP_S: Final = 3.0
LOAD_S: Final = 20.0
PROBE_S: Final = 5.0
"""How long `auto` waits for ccxt to be loaded, and then for the exchange."""


async def probe_exchange(settings: Settings) -> str:
    """Whether the exchange says its symbols, in a process that ends then: "" or why it does not."""
    process = await _start(settings, "--probe", stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    try:
        # Its time begins once ccxt is loaded: that depends on this machine, not on the exchange.
        async with asyncio.timeout(LOAD_S):
            await process.stdout.readline()
        async with asyncio.timeout(PROBE_S):
            _, said = await process.communicate()
    except TimeoutError:
        return f"did not answer within {PROBE_S:g} s"
    finally:
        await _end(process)
    if process.returncode == 0:
        return ""
    lines = said.decode(errors="replace").strip().splitlines()
    return f"cannot be used: {lines[-1] if lines else 'no reason was given'}"


class ExchangeChild:
    """One worker's exchange process. clock: Unix seconds of Redis."""

    def __init__(
        self, settings: Settings, table: LiveTable, writer: str, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._table = table
        self._writer = writer
        self._clock = clock

    async def run(self) -> None:
        """Keeps it running while it is needed, until canceled; then ends it."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            if not await self._is_needed():
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            began = loop.time()
            status = await self._run_once()
            if status == 0:
                failures = 0
                continue
            failures = 0 if loop.time() - began > STEADY_S else failures
            pause_s = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
            failures += 1
            logger.warning("the exchange's process ended with %d; again in %g s", status, pause_s)
            await self._tell_trouble(f"the exchange's process ended with {status}; see its log")
            await asyncio.sleep(pause_s)

    async def _is_needed(self) -> bool:
        try:
            if await self._table.candles.requests_waiting():
                return True
            if self._settings.price_source != "exchange":
                return False
            known = await self._table.known_symbols(self._settings.exchange)
            return known is None or bool(await self._table.followed(self._clock()))
        except AWAY as error:
            logger.warning("Redis is away, the exchange's process waits: %s", error)
            return False

    async def _tell_trouble(self, why: str) -> None:
        """Unless the process has said itself what is wrong."""
        store, name = self._table.candles, self._settings.exchange
        try:
            await store.tell_exchange_trouble(name, why, unless_known=True)
        except AWAY as error:
            logger.warning("Redis is away, nobody is told of it: %s", error)

    async def _run_once(self) -> int:
        process = await _start(self._settings, self._writer)
        logger.info("the exchange's process %d was started", process.pid)
        try:
            return await process.wait()
        finally:
            await _end(process)


async def _start(
    settings: Settings, argument: str, *, stdout: int | None = None, stderr: int | None = None
) -> Process:
    command = (sys.executable, "-P", "-m", "workers.exchange_process", argument)
    return await asyncio.create_subprocess_exec(
        *launch_command(command),
        stdin=DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=_environment(settings),
    )


def _environment(settings: Settings) -> dict[str, str]:
    """The system's own variables, and of ours what it needs."""
    told = settings.environment()
    ours = {key: told[key] for key in NEEDED_SETTINGS if key in told}
    others = {key: value for key, value in os.environ.items() if not key.startswith("ARTIC_")}
    return others | ours | {ENV_FILE_KEY: ""}


async def _end(process: Process) -> None:
    """SIGTERM, some time, SIGKILL; at once when it has ended."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
